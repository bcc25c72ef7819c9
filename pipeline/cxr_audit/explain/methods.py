"""Activations and gradients -> class activation maps. One pure NumPy function a method.

Every function takes activations A and gradients g = dy/dA, both float32 (N, h, w, channels), and
returns (N, h, w). Where a paper ends in a ReLU over the map, the map is returned signed: its
positive part speaks for the class, its negative part against it, and drawing takes the part it
needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from cxr_audit.records import Floats
from cxr_audit.vocabulary import METHODS

GradientMethod = Callable[[Floats, Floats], Floats]
"""(activations, gradients), float32 (N, h, w, channels) each -> maps (N, h, w)."""


def grad_cam(activations: Floats, gradients: Floats) -> Floats:
    """sum_k mean(g^k) A^k (Selvaraju et al., arXiv 1610.02391, section 3), before the ReLU."""
    return _weighted_sum(activations, gradients.mean((1, 2)))


def hirescam(activations: Floats, gradients: Floats) -> Floats:
    """sum_k g^k A^k, cell by cell (Draelos and Carin, arXiv 2011.08891); exact for affine heads."""
    return np.asarray(np.einsum("nhwk,nhwk->nhw", activations, gradients), np.float32)


def grad_cam_plus_plus(activations: Floats, gradients: Floats) -> Floats:
    """Weights sum_ij alpha ReLU(g), alpha = g^2 / (2 g^2 + (sum A) g^3), 0 where g = 0
    (Chattopadhyay et al., arXiv 1710.11063, eq. 10 and 19). Not in logit units."""
    squared = gradients**2
    denominator = 2 * squared + activations.sum((1, 2), keepdims=True) * squared * gradients
    alpha = np.divide(squared, denominator, out=np.zeros_like(denominator), where=denominator != 0)
    return _weighted_sum(activations, (alpha * np.maximum(gradients, 0)).sum((1, 2)))


def layercam(activations: Floats, gradients: Floats) -> Floats:
    """sum_k ReLU(g^k) A^k (Jiang et al., IEEE TIP 2021)."""
    return hirescam(activations, np.maximum(gradients, 0))


def xgrad_cam(activations: Floats, gradients: Floats) -> Floats:
    """Weights sum_ij (A^k_ij / sum A^k) g^k_ij, 0 where sum A^k = 0.

    Fu et al., arXiv 2008.02312.
    """
    total = activations.sum((1, 2))
    weighted = np.einsum("nhwk,nhwk->nk", activations, gradients)
    weights = np.divide(weighted, total, out=np.zeros_like(total), where=total != 0)
    return _weighted_sum(activations, weights)


def eigen_cam(activations: Floats, gradients: Floats) -> Floats:
    """A v, v the first right-singular vector of A as cells x channels (Muhammad and Yeasin, arXiv
    2008.00299).

    Class-blind: the gradients are not looked at. The sign of v, which the decomposition leaves
    open, is the one that makes the sum of the map positive. Not in logit units.
    """
    maps = np.full(activations.shape[:3], np.nan, np.float32)
    for n in np.flatnonzero(np.isfinite(activations).all((1, 2, 3))):
        cells = activations[n].reshape(-1, activations.shape[-1])
        left, singular, _ = np.linalg.svd(cells, full_matrices=False)
        projected = left[:, 0] * singular[0]
        maps[n] = (projected if projected.sum() >= 0 else -projected).reshape(maps.shape[1:])
    return maps


def fuse(maps: Sequence[Floats]) -> Floats:
    """LayerCAM maps of several layers -> one, on the finest of their grids (Jiang et al., IEEE TIP
    2021).

    tanh(2 M / max M) of each positive part, brought to one grid (bilinear, half-pixel centres),
    then the largest of all layers. The paper scales its shallow layers only; here every layer is,
    so that none sets the range of the others. In [0, 1), not in logit units; 0 where no layer has a
    positive part, NaN where a map is not finite.
    """
    rows, columns = max(m.shape[1:] for m in maps)
    fused = []
    for values in maps:
        positive = np.maximum(values, 0)
        highest = positive.max((1, 2), keepdims=True)
        scaled = np.tanh(2 * np.divide(positive, highest, out=positive * 0, where=highest != 0))
        fused.append([_resized(layer_map, rows, columns) for layer_map in scaled])
    return np.asarray(np.max(fused, axis=0), np.float32)


def _resized(values: Floats, rows: int, columns: int) -> Floats:
    """Bilinear, half-pixel centres."""
    resized = cv2.resize(values, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _weighted_sum(activations: Floats, weights: Floats) -> Floats:
    """sum_k w_k A^k: (N, h, w, channels), (N, channels) -> (N, h, w)."""
    return np.asarray(np.einsum("nhwk,nk->nhw", activations, weights), np.float32)


FUNCTIONS: dict[str, GradientMethod] = {
    "grad-cam": grad_cam,
    "hirescam": hirescam,
    "grad-cam++": grad_cam_plus_plus,
    "layercam": layercam,
    "xgrad-cam": xgrad_cam,
    "eigen-cam": eigen_cam,
}


def gradient_method(key: str) -> GradientMethod | None:
    """The function of a method that needs activations and gradients; None for any other method."""
    row = METHODS[key]
    if row.needs != "gradients":
        return None
    return row.function or FUNCTIONS[key]
