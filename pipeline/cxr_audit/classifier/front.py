"""What a model does with its input before its first weights -> the value range that it expects.

The steps in front (augmentation, rescaling, x / 255, normalisation, a `preprocess_input` inside)
are run on constant grey images, whatever their order and number: that shows the scale and the
offset they apply to a pixel. A model that changes nothing does not say what it was trained on, and
neither does the name of its backbone: programs that fine-tune ResNet50 use `preprocess_input` as
well as 1/255. The user then has to state it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_audit.classifier.classifier import Classifier
from cxr_audit.classifier.graph import Step, ancestors, descendants, run

# Grey values that tell an affine function from any other.
_GREYS = np.asarray([-1.0, 0.0, 0.25, 0.5, 1.0, 64.0, 127.5, 255.0])
# The width of a range that networks are trained on: [0, 1], [-1, 1], ImageNet's mean and deviation.
_WIDTHS = 0.9, 8.0
# What `preprocess_input` of mode caffe takes off.
_CAFFE = -130.0, -90.0
# How the families of keras.applications are trained where the preprocessing is not part of the
# model.
_FAMILIES = {
    "inception": "minus_one_one",
    "xception": "minus_one_one",
    "mobilenetv3": "raw_255",
    "mobilenet": "minus_one_one",
    "nasnet": "minus_one_one",
    "efficientnet": "raw_255",
    "convnext": "raw_255",
    "densenet": "imagenet",
    "resnet50v2": "minus_one_one",
    "resnet101v2": "minus_one_one",
    "resnet152v2": "minus_one_one",
    "resnet": "caffe",
    "vgg": "caffe",
}


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The value range of a model's input.

    Parameters
    ----------
    scaling : for `preprocess.scaling`; None = it cannot be read, and the user has to state it.
    reason : what was read, or why nothing could be.
    """

    scaling: str | None
    reason: str


def read_value_range(classifier: Classifier) -> ValueRange:
    """The value range that the steps before the first weights say."""
    fronts = _fronts(classifier)
    if not fronts:
        return ValueRange(None, "the model has no convolution and no dense layer")
    answers = _answers(classifier, fronts)
    ranges = {_read(answer, classifier) for answer in answers}
    if len(ranges) == 1:
        return ranges.pop()
    return ValueRange(None, "the branches of the model change the value range differently")


def _fronts(classifier: Classifier) -> list[int]:
    """The values that go into a first layer of weights, each once."""
    steps = classifier.graph.steps
    mixing = [step for step in steps if _has_kernel(step)]
    mixed = set[int]().union(*(step.outputs for step in mixing))
    behind = descendants(steps, mixed)
    firsts = [step for step in mixing if not behind.intersection(step.inputs)]
    start = descendants(steps, {classifier.graph.input})
    fronts: dict[int, None] = {}
    for step in firsts:
        fronts.update(dict.fromkeys(value for value in step.inputs if value in start))
    return list(fronts)


def _has_kernel(step: Step) -> bool:
    kind = type(step.operation).__name__
    is_known = any(word in kind for word in ("Conv", "Dense", "Attention", "Logits", "Einsum"))
    return is_known or hasattr(step.operation, "kernel")


def _answers(classifier: Classifier, fronts: list[int]) -> list[np.ndarray[Any, Any]]:
    """For each front the pixel in the middle, for each grey value: (greys, channels)."""
    rows, columns, channels = classifier.packed_shape
    graph = classifier.graph
    needed = ancestors(graph.steps, set(fronts))
    steps = [step for step in graph.steps if needed.intersection(step.outputs)]
    answers: list[list[Any]] = [[] for _ in fronts]
    for grey in _GREYS:
        image = np.full((1, rows, columns, channels), grey, np.float32)
        values = run(steps, {graph.input: image})
        for pixels, front in zip(answers, fronts, strict=True):
            tensor = np.asarray(values[front], np.float64)
            middle = tuple(size // 2 for size in tensor.shape[1:-1])
            pixels.append(tensor[(0, *middle)])
    return [np.stack(pixels) for pixels in answers]


def _read(answer: np.ndarray[Any, Any], classifier: Classifier) -> ValueRange:
    """The value range from what grey values become, (greys, channels)."""
    scales = answer[4] - answer[1]  # of 1 and of 0
    offsets = answer[1]
    expected = _GREYS[:, None] * scales + offsets
    tolerance = 1e-3 * max(1.0, np.abs(expected).max())
    if not np.isfinite(answer).all() or np.abs(answer - expected).max() > tolerance:
        return ValueRange(
            None, "the model changes its input by more than a scale and an offset of each pixel"
        )
    scale, offset = float(scales.mean()), float(offsets.mean())
    sign = "-" if offset < 0 else "+"
    applied = f"it computes {scale:.4g} * pixel {sign} {abs(offset):.4g} before its first weights"
    if abs(scale - 1) < 1e-3 and abs(offset) < 1e-3:
        return ValueRange(None, f"the model does not rescale its input{_family(classifier)}")
    is_caffe = abs(scale - 1) < 1e-3 and _CAFFE[0] < offset < _CAFFE[1]
    if is_caffe or _WIDTHS[0] <= 255 * scale <= _WIDTHS[1]:
        return ValueRange("raw_255", f"read from the model: {applied}")
    if _WIDTHS[0] <= scale <= _WIDTHS[1]:
        return ValueRange("unit", f"read from the model: {applied}")
    if _WIDTHS[0] <= 2 * scale and abs(offset - scale) < 0.1 * scale:
        return ValueRange("minus_one_one", f"read from the model: {applied}")
    return ValueRange(None, f"no value range in use fits what the model does: {applied}")


def _family(classifier: Classifier) -> str:
    """How a backbone of the same name was trained first, for the question."""
    names = [classifier.name, *(step.name for step in classifier.graph.steps)]
    for family, scaling in _FAMILIES.items():
        if any(family in name.lower() for name in names):
            return (
                f"; keras.applications trains {family} with {scaling}, programs that fine-tune it "
                "often use unit (1/255)"
            )
    return ""
