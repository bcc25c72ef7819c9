"""Activations and gradients -> class activation maps. One pure NumPy function a method.

Every function takes activations A and gradients g = dy/dA, both float32 (N, h, w, channels), and returns
(N, h, w). Where a paper ends in a ReLU over the map, the map is returned signed: its positive part speaks
for the class, its negative part against it, and drawing takes the part it needs.
"""

from __future__ import annotations

import numpy as np

from pipeline.records import Floats


def grad_cam(activations: Floats, gradients: Floats) -> Floats:
    """sum_k mean(g^k) A^k (Selvaraju et al., arXiv 1610.02391, section 3), before the ReLU."""
    return _weighted_sum(activations, gradients.mean((1, 2)))


def hirescam(activations: Floats, gradients: Floats) -> Floats:
    """sum_k g^k A^k, cell by cell (Draelos and Carin, arXiv 2011.08891). Exact for an affine head."""
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
    """Weights sum_ij (A^k_ij / sum A^k) g^k_ij, 0 where sum A^k = 0 (Fu et al., arXiv 2008.02312)."""
    total = activations.sum((1, 2))
    weighted = np.einsum("nhwk,nhwk->nk", activations, gradients)
    weights = np.divide(weighted, total, out=np.zeros_like(total), where=total != 0)
    return _weighted_sum(activations, weights)


def _weighted_sum(activations: Floats, weights: Floats) -> Floats:
    """sum_k w_k A^k: (N, h, w, channels), (N, channels) -> (N, h, w)."""
    return np.asarray(np.einsum("nhwk,nk->nhw", activations, weights), np.float32)


METHODS = {
    "grad-cam": grad_cam,
    "hirescam": hirescam,
    "grad-cam++": grad_cam_plus_plus,
    "layercam": layercam,
    "xgrad-cam": xgrad_cam,
}
