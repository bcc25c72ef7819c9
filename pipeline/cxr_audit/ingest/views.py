"""Terms and codes for the view of a radiograph -> the terms of this project.

PS3.3 C.8.1.1.1 (CR) and C.8.11.5.1.2 (DX) define the terms, PS3.16 CID 4010 the codes. The other
terms stand in large public sets (MIMIC-CXR, PadChest, CheXpert, BRAX).
"""

from __future__ import annotations

import re

FRONTAL_VIEWS = frozenset({"AP", "PA"})
LATERAL_VIEWS = frozenset({"LL", "RL", "LAT", "LATERAL"})
OBLIQUE_VIEWS = frozenset({"RLO", "LLO", "RAO", "LAO", "RPO", "LPO", "OBLIQUE"})
OTHER_VIEWS = frozenset({"RLD", "LLD", "LORDOTIC", "SWIMMERS", "OTHER"})
VIEWS = FRONTAL_VIEWS | LATERAL_VIEWS | OBLIQUE_VIEWS | OTHER_VIEWS
FRONTAL = "FRONTAL"  # AP or PA, and the file does not say which

SYNONYMS = {
    FRONTAL: FRONTAL,
    "POSTEROANTERIOR": "PA", "POSTERO ANTERIOR": "PA", "POSTERIOR ANTERIOR": "PA",
    "ANTEROPOSTERIOR": "AP", "ANTERO POSTERIOR": "AP", "ANTERIOR POSTERIOR": "AP",
    "LEFT LATERAL": "LL", "LT LAT": "LL", "L LAT": "LL", "LLAT": "LL", "LAT LEFT": "LL",
    "RIGHT LATERAL": "RL", "RT LAT": "RL", "R LAT": "RL", "RLAT": "RL", "LAT RIGHT": "RL",
    "XTABLE LATERAL": "LATERAL", "CROSS TABLE LATERAL": "LATERAL",
    "OBL": "OBLIQUE", "OBLICUA": "OBLIQUE", "AP OBLIQUE": "OBLIQUE", "PA OBLIQUE": "OBLIQUE",
    "AP LLD": "LLD", "PA LLD": "LLD", "AP RLD": "RLD", "PA RLD": "RLD",
    "AP AXIAL": "LORDOTIC", "AP LORDOTIC": "LORDOTIC",
}  # fmt: skip
# How the patient is held or the detector is placed: says nothing of the direction of the beam.
POSITIONS = frozenset(
    {"CHEST", "ERECT", "UPRIGHT", "STANDING", "SITTING", "SUPINE", "PORTABLE", "MOBILE"}
)
# SNOMED CT, and the codes of SNOMED RT that older files carry.
CODED_VIEWS = {
    "399348003": "AP", "R-10206": "AP",
    "272479007": "PA", "R-10214": "PA", "R-40888": "PA",
    "399173006": "LL", "R-10236": "LL",
    "399198007": "RL", "R-10232": "RL",
    "399067008": "LATERAL", "R-102CD": "LATERAL",
    "399033003": FRONTAL, "R-10202": FRONTAL,
    "399356000": "RAO", "R-40985": "RAO",
    "399135007": "LAO", "R-10220": "LAO",
    "399038007": "RPO", "R-10210": "RPO",
    "399006002": "LPO", "R-10212": "LPO",
    "399236003": "OBLIQUE", "R-10234": "OBLIQUE",
    "399184004": "OBLIQUE", "R-10238": "OBLIQUE",
    "399182000": "OBLIQUE", "R-102C1": "OBLIQUE",
    "399312000": "OBLIQUE", "R-10208": "OBLIQUE",
    "399059000": "OBLIQUE", "R-10216": "OBLIQUE",
    "399160007": "OBLIQUE", "R-10204": "OBLIQUE",
    "260427002": "OBLIQUE", "R-40783": "OBLIQUE",
    "399061009": "OTHER", "R-10241": "OTHER",
    "399110001": "OTHER", "R-102C2": "OTHER",
    "399196006": "OTHER", "R-10244": "OTHER",
    "399162004": "OTHER", "R-10242": "OTHER",
}  # fmt: skip


def view_of(text: str) -> str | None:
    """The view that a term in capitals means, None where it is not known."""
    words = re.split(r"[\s_\-/]+", text.strip())
    phrase = " ".join(words)
    if phrase in VIEWS:
        return phrase
    if phrase in SYNONYMS:
        return SYNONYMS[phrase]
    beam = [word for word in words if word not in POSITIONS]
    return beam[0] if len(beam) == 1 and beam[0] in VIEWS else None


def same_projection(first: str, second: str) -> bool:
    """Whether two views can be of one radiograph; LL and LATERAL can, AP and PA cannot."""
    groups = (LATERAL_VIEWS, OBLIQUE_VIEWS)
    return first == second or any({first, second} <= group for group in groups)
