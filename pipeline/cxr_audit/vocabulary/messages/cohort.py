"""What a run says about a classifier, and what could not be said."""

from cxr_audit.vocabulary.message import Plural, Template

MESSAGES: dict[str, Template] = {
    # patients and method
    "cohort.patients_known": "known for {known} of {num} cases",
    "cohort.patients_partly_known": "known for {known} of {num} cases; each other case counts as a "
    "patient of its own",
    "cohort.patients_unknown": "known for 0 of {num} cases; each case counts as a patient of its "
    "own",
    "cohort.prevalence_stated": "stated in the config",
    "cohort.prevalence_of_run": "of this run",
    "cohort.what_if_threshold": "asked for; it is not the threshold of the run",
    "cohort.method": "score intervals for an effective number of cases, which comes from the "
    "variance over {rounds} resamplings of patients (seed {seed}); the interval of the calibration "
    "error is a bias-corrected bootstrap",
    "cohort.kappa_no_case": "no case was rated by both",
    "cohort.kappa_one_class": "one of the two named one class throughout",
    "cohort.no_label": "no label",
    "cohort.unknown_label": "the label matches no class",
    # why a figure is undefined
    "cohort.no_case": "no case",
    "cohort.no_positive": "no positive case",
    "cohort.no_negative": "no negative case",
    "cohort.one_class": "one class only",
    "cohort.none_called_positive": "no case was called positive",
    "cohort.none_called_negative": "no case was called negative",
    "cohort.none_called_so": "no case was called so",
    "cohort.empty_bin": "no case in this bin",
    "cohort.no_region": "no case has this region",
    "cohort.scores_equal": "all scores are equal, so they rank nothing",
    "cohort.too_few_patients": "no interval below {limit} patients",
    "cohort.too_few_of_a_kind": "no interval below {limit} positive and {limit} negative patients",
    "cohort.resamples_equal": "no interval: every resample gives the same value",
    "cohort.not_in_both": "no case has it in both runs",
    "cohort.same_in_every_case": "the same in every case",
    "cohort.not_audited_in_both": "no case was audited in both runs",
    # why a value of a case is undefined
    "cohort.no_map": "there is no map",
    "cohort.not_measured": "not measured",
    "cohort.not_masked": "the case was not masked",
    "cohort.trust_not_checked": "the explanation was not checked",
    # subgroups
    "cohort.groups_too_small": "every value has fewer than {limit} cases",
    "cohort.no_value": "no case has a value",
    # acceptance
    "cohort.at_least": "at least {limit:g}",
    "cohort.at_most": "at most {limit:g}",
    "cohort.passed": "passed",
    "cohort.all_cases": "cases",
    "cohort.true_positive": "true positive cases",
    "cohort.false_positive": "false positive cases",
    "cohort.true_negative": "true negative cases",
    "cohort.false_negative": "false negative cases",
    "cohort.metric": "{metric:name}",
    "cohort.lower_end": "{criterion}, lower end of the 95 % interval",
    "cohort.upper_end": "{criterion}, upper end of the 95 % interval",
    "cohort.share_failed": "share of {cases} that failed",
    "cohort.share_excluded": "share of {cases} that were excluded",
    "cohort.share_flagged": 'share of {cases} flagged "{flag:name}"',
    "cohort.share_with": "share of {cases} with {metric:name}",
    "cohort.share_above": "share of {cases} with {metric:name} above {limit:g}",
    "cohort.share_below": "share of {cases} with {metric:name} below {limit:g}",
    "cohort.check_of_model": "check of the model: {check:name}",
    "cohort.single_check": "one check of the model, without an interval",
    "cohort.check_not_made": "the check was not made",
    "cohort.undefined_in_every_case": "undefined in all {cases}",
    "cohort.no_such_case": "no {cases}",
    "cohort.undecided": "The 95 % interval, {low:.3g} to {high:.3g}, contains the limit {limit:g}. "
    "About {needed} cases are needed if the estimate stays",
    "cohort.no_interval": "{reason}; about {needed} cases are needed if the estimate stays",
    "cohort.never_decided": "No number of cases decides whether the share is {limit:g} if the "
    "estimate stays; bound: estimate compares the share of this run",
    # dependence
    "cohort.dependence_few_patients": Plural(
        "{num} patient has this measurement; {needed} are needed",
        "{num} patients have this measurement; {needed} are needed",
    ),
    "cohort.no_marker": "no case has a marker",
    "cohort.nearly_constant": "the output is nearly constant: the standard deviation of its logit "
    "is {spread:.3f} log-odds (at least {limit:g})",
    "cohort.marker_dependence": Plural(
        "share of {num} case with a marker", "share of {num} cases with a marker"
    ),
    "cohort.border_dependence": Plural(
        "in standard deviations of the logit, of {num} case",
        "in standard deviations of the logit, of {num} cases",
    ),
    "cohort.exposure_dependence": Plural(
        "in standard deviations of the logit, over the brightness of {num} case",
        "in standard deviations of the logit, over the brightness of {num} cases",
    ),
    "cohort.output_depends": "The output depends on it: {value:.2f} (limit {limit:g})",
    "cohort.interval_holds_limit": "The 95 % interval, {low:.3g} to {high:.3g}, contains the limit "
    "{limit:g}",
    "cohort.undecided_patients": "The 95 % interval, {low:.3g} to {high:.3g}, contains the limit "
    "{limit:g}. About {needed} patients are needed if the estimate stays",
    # factors
    "cohort.unit_spreads": "standard deviations of the logit within a label",
    "cohort.unit_share": "share of the logit's variance within a label",
    "cohort.factor_moved": "The logit changes by {range:.2f} standard deviations over the usual "
    "range of the factor, and the factor explains {share:percent} of it within a label; together "
    "{effect:.2f} (limit {limit:g})",
    "cohort.factor_stated": "It explains {share:percent} of the logit within a label. It was not changed "
    "in the input, so that this is an association only",
    "cohort.factor_marker": "Replacing the markers of a radiograph that has some changes the logit "
    "by {effect:.2f} standard deviations (limit {limit:g})",
    "cohort.factor_place": "Replacing this place brings {share:percent} of the logit's variance within a "
    "label (limit {limit:percent})",
    "cohort.factor_low_level": "Generic image statistics predict {share:percent} of the logit within a "
    "label for patients left out (limit {limit:percent}), beyond the factors above. Most of it: {groups:name}",
    "cohort.factor_low_level_likely": "An unnamed low-level cue is likely. {reason}",
    "cohort.factor_not_significant": "{reason}. The permutation test does not show an association "
    "(adjusted p {p:.3f})",
    "cohort.factor_like_others": "{reason}. In this set it cannot be told apart from {factors:name}",
    "cohort.factor_undecided": "{reason}. The 95 % interval contains the limit",
    "cohort.factor_same": "it is the same in all cases",
    "cohort.factor_not_measured": Plural(
        "{num} patient has this measurement; {needed} are needed",
        "{num} patients have this measurement; {needed} are needed",
    ),
    "cohort.factor_not_asked": "the classifier was not asked with it changed (factors.cases)",
    "cohort.factor_no_search": "no search finds them, and replaced places show only what lies at a "
    "fixed place",
    # power
    "cohort.positive_cases": "positive cases",
    "cohort.negative_cases": "negative cases",
    "cohort.called_cases": "cases called positive",
    "cohort.not_called_cases": "cases called negative",
    "cohort.cases_of_each_class": "positive and as many negative cases",
    "cohort.power_of_check": "a check of the model has no number of cases",
    "cohort.power_of_error": "the number depends on how the outputs are distributed",
    "cohort.power_of_count": "the estimate of the run decides, whatever its number of cases",
    "cohort.power_never": "no number of cases is enough if the true value is {assumed:g}",
    # comparison
    "cohort.matched_by_id": "case id, made with the same key",
    "cohort.matched_by_file": "SHA-256 of the file; the keys of the case ids differ",
    "cohort.paired_method": "paired changes, B minus A, with errors from patients resampled "
    "{rounds} times, seed {seed}",
}
