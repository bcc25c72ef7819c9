"""How a region was found, and why there is none."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "regions.not_looked_for": "not looked for",
    "regions.lungs_not_looked_for": "the lungs were not looked for",
    "regions.markers_not_looked_for": "markers were not looked for",
    "regions.nothing_annotated": "nothing is annotated",
}
