"""Grey values changed before or after the radiograph is resized."""

from __future__ import annotations

import cv2
import numpy as np

from cxr_audit.records import Floats

CLAHE_TILES = 8


def equalise(pixels: Floats, clip_limit: float) -> Floats:
    """CLAHE on 8-bit grey values, 8x8 tiles (Zuiderveld, Graphics Gems IV, 1994; OpenCV's clip limit)."""
    clahe = cv2.createCLAHE(clip_limit, (CLAHE_TILES, CLAHE_TILES))
    grey = np.round(pixels * 255).astype(np.uint8)
    return np.asarray(clahe.apply(grey), np.float32) / np.float32(255)
