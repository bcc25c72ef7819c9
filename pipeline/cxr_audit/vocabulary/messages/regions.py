"""How a region was found, and why there is none."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "regions.not_looked_for": "not looked for",
    "regions.lungs_not_looked_for": "the lungs were not looked for",
    "regions.markers_not_looked_for": "markers were not looked for",
    "regions.nothing_annotated": "nothing is annotated",
    # how a region was found
    "regions.by_segmenter": "the lung segmenter",
    "regions.by_segmenter_with_warning": "the lung segmenter; {warning}",
    "regions.lung_may_be_cut": (
        "one lung may be cut: the {side:name} has {ratio:percent} of the area of the other"
        " (limit {limit:percent})"
    ),
    "regions.third_of_lung": "a third of the lung's height",
    "regions.between_lungs": "between the lungs",
    "regions.hull_of_lungs": "smallest convex area that holds both lungs",
    "regions.dark_at_edge": "dark and joined to the image's edge",
    "regions.outer_ring": "the outer {share:percent} of the image",
    "regions.at_corner": "{share:percent} by {share:percent} of the image",
    "regions.by_package": "the package {package}",
    "regions.rest": "what lies in none of the other regions",
    "regions.sharp_outline": "sharp closed outline: {what:name}",
    # why no lungs were found
    "regions.lungs_not_found": "lungs not found: {reason}",
    "regions.nothing_like_lung": "nothing looks like lung",
    "regions.one_area": "one area only, expected two",
    "regions.lung_area": (
        "the {side:name} would cover {share:percent} of the image (expected {least:percent} to"
        " {largest:percent})"
    ),
    "regions.lung_cut_off": "the {side:name} is cut off at an edge of the image ({edge:name})",
    "regions.lung_too_flat": "the {side:name} would be too narrow or too flat",
    "regions.lung_too_ragged": "the {side:name} would be too ragged",
    "regions.areas_differ": "the two sides differ too much in area",
    "regions.not_beside": "the two areas do not lie beside each other",
    "regions.uncertain": (
        "the segmentation is too uncertain ({confidence:.2f}, expected at least {least:.2f})"
    ),
}
