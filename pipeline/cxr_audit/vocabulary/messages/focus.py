"""Why a metric of a map is undefined."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "focus.map_is_zero": "the map is zero everywhere",
    "focus.no_positive_part": "the whole map is evidence against this class",
    "focus.gradient_lost": "the gradient vanishes in float32",
    "focus.not_finite": "the map holds values that are not finite",
    "focus.all_in_padding": "all positive evidence lies in padding",
    "focus.single_cell": "the map has a single cell",
    "focus.region_empty": "the region is empty",
    "focus.region_not_seen": "the region lies outside what the model saw",
    "focus.one_value": "the map has one value only, so no threshold divides it",
}
