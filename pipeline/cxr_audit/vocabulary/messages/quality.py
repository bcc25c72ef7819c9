"""What the checks of the input measured, and why a case was excluded or failed."""

from cxr_audit.vocabulary.message import Plural, Template

MESSAGES: dict[str, Template] = {
    # limits
    "quality.at_least": "at least {limit:g}",
    "quality.at_most": "at most {limit:g}",
    "quality.none": "none",
    "quality.in_the_image": "in the image",
    "quality.two_lungs": "two lungs, or at least {limit:g}",
    "quality.views": "{views}",
    "quality.years": "{first} to {last} years",
    "quality.original": "original, for presentation, of a patient",
    # the grey values
    "quality.blank": "The image is blank or nearly blank: its grey values span {value:.2f} of the "
    "range (at least {limit:g})",
    "quality.low_contrast": "The contrast is low: the grey values of the exposed field span "
    "{value:.2f} of the range (at least {limit:g})",
    "quality.clipped": "{value:percent} of the image's middle is completely black or white "
    "(limit {limit:percent})",
    "quality.framed": "A uniform frame covers {value:percent} of the image (limit {limit:percent})",
    # the lungs
    "quality.no_chest": "The image does not look like a frontal chest radiograph: {value:percent} "
    "of it looks like lung (at least {limit:percent})",
    "quality.cropped": "Lung covers {value:percent} of one image edge (limit {limit:percent})",
    "quality.tilted": "The radiograph is rotated by {value:.0f} degrees (limit {limit:g})",
    "quality.inverted": "Lungs were found only in the negative: black and white may be exchanged",
    "quality.no_lungs": "no lungs were found, neither upright nor turned nor in the negative",
    "quality.lungs_not_looked_for": "lungs were not looked for: regions.lungs is none",
    # the header
    "quality.no_view": "the file states no view",
    "quality.other_view": "The view is {view}: out of scope",
    "quality.no_age": "the file states no age",
    "quality.no_ages_in_scope": "the model card states no ages",
    "quality.other_age": "The patient's age, {band} years, is outside the model's population",
    "quality.age_partly": "the age is known as {band} years, which is partly in scope",
    "quality.text_stated": "The file states that text is burned into the pixels. Text may name the "
    "patient or influence the classifier",
    "quality.text_found": Plural(
        "{num} outline in the pixels looks like burned-in text",
        "{num} outlines in the pixels look like burned-in text",
    ),
    "quality.text_unknown": "the file does not say, and markers were not looked for",
    "quality.derived": "The image type is DERIVED: computed from another image",
    "quality.secondary": "The image type is SECONDARY: made after the examination",
    "quality.post_processed": "The image type is POST_PROCESSED: changed after the exposure",
    "quality.for_processing": "The image is FOR PROCESSING: raw detector values, not the image for "
    "readers",
    "quality.phantom": "A quality-control image: a phantom, not a patient",
    "quality.no_image_type": "the file states no image type",
    "quality.plain_image": "a plain image states no image type",
    # the run
    "quality.no_uid": "the file has no SOP Instance UID",
    "quality.same_uid": "Case {case}, earlier in the run, has the same SOP Instance UID",
    "quality.same_pixels": "Case {case}, earlier in the run, has the same pixels",
    # what the config asks for
    "quality.several": "{reasons}",
    "quality.hint": "Look at the radiograph. To audit it with a caution, remove {checks} from "
    "quality.{key}",
}
