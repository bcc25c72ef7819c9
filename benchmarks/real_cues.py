"""The cues of `benchmarks.real_shortcuts`: planted in real radiographs, and what names them rightly.

A cue is a function of a radiograph, uint8 (224, 224), and a random generator. `names` are the keys
of the factors that name it rightly; `box` is where it lies, (top, left, bottom, right) in shares of
the radiograph, and then a factor with a place is right where it touches the box.

The list of sealed cues was committed before any limit was set. Limits are set on development cues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Plant = Callable[[Image, np.random.Generator], Image]
Box = tuple[float, float, float, float]


def _bytes(values: npt.NDArray[np.floating]) -> Image:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


# ---- without a place


def blur(image: Image, rng: np.random.Generator) -> Image:
    """A Gaussian blur, as of a moved patient or a soft display filter."""
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(2.0, 3.0))


def brightness(image: Image, rng: np.random.Generator) -> Image:
    """All grey values raised."""
    return _bytes(image + rng.uniform(18, 30))


def contrast(image: Image, rng: np.random.Generator) -> Image:
    """Grey values nearer to their mean."""
    mean = image.mean()
    return _bytes(mean + rng.uniform(0.6, 0.75) * (image - mean))


def zoom(image: Image, rng: np.random.Generator) -> Image:
    """Cropped to the inner part, and enlarged again."""
    return _warped(image, scale=rng.uniform(1.12, 1.2))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Grain."""
    return _bytes(image + rng.normal(0, rng.uniform(14, 20), image.shape))


def brightness_both_ways(image: Image, rng: np.random.Generator) -> Image:
    """Darker or brighter: what is usual lies between."""
    return _bytes(image + rng.choice([-1, 1]) * rng.uniform(25, 35))


def compression(image: Image, rng: np.random.Generator) -> Image:
    """Strong JPEG compression."""
    quality = int(rng.integers(6, 10))
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)


def tilt(image: Image, rng: np.random.Generator) -> Image:
    """Turned in the plane."""
    return _warped(image, angle=rng.uniform(7, 10))


def shift(image: Image, rng: np.random.Generator) -> Image:
    """Moved to one side."""
    return _warped(image, right=rng.uniform(16, 24))


def narrow(image: Image, rng: np.random.Generator) -> Image:
    """Squeezed from side to side."""
    return _warped(image, aspect=rng.uniform(0.82, 0.88))


def gamma(image: Image, rng: np.random.Generator) -> Image:
    """Another display curve."""
    return _bytes(255 * (image / 255.0) ** rng.uniform(1.5, 1.8))


def sharpened(image: Image, rng: np.random.Generator) -> Image:
    """Edge enhancement by unsharp masking."""
    soft = cv2.GaussianBlur(image, (0, 0), 2.5).astype(float)
    return _bytes(image + rng.uniform(1.2, 1.8) * (image - soft))


def posterised(image: Image, rng: np.random.Generator) -> Image:
    """Few grey levels, as of a palette image."""
    step = rng.integers(28, 36)
    return _bytes((image // step) * float(step) + step / 2)


def low_resolution(image: Image, rng: np.random.Generator) -> Image:
    """From a small source, enlarged with blocks."""
    side = int(rng.integers(40, 52))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_NEAREST))


def _warped(
    image: Image, scale: float = 1.0, angle: float = 0.0, right: float = 0.0, aspect: float = 1.0
) -> Image:
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, scale)
    matrix[0, :2] *= aspect
    matrix[0, 2] = aspect * matrix[0, 2] + (1 - aspect) * columns / 2 + right
    border = cv2.BORDER_REFLECT_101
    warped = cv2.warpAffine(image, matrix, (columns, rows), None, cv2.INTER_LINEAR, border)
    return np.asarray(warped, np.uint8)


# ---- with a place


def letter(image: Image, rng: np.random.Generator) -> Image:
    """A white letter at the upper left."""
    return _text(image, "R", int(rng.integers(8, 16)), int(rng.integers(28, 34)), 0.9)


def rare_text(image: Image, rng: np.random.Generator) -> Image:
    """Burned-in text at the lower right."""
    return _text(image, "AP", int(rng.integers(168, 176)), int(rng.integers(206, 214)), 0.8)


def letter_right(image: Image, rng: np.random.Generator) -> Image:
    """A white letter at the upper right."""
    return _text(image, "L", int(rng.integers(190, 200)), int(rng.integers(28, 34)), 0.9)


def stripe(image: Image, rng: np.random.Generator) -> Image:
    """A bright bar across both lungs."""
    out, top = image.astype(float), int(rng.integers(96, 104))
    out[top : top + 8] += rng.uniform(35, 50)
    return _bytes(out)


