"""What stops a case while it is audited."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "audit.output_not_finite": "the classifier's output is not a finite number",
    "audit.check_scaling": "check preprocess.scaling: the classifier may expect another value range",
}
