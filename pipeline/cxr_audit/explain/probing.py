"""One model input and the classifier as a function of it -> maps of the methods that ask the
classifier again.

    score       inputs (M, rows, columns, channels) -> y (M,), the explained logit
    gradient    the same inputs -> dy/dx, of their shape

are given, so that everything here is NumPy. Inputs are made and asked `at_once` at a time: memory
does not grow with the number of steps or channels. Attributions to input pixels are summed over
channels and over cells of about 8 x 8 pixels (`grid_of`, `sum_cells`): no evidence is lost, and a
map stays a small record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, GridAxis, GridGeometry

Score = Callable[[Floats], Floats]
Gradient = Callable[[Floats], Floats]

CELL_PX = 8
BLUR = 1 / 16
NOISE = 0.15


def baseline(x: Floats, name: str, black: Floats) -> Floats:
    """The input without evidence.

    Parameters
    ----------
    x : (rows, columns, channels)
    name : "black", "darkest" (this input's lowest value of each channel), "mean" (its mean of each
        channel) or "blurred" (Gaussian, sigma 1/16 of the longer side).
    black : (channels,), the radiograph's black in the model's range.

    Returns
    -------
    float32 like x
    """
    if name == "blurred":
        blurred = cv2.GaussianBlur(
            x, (0, 0), BLUR * max(x.shape[:2]), borderType=cv2.BORDER_REPLICATE
        )
        return np.asarray(blurred.reshape(x.shape), np.float32)
    values = {"black": black, "darkest": x.min((0, 1)), "mean": x.mean((0, 1))}[name]
    return np.asarray(np.broadcast_to(values, x.shape), np.float32)


def score_cam(
    x: Floats,
    activations: Floats,
    score: Score,
    background: Floats,
    at_once: int,
    num_channels: int | None = None,
    geometry: GridGeometry | None = None,
) -> tuple[Floats, int]:
    """sum_k softmax_k(y(b + (x - b) H^k)) A^k, H^k the upsampled min-max map.

    Wang et al., arXiv 1910.01279, alg. 1.

    Parameters
    ----------
    x : (rows, columns, channels)
    activations : (h, w, K)
    background : b, like x. The paper masks towards 0, which is only black where the input range
        starts there.
    num_channels : only that many channels, those of the largest standard deviation; None = all
    geometry : where the cells lie in the input; None = an even division of it

    Returns
    -------
    The map (h, w), and the number of channels used. The paper subtracts y(b) from every score,
    which leaves the softmax as it is. y is the logit of the class, so that one sigmoid unit has a
    map for each side. A channel that is constant says nothing about place and has no weight.
    """
    places = np.flatnonzero(activations.max((0, 1)) > activations.min((0, 1)))
    channels = places[np.argsort(-activations[..., places].std((0, 1)), kind="stable")][
        :num_channels
    ]
    if not len(channels):
        return np.zeros(activations.shape[:2], np.float32), 0
    scores = []
    for some in _chunks(channels, at_once):
        kept = activations[..., some]
        low = kept.min((0, 1))
        masks = (kept - low) / (kept.max((0, 1)) - low)
        enlarged = [enlarge(masks[..., k], x.shape[:2], geometry) for k in range(len(some))]
        scores.append(score(background + (x - background) * np.stack(enlarged)[..., None]))
    y = np.concatenate(scores).astype(np.float64)
    if not np.isfinite(y).all():
        return np.full(activations.shape[:2], np.nan, np.float32), len(channels)
    weights = np.exp(y - y.max())
    weights /= weights.sum()
    return np.asarray(activations[..., channels] @ weights, np.float32), len(channels)


def integrated_gradients(
    x: Floats, start: Floats, gradient: Gradient, steps: int, at_once: int
) -> Floats:
    """(x - x') times the integral of dy/dx on the straight path from x' (Sundararajan et al., arXiv
    1703.01365).

    The map sums to y(x) - y(x') but for the error of the quadrature, the completeness gap.

    Parameters
    ----------
    x : (rows, columns, channels)
    start : x', like x
    gradient : of the explained logit
    steps : number of Gauss-Legendre nodes
    at_once : inputs that are computed together

    Returns
    -------
    float32 like x
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(x.shape, np.float64)
    for some in _chunks(np.arange(steps), at_once):
        along = ((nodes[some] + 1) / 2).astype(np.float32)[:, None, None, None]
        gradients = gradient(start + along * (x - start))
        total += np.tensordot(weights[some] / 2, gradients.astype(np.float64), 1)
    return np.asarray((x - start) * total, np.float32)


def path_integral(gradient: Callable[[float], Floats], steps: int) -> npt.NDArray[np.float64]:
    """The integral of a gradient over a straight path, by Gauss-Legendre quadrature.

    Parameters
    ----------
    gradient : share of the way, in (0, 1) -> the gradient there.
    steps : number of nodes.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros((), np.float64)
    for node, weight in zip(nodes, weights, strict=True):
        total = total + weight / 2 * gradient(float(node + 1) / 2).astype(np.float64)
    return total


def repacked(images: Floats, further: Floats) -> Floats:
    """Images (N, rows, columns, channels) with the numbers of further inputs as even channels."""
    if not len(further):
        return images
    planes = np.broadcast_to(further, (*images.shape[:3], len(further)))
    return np.concatenate([images, planes], -1).astype(np.float32)


def smoothgrad(
    x: Floats, gradient: Gradient, samples: int, rng: np.random.Generator, at_once: int
) -> Floats:
    """Mean of dy/dx over noisy copies of x (Smilkov et al., arXiv 1706.03825).

    The deviation of the noise is 15 % of the input's range. The map is signed; the paper draws its
    absolute value.

    Parameters
    ----------
    x : (rows, columns, channels)
    gradient : of the explained logit
    samples : number of noisy copies
    rng : of the noise
    at_once : inputs that are computed together

    Returns
    -------
    float32 like x, in logits per unit of the model input
    """
    deviation = np.float32(NOISE * (x.max() - x.min()))
    total = np.zeros(x.shape, np.float64)
    for some in _chunks(np.arange(samples), at_once):
        noise = rng.standard_normal((len(some), *x.shape), np.float32)
        total += gradient(x + deviation * noise).sum(0, np.float64)
    return np.asarray(total / samples, np.float32)


def grid_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Cells of a map on an input of (rows, columns, ...): of 8 x 8 pixels, or as near to it as an
    even split allows.
    """
    return max(1, round(shape[0] / CELL_PX)), max(1, round(shape[1] / CELL_PX))


def enlarge(values: Floats, shape: tuple[int, ...], geometry: GridGeometry | None = None) -> Floats:
    """Interpolate bilinearly between the centres of cells.

    Parameters
    ----------
    values : (h, w)
    shape : (rows, columns) of the model input
    geometry : where the cells lie in the input; None = an even division of it

    Returns
    -------
    float32 (rows, columns)
    """
    if geometry is None:
        enlarged = cv2.resize(values, shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)
    rows = _interpolation(geometry.rows, values.shape[0], shape[0])
    columns = _interpolation(geometry.columns, values.shape[1], shape[1])
    return np.asarray(rows @ values @ columns.T, np.float32)


def _interpolation(axis: GridAxis, cells: int, size: int) -> npt.NDArray[np.float64]:
    """Bilinear weights (size, cells), constant beyond the outermost centres."""
    cell = np.clip((np.arange(size) + 0.5 - axis.offset) / axis.jump - 0.5, 0, cells - 1)
    below = np.minimum(np.floor(cell).astype(int), max(cells - 2, 0))
    weights = np.zeros((size, cells))
    pixels = np.arange(size)
    weights[pixels, below] = 1 - (cell - below)
    weights[pixels, np.minimum(below + 1, cells - 1)] += cell - below
    return weights


def sum_cells(
    values: Floats, grid: tuple[int, int], geometry: GridGeometry | None = None
) -> Floats:
    """Sum pixels over cells. A pixel across an edge is split by area.

    Parameters
    ----------
    values : (rows, columns)
    grid : (h, w)
    geometry : where the cells lie. None = the cells are equal, and the total is kept; else pixels
        that the grid does not see are left out.

    Returns
    -------
    float32 (h, w)
    """
    on_rows, on_columns = (None, None) if geometry is None else (geometry.rows, geometry.columns)
    along_rows = _overlap(cell_edges(on_rows, grid[0], values.shape[0]), values.shape[0])
    along_columns = _overlap(cell_edges(on_columns, grid[1], values.shape[1]), values.shape[1])
    return np.asarray(along_rows @ values.astype(np.float64) @ along_columns.T, np.float32)


def cell_edges(axis: GridAxis | None, cells: int, size: int) -> npt.NDArray[np.float64]:
    """Where cells begin and end: half-way between their centres, the outer ones where sight ends.

    Parameters
    ----------
    axis : where the cells lie; None = an even division
    cells : their number
    size : of the input in pixels

    Returns
    -------
    (cells + 1,), in input pixels
    """
    if axis is None:
        return np.linspace(0.0, size, cells + 1)
    edges = axis.offset + np.arange(cells + 1) * axis.jump
    edges[0], edges[-1] = axis.low, axis.high
    return np.asarray(np.clip(edges, axis.low, axis.high), np.float64)


def _overlap(edges: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Share of each of `size` pixels that lies between each two edges: (cells, size)."""
    pixels = np.arange(size)
    length = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(length, 0, None), np.float64)


def _chunks(items: npt.NDArray[np.intp], size: int) -> Iterator[npt.NDArray[np.intp]]:
    return (items[start : start + size] for start in range(0, len(items), size))
