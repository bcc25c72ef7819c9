"""How other libraries resize and round a radiograph: one row a pipeline, by the name of the pipeline.

A row says what the library does where nothing else is configured, and which combinations of
interpolation and antialiasing it offers. `cxr_audit.preprocess` computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]
Rounding = Literal["none", "before", "after", "both"]
Convention = Literal["own", "tensorflow", "torchvision", "halves"]
"""How whole pixels are chosen for the size and the place of what is not stretched.

own : sizes are rounded, the smaller half of the rest lies before a letterboxed radiograph.
tensorflow : sizes are rounded down, as `tf.image.resize_with_pad` and `smart_resize` do.
torchvision : the longer side is rounded down, crops begin at the rounded half of the rest.
halves : the middle pixel of the crop is the middle pixel of the radiograph.
"""
PresetName = Literal[
    "keras-generator",
    "keras-image-dataset",
    "tf-image",
    "pil",
    "opencv",
    "torchvision",
    "torchxrayvision",
    "monai",
]
Numerics = Literal[
    "pillow", "keras", "opencv", "tensorflow", "torchvision", "torchxrayvision", "monai"
]

ALIASED, ANTIALIASED = (False,), (True,)
BOTH = (False, True)


@dataclass(frozen=True, slots=True)
class Preset:
    """One pipeline.

    Parameters
    ----------
    label : the library and its function.
    numerics : whose arithmetic is reproduced.
    interpolation : the library's default.
    antialias : by interpolation: what the library can do, its default first.
    rounding : where grey values are rounded to 8 bits.
    convention : how whole pixels are chosen.
    resize : what the pipeline does to the aspect, where the config does not say.
    """

    label: str
    numerics: Numerics
    interpolation: Interpolation
    antialias: dict[Interpolation, tuple[bool, ...]]
    rounding: Rounding
    convention: Convention
    resize: str = "stretch"


# Nearest neighbour is never antialiased, an average over areas and Pillow's filters always are.
_PILLOW: dict[Interpolation, tuple[bool, ...]] = {
    "nearest": ALIASED,
    "bilinear": ANTIALIASED,
    "bicubic": ANTIALIASED,
    "area": ANTIALIASED,
    "lanczos": ANTIALIASED,
}
_TENSORFLOW: dict[Interpolation, tuple[bool, ...]] = {
    "nearest": ALIASED,
    "bilinear": BOTH,
    "bicubic": BOTH,
    "area": ANTIALIASED,
    "lanczos": BOTH,
}

PRESETS: dict[PresetName, Preset] = {
    "keras-generator": Preset(
        "Keras load_img, ImageDataGenerator",
        "keras",
        "nearest",
        _PILLOW,
        "both",
        "tensorflow",
    ),
    "keras-image-dataset": Preset(
        "Keras image_dataset_from_directory",
        "tensorflow",
        "bilinear",
        _TENSORFLOW,
        "before",
        "tensorflow",
    ),
    "tf-image": Preset(
        "TensorFlow tf.image.resize",
        "tensorflow",
        "bilinear",
        _TENSORFLOW,
        "before",
        "tensorflow",
    ),
    "pil": Preset("Pillow Image.resize", "pillow", "bicubic", _PILLOW, "both", "own"),
    "opencv": Preset(
        "OpenCV cv2.resize",
        "opencv",
        "bilinear",
        {
            "nearest": ALIASED,
            "bilinear": ALIASED,
            "bicubic": ALIASED,
            "area": ANTIALIASED,
            "lanczos": ALIASED,
        },
        "both",
        "own",
    ),
    "torchvision": Preset(
        "torchvision transforms.Resize",
        "torchvision",
        "bilinear",
        {
            "nearest": ALIASED,
            "bilinear": (True, False),
            "bicubic": (True, False),
            "area": ANTIALIASED,
            "lanczos": ANTIALIASED,
        },
        "both",
        "torchvision",
    ),
    "torchxrayvision": Preset(
        "TorchXRayVision XRayResizer",
        "torchxrayvision",
        "bilinear",
        {"bilinear": (True, False), "area": ANTIALIASED},
        "before",
        "halves",
        "crop_resize",
    ),
    "monai": Preset(
        "MONAI Resize",
        "monai",
        "area",
        {
            "nearest": ALIASED,
            "bilinear": BOTH,
            "bicubic": BOTH,
            "area": ANTIALIASED,
        },
        "before",
        "halves",
    ),
}

# Without a preset: weights in floating point, no rounding.
PLAIN = Preset("no preset", "tensorflow", "bilinear", dict(_TENSORFLOW), "none", "own")


def unsupported(
    preset: PresetName | None, interpolation: Interpolation | None, antialias: bool | None
) -> str | None:
    """Why a library cannot do what is asked of it, None where it can."""
    row = PLAIN if preset is None else PRESETS[preset]
    name = "no preset" if preset is None else f"preset {preset}"
    chosen = interpolation or row.interpolation
    if chosen not in row.antialias:
        return f"{name} has no interpolation {chosen}; it has {', '.join(row.antialias)}"
    if antialias is not None and antialias not in row.antialias[chosen]:
        only = "always" if row.antialias[chosen] == ANTIALIASED else "never"
        return f"interpolation {chosen} of {name} is {only} antialiased: leave antialias empty"
    return None
