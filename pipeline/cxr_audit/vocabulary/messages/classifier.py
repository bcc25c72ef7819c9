"""What scalar is explained, how the head is read, and where a threshold comes from."""

from cxr_audit.vocabulary.message import Template

MESSAGES: dict[str, Template] = {
    "classifier.scalar_log_odds": (
        'log(p / (1 - p)) of "{class_name}": the output is a probability, not one activation'
    ),
    "classifier.scalar_sigmoid": 'logit of "{class_name}" (sigmoid unit)',
    "classifier.scalar_sigmoid_negated": 'logit of "{class_name}" (sigmoid unit, negated)',
    "classifier.scalar_two_softmax": (
        'logit of "{class_name}" minus the logit of the other class (two softmax units)'
    ),
    "classifier.scalar_label_negated": (
        'logit of "{class_name}", negated (sigmoid unit, 1 of {num_units})'
    ),
    "classifier.scalar_unit": ('logit of "{class_name}" ({activation} unit, 1 of {num_units})'),
    "classifier.threshold_of_config": "config",
    "classifier.threshold_not_validated": "default, not validated",
    "classifier.highest_score": "the class with the highest score is predicted",
    "classifier.head_closed_form": (
        "global average pooling and one dense layer, read in closed form"
    ),
    "classifier.head_affine": "{steps}, affine, by gradient through the head",
    "classifier.head_not_affine": "{steps}, not affine, by gradient through the head",
    "classifier.head_closed": "not known: the model is only asked ({runtime})",
    "classifier.unavailable": (
        "its layers, weights and gradients cannot be read: {methods}; the check that the map "
        "depends on the trained weights; the logit by region; maps of further layers"
    ),
    "classifier.head_half_precision": (
        "{steps}, computed in {precision}, by gradient through the head"
    ),
}
