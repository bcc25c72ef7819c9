"""What the checks of an explanation found, and why a part could not be masked."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    # limits
    "trust.at_least": "at least {limit:.2f}",
    "trust.at_least_of": "at least {limit:.2f}, mean of {num} cases",
    "trust.above": "above {limit:.2f}",
    "trust.above_of": "above {limit:.2f} (2 standard errors), mean of {num} cases",
    "trust.above_two_looks": "above {limit:.2f} (2.18 standard errors: two looks at the sample), "
    "mean of {num} cases",
    "trust.of_baseline_change": "at most {limit:.2f} of the change from the baseline",
    "trust.of_logit": "at most {limit:g} of the logit",
    "trust.below_other_cases": "below {limit:.2f}, the similarity of maps of different cases",
    "trust.below_other_cases_exact": "below {limit:.4f}, the similarity of maps of different cases",
    # details
    "trust.centre_first": "order from the image centre outwards: {centre:.2f}",
    "trust.with_method": "compared with {method:name}",
    # not run
    "trust.not_requested": "not requested in the config",
    "trust.no_weights": "not available for this model: its weights cannot be replaced, since it "
    "is only asked",
    "trust.map_asks_often": "measured on a sample of the run only: a map costs {num} passes",
    "trust.not_made": "the check was not made",
    "trust.not_asked_of_case": "not assessed for this case: only a sample of the run is asked",
    "trust.method_asks": "not assessed: {method:name} needs {num} passes a map",
    "trust.too_few": "{num} of {total} sampled cases have a map; at least {needed} are needed",
    "trust.no_order": "the cells of the map have no order",
    "trust.no_other_method": "no other method on this grid",
    "trust.no_different_method": "no other method could differ for this head",
    "trust.not_in_logits": "the map of {method:name} is not in logits, or not finite",
    "trust.no_sum": "{method:name} promises no sum for this head",
    "trust.cannot_fail": "the check cannot fail: maps of different cases are nearly the same "
    "(limit {limit:.2f}; no similarity exceeds 1)",
    "trust.broken": "the check is broken: {reasons}",
    "trust.weights_changed": "the weights of the classifier have changed",
    "trust.control_passed": "the control {control:name}, which does not use the classifier, passed",
    "trust.control_failed": "the control, each map with its cells shuffled, failed",
    # failed
    "trust.deletion_failed": "Blurring the highlighted cells lowers the score no more than "
    "blurring others",
    "trust.insertion_failed": "Revealing the highlighted cells raises the score no more than "
    "revealing others",
    "trust.road_failed": "Removing the highlighted cells lowers the score no more than removing "
    "the others",
    "trust.stability_failed": "Small changes of the input change the map",
    "trust.worst_stability_failed": "One small change of the input changes the map",
    "trust.brightness_stability_failed": "The map changes with the brightness of the image",
    "trust.agreement_failed": "Two methods disagree about the place of the evidence",
    "trust.completeness_failed": "The map does not add up to the logit",
    "trust.randomisation_failed": "The map persists after all trained weights are randomised",
    # the state
    "trust.map_is_zero": "The map is zero everywhere",
    "trust.gradient_lost": "The gradient vanishes in float32",
    "trust.not_finite": "The map holds values that are not finite",
    "trust.dependence_open": "It is open whether the map depends on the trained weights: {reason}",
    # masking
    "trust.part_not_seen": "the model did not see it",
    "trust.nothing_left": "nothing else is left of what the model saw",
    "trust.no_marker": "no marker was found",
    "trust.output_not_finite": "the classifier's output is not a finite number",
}
