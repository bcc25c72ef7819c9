"""What torchvision, TorchXRayVision, MONAI and scikit-image make of a small image.

Run where these are installed; cxr-audit itself does not need them:

    python benchmarks/preset_references.py tests/preprocess/references.npz

The arrays are named library/resize/interpolation/antialias/case; `versions` says what made them.
"""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np

SIZE = 48, 40
CASES = {"down": (97, 131), "up": (30, 23), "even": (96, 80)}


def picture(rows: int, columns: int) -> np.ndarray:
    """Noise, a ramp and a sharp frame: uint8, the same on every machine (a linear congruence)."""
    state = np.uint64(rows * 65536 + columns)
    noise = np.empty(rows * columns, np.uint64)
    for index in range(noise.size):
        state = (state * np.uint64(1664525) + np.uint64(1013904223)) % np.uint64(2**32)
        noise[index] = state >> np.uint64(24)
    ramp = np.linspace(0, 255, columns)[None] * np.linspace(0.2, 1, rows)[:, None]
    values = (noise.reshape(rows, columns).astype(np.float64) + 2 * ramp) / 3
    values[rows // 3 : rows // 2, columns // 4 : columns // 3] = 255
    values[0] = 250
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def torchvision_arrays() -> dict[str, np.ndarray]:
    import torch
    from PIL import Image
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    modes = {
        "nearest": InterpolationMode.NEAREST,
        "bilinear": InterpolationMode.BILINEAR,
        "bicubic": InterpolationMode.BICUBIC,
        "area": InterpolationMode.BOX,
        "lanczos": InterpolationMode.LANCZOS,
    }
    arrays = {}
    for case, shape in CASES.items():
        image = Image.fromarray(picture(*shape))
        for name, mode in modes.items():
            resized = transforms.Resize(SIZE, mode)(image)
            antialias = name != "nearest"
            arrays[f"torchvision/stretch/{name}/{antialias}/{case}"] = np.asarray(resized)
        tensor = torch.from_numpy(picture(*shape))[None]
        for name in ("bilinear", "bicubic"):
            resized = transforms.Resize(SIZE, modes[name], antialias=False)(tensor)
            arrays[f"torchvision/stretch/{name}/False/{case}"] = resized[0].numpy()
        cut = transforms.Compose([transforms.Resize(52), transforms.CenterCrop(SIZE)])
        arrays[f"torchvision/center_crop/bilinear/True/{case}"] = np.asarray(cut(image))
    return arrays


def torchxrayvision_arrays() -> dict[str, np.ndarray]:
    import torchxrayvision

    arrays = {}
    crop = torchxrayvision.datasets.XRayCenterCrop()
    for case, shape in CASES.items():
        image = torchxrayvision.datasets.normalize(picture(*shape).astype(np.float32), 255)[None]
        for name, engine in (("bilinear", "skimage"), ("area", "cv2")):
            resize = torchxrayvision.datasets.XRayResizer(40, engine=engine)
            arrays[f"torchxrayvision/crop_resize/{name}/True/{case}"] = resize(crop(image))[0]
    return arrays


def monai_arrays() -> dict[str, np.ndarray]:
    import torch
    from monai.transforms import Resize

    arrays = {}
    combinations = [
        ("nearest", False),
        ("bilinear", False),
        ("bilinear", True),
        ("bicubic", False),
        ("bicubic", True),
        ("area", True),
    ]
    for case, shape in CASES.items():
        tensor = torch.from_numpy(picture(*shape).astype(np.float32))[None]
        for name, antialias in combinations:
            smooth = antialias and name != "area"
            resized = Resize(SIZE, mode=name, anti_aliasing=smooth)(tensor)
            arrays[f"monai/stretch/{name}/{antialias}/{case}"] = np.asarray(resized)[0]
    return arrays


def skimage_arrays() -> dict[str, np.ndarray]:
    from skimage import exposure

    image = picture(*CASES["down"])
    low, high = np.percentile(image, (2, 98))
    spread = exposure.rescale_intensity(image.astype(float), (low, high), (0, 255))
    return {
        "skimage/equalize_hist": exposure.equalize_hist(image).astype(np.float32) * 255,
        "skimage/adjust_gamma": exposure.adjust_gamma(image / 255, 0.7) * 255,
        "skimage/rescale_intensity": spread,
    }


def main() -> None:
    names = ("torch", "torchvision", "torchxrayvision", "monai", "scikit-image", "pillow")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    arrays = {
        **torchvision_arrays(),
        **torchxrayvision_arrays(),
        **monai_arrays(),
        **skimage_arrays(),
    }
    kept = {
        name: array if array.dtype == np.uint8 else np.asarray(array, np.float32)
        for name, array in arrays.items()
    }
    np.savez_compressed(sys.argv[1], versions=np.array(versions), **kept)
    print(f"{len(kept)} arrays by {', '.join(versions)}")


if __name__ == "__main__":
    main()
