"""Why a flag is raised, or could not be assessed."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "flags.no_more_than_controls": "The lungs hold {share:percent} of the positive evidence; the "
    "control map {control:name}, which does not use the classifier, has {of_control:percent} there "
    "(limit: {limit:g} times as much)",
    "flags.contour_outside": "The lungs hold {share:percent} of the positive evidence and "
    "{contour:percent} of the contour (limit {limit:percent}); the map's maximum lies outside them",
    "flags.no_control": "the case has no control map to compare with",
    "flags.no_marker": "no marker was found",
    "flags.replaced_raises": "With {region:name} replaced by the run's mean radiograph, the logit "
    "rises by {change:.1f} (limit {limit:.2g})",
    "flags.replaced_lowers": "With {region:name} replaced by the run's mean radiograph, the logit "
    "falls by {change:.1f} (limit {limit:.2g})",
    "flags.border_replaced_raises": "With the border replaced by the run's mean radiograph, "
    "the logit rises by {change:.1f} (limit {limit:.2g})",
    "flags.border_replaced_lowers": "With the border replaced by the run's mean radiograph, "
    "the logit falls by {change:.1f} (limit {limit:.2g})",
    "flags.evidence_at": "{share:percent} of the positive evidence lies at {region:name}, "
    "{enrichment:.1f} times its share of the area (limits {share_limit:percent} and "
    "{enrichment_limit:g})",
    "flags.brightness_raises": "From the darker to the brighter image the logit rises by "
    "{change:.1f} (limit {limit:.2g})",
    "flags.brightness_lowers": "From the darker to the brighter image the logit falls by "
    "{change:.1f} (limit {limit:.2g})",
    "flags.brightness_not_tried": "not assessed for this case: the image was not made darker "
    "and brighter",
    "flags.high_focus": "{share:percent} of the radiograph is high focus (limit {limit:percent})",
    "flags.no_threshold": "no threshold: the highest score decides",
    "flags.near_threshold": "The logit is {distance:.2f} log-odds from that of the threshold "
    "(limit {limit:g})",
    "flags.input_not_checked": "the input was not checked for it",
    "flags.checks_passed": "the input checks passed",
    "flags.within_limits": "within the limits",
    "flags.no_map": "there is no map",
    "flags.class_not_predicted": "{target} is not predicted, so the place of evidence for it is "
    "not assessed",
    "flags.not_measured": "not measured: {regions:name}",
    "flags.not_replaced": "not assessed for this case: the region was not replaced",
    "flags.no_spread": "the logits of the run do not differ within a label",
    "flags.factor_moves": "the logit changes by {change:.2f} standard deviations over the usual range "
    "(limit {limit:g})",
    "flags.several": "{reasons}",
}