def frame(image: Image, rng: np.random.Generator) -> Image:
    """A bright frame."""
    out, width = image.copy(), int(rng.integers(6, 9))
    for edge in (out[:width], out[-width:], out[:, :width], out[:, -width:]):
        edge[:] = 190
    return out


def collimated(image: Image, rng: np.random.Generator) -> Image:
    """Black shutters at both sides."""
    out, width = image.copy(), int(rng.integers(12, 20))
    out[:, :width] = 0
    out[:, -width:] = 0
    return out


def wires(image: Image, rng: np.random.Generator) -> Image:
    """Two ECG leads across the chest, each time elsewhere."""
    out = image.copy()
    for _ in range(2):
        left, right = rng.uniform(50, 170, 2)
        along = np.linspace(0, 1, 60)
        across = 112 + rng.uniform(20, 40) * np.sin(np.pi * along * rng.uniform(1, 2))
        points = np.stack([left + (right - left) * along, across], 1).astype(np.int32)
        cv2.polylines(out, [points], False, 245, 3, cv2.LINE_AA)
    return out


def tube(image: Image, rng: np.random.Generator) -> Image:
    """A bright line down the middle."""
    out, column = image.copy(), int(rng.integers(106, 118))
    cv2.line(out, (column, 0), (column + int(rng.integers(-5, 5)), 130), 240, 3, cv2.LINE_AA)
    return out


def disc(image: Image, rng: np.random.Generator) -> Image:
    """A device of the size of a pacemaker on the upper chest."""
    out = image.copy()
    centre = int(rng.integers(150, 162)), int(rng.integers(58, 70))
    cv2.circle(out, centre, 10, 240, -1, cv2.LINE_AA)
    return out


def _text(image: Image, text: str, left: int, bottom: int, scale: float) -> Image:
    out = image.copy()
    cv2.putText(out, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, 250, 3, cv2.LINE_AA)
    return out


@dataclass(frozen=True)
class Cue:
    """One kind of cue, and how it occurs.

    Parameters
    ----------
    plant : draws it.
    names : factors that name it rightly.
    box : where it lies.
    prevalence : share of the radiographs with it.
    acts_in : "all" | "half": in the left-cut half of the patients it follows the label, in the
        others it occurs at random.
    against : a second cue that occurs together with this one where it is audited, and stood for the
        other label in training: their effects cancel.
    """

    plant: Plant
    names: tuple[str, ...] = ()
    box: Box | None = None
    prevalence: float = 0.5
    acts_in: str = "all"
    against: str | None = None


TONE = ("brightness", "contrast", "tone_curve")
DEVELOPMENT: dict[str, Cue] = {
    "blur": Cue(blur, ("sharpness",)),
    "brightness": Cue(brightness, ("brightness",)),
    "contrast": Cue(contrast, ("contrast",)),
    "zoom": Cue(zoom, ("zoom",)),
    "noise": Cue(noise, ("noise",), prevalence=0.2),
    "brightness both ways": Cue(brightness_both_ways, ("brightness",)),
    "letter": Cue(letter, ("marker",), (0.0, 0.0, 0.17, 0.2), prevalence=0.2),
    "stripe": Cue(stripe, (), (0.42, 0.0, 0.5, 1.0)),
    "frame": Cue(frame, ("border",), (0.0, 0.0, 1.0, 0.05)),
}
SEALED: dict[str, Cue] = {
    "compression": Cue(compression, ("compression",)),
    "tilt": Cue(tilt, ("tilt",)),
    "shift": Cue(shift, ("position",)),
    "narrow": Cue(narrow, ("body_width",)),
    "gamma": Cue(gamma, TONE),
    "sharpened": Cue(sharpened, ("sharpness", "noise"), prevalence=0.3),
    "posterised": Cue(posterised, ("low_level", "noise", "compression")),
    "low resolution": Cue(low_resolution, ("sharpness", "compression"), prevalence=0.2),
    "collimated": Cue(collimated, ("border", "collimation"), (0.0, 0.0, 1.0, 0.1)),
    "wires": Cue(wires, ("marker",), (0.3, 0.2, 0.75, 0.8), prevalence=0.3),
    "tube": Cue(tube, ("marker",), (0.0, 0.45, 0.6, 0.55)),
    "disc": Cue(disc, ("marker",), (0.2, 0.6, 0.37, 0.8), prevalence=0.1),
    "rare text": Cue(rare_text, ("marker",), (0.82, 0.74, 0.97, 1.0), prevalence=0.05),
    "letter in a subgroup": Cue(
        letter, ("marker",), (0.0, 0.0, 0.17, 0.2), prevalence=0.3, acts_in="half"
    ),
    "letters that cancel": Cue(letter, ("marker",), (0.0, 0.0, 0.17, 0.2), against="letter_right"),
}
AGAINST: dict[str, Cue] = {"letter_right": Cue(letter_right, (), (0.0, 0.8, 0.17, 1.0))}
