"""Coded concepts of the objects: standard codes where there are some, else our own scheme.

Standard codes are of DCM (PS3.16) and SNOMED CT. Our own codes are in the scheme `99CXRAUDIT`: a
code is the key of a row of the vocabulary, its meaning the row's label.
"""

from __future__ import annotations

import hashlib
import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from cxr_audit.vocabulary import METHODS

SCHEME = "99CXRAUDIT"
CODE_CHARACTERS = 16  # the VR SH
MEANING_CHARACTERS = 64  # the VR LO

PRESENT = CodedConcept("52101004", "SCT", "Present")
ABSENT = CodedConcept("272519000", "SCT", "Absent")  # CID 240
YES = CodedConcept("373066001", "SCT", "Yes")
NO = CodedConcept("373067005", "SCT", "No")
CHEST_RADIOGRAPHY = CodedConcept("399208008", "SCT", "Plain chest X-ray")
LUNGS = CodedConcept("39607008", "SCT", "Lung")
NO_UNITS = CodedConcept("1", "UCUM", "no units")
THRESHOLD = CodedConcept("122411", "DCM", "Threshold Value")
PROCESSING = CodedConcept("109102", "DCM", "Processing Equipment")

# SNOMED CT, for class names as they are usual; `export.findings` adds others.
FINDINGS = {
    "pneumonia": ("233604007", "SCT", "Pneumonia"),
    "normal": ("17621005", "SCT", "Normal"),
    "pneumothorax": ("36118008", "SCT", "Pneumothorax"),
    "pleural effusion": ("60046008", "SCT", "Pleural effusion"),
    "effusion": ("60046008", "SCT", "Pleural effusion"),
    "atelectasis": ("46621007", "SCT", "Atelectasis"),
    "cardiomegaly": ("8186001", "SCT", "Cardiomegaly"),
    "consolidation": ("95436008", "SCT", "Consolidation of lung"),
}
# PS3.16 CID for saliency: by class activation, by its gradient, or by the input's gradient.
GRADIENT_WEIGHTED = codes.DCM.GradientWeightedClassActivation
CLASS_ACTIVATION = codes.DCM.ClassActivation
SALIENCY = codes.DCM.Saliency
MAPS = {
    "grad-cam": GRADIENT_WEIGHTED,
    "grad-cam++": GRADIENT_WEIGHTED,
    "hirescam": GRADIENT_WEIGHTED,
    "xgrad-cam": GRADIENT_WEIGHTED,
    "layercam": GRADIENT_WEIGHTED,
    "layercam-fused": GRADIENT_WEIGHTED,
    "score-cam": CLASS_ACTIVATION,
    "eigen-cam": CLASS_ACTIVATION,
    "integrated-gradients": SALIENCY,
    "smoothgrad": SALIENCY,
}


def short(text: str, characters: int) -> str:
    """A text that fits; what was cut shows as an ellipsis of three dots."""
    text = text.replace("\\", "/")
    return text if len(text) <= characters else f"{text[: characters - 3]}..."


def own(key: str, meaning: str) -> CodedConcept:
    """A concept of our own scheme.

    Parameters
    ----------
    key : of a row of the vocabulary; what is too long for a code value is shortened, with four
        digits of its SHA-256, so that codes stay apart.
    meaning : in words; cut to 64 characters.
    """
    value = re.sub(r"[^A-Za-z0-9.+-]", "-", key)
    if len(value) > CODE_CHARACTERS or value != key:
        digest = hashlib.sha256(key.encode()).hexdigest()[:4]
        value = f"{value[: CODE_CHARACTERS - 5]}-{digest}"
    return CodedConcept(value, SCHEME, short(meaning, MEANING_CHARACTERS))


NOT_ASSESSED = own("not-assessed", "Not assessed")
CLASSIFIER_OUTPUT = own("output", "Classifier output, not a probability of disease")
LOGIT = own("logit", "Explained logit")
LOG_ODDS = CodedConcept("{log-odds}", "UCUM", "log-odds")
PREDICTED_CLASS = own("predicted", "Predicted class")
MAP_CHECKS = own("trust", "Checks of the explanation")
FOCUS_AREA = own("focus", "Strongest evidence of the model, not a lesion")
AREA_FRACTION = own("area", "Share of the radiograph")


def scheme_item() -> CodingSchemeIdentificationItem:
    """What the scheme `99CXRAUDIT` is (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME,
        name="Vocabulary of cxr-audit",
        responsible_organization="The cxr-audit maintainers",
    )


def finding(class_name: str, given: dict[str, tuple[str, str, str]]) -> CodedConcept:
    """The concept of a class of the classifier.

    Parameters
    ----------
    class_name : as the config has it.
    given : `export.findings`: class name -> code, scheme, meaning.
    """
    code = given.get(class_name) or FINDINGS.get(class_name.lower().replace("_", " "))
    return CodedConcept(*code) if code else own(f"class.{class_name}", class_name)


def map_method(method: str) -> CodedConcept:
    """The concept of a method of class activation maps."""
    if method in MAPS:
        return CodedConcept.from_code(MAPS[method])
    label = METHODS[method].label if method in METHODS else method
    return own(f"method.{method}", label)
