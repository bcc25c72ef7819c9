"""Why a case or a calibration is not what was asked for."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "audit.output_not_finite": "the classifier's output is not a finite number",
    "audit.check_scaling": (
        "check preprocess.scaling: the classifier may expect another value range"
    ),
    "audit.unexpected": "an unexpected error of the software: {kind} at {places}",
    "audit.report_unexpected": "please report this reason; the other cases are not affected",
    "audit.out_of_memory": "the case needs more memory than the process could get",
    "audit.input_of_column": "column {column} of the manifest",
    "audit.input_of_attribute": "DICOM attribute {attribute}",
    "audit.input_stands_in": "{origin}: missing; the value stated in the config stands for it",
    "audit.input_missing": "the input {name} of the classifier has no value ({origin})",
    "audit.input_not_understood": (
        "the value of the input {name} of the classifier is no number, or not among its categories "
        "({origin})"
    ),
    "audit.state_input": "complete the data, or set classifier.inputs: missing",
    "audit.scale_of_run": (
        "{percentile}th percentile of the maps' maxima over {num} cases spread over the run; "
        "larger values are clipped"
    ),
    "audit.scale_of_case": "each map's own maximum",
}
