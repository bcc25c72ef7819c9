"""One model input and the classifier as a function of it -> maps that need nothing but answers.

    ask     inputs (M, rows, columns, channels) -> logits (M, units)

is given, so that everything here is NumPy. Maps are (h, w, units): the map of any explained scalar,
which is a selector times the logits, is the selector times these.

occlusion   what the logit loses when a cell is replaced by the baseline (Zeiler and Fergus, arXiv
            1311.2901, section 4.2; there a grey square)
rise        the logit under random masks, averaged where the masks keep a pixel (Petsiuk et al., arXiv
            1806.07421, eq. 6, here with the mean logit taken off, so that 0 is the average place)
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.explain.probing import sum_cells
from cxr_audit.records import Floats

Ask = Callable[[Floats], Floats]

MASK_CELLS = 7
KEPT = 0.5


def occlusion(x: Floats, start: Floats, ask: Ask, cells: int, at_once: int) -> Floats:
    """The logits of x minus those with each cell replaced.

    Parameters
    ----------
    x : (rows, columns, channels)
    start : what a replaced cell shows, like x
    ask : inputs -> logits
    cells : along each side; the input is divided as evenly as whole pixels allow
    at_once : inputs that are made together

    Returns
    -------
    float32 (cells, cells, units)
    """
    rows, columns = (np.linspace(0, side, cells + 1).round().astype(int) for side in x.shape[:2])
    before = ask(x[None])[0].astype(np.float64)
    logits: list[Floats] = []
    for first in range(0, cells**2, at_once):
        some = range(first, min(first + at_once, cells**2))
        inputs = np.repeat(x[None], len(some), 0)
        for changed, cell in zip(inputs, some, strict=True):
            i, j = divmod(cell, cells)
            place = slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1])
            changed[place] = start[place]
        logits.append(ask(inputs))
    lost = before - np.concatenate(logits)
    return np.asarray(lost.reshape(cells, cells, -1), np.float32)


def rise(
    x: Floats,
    start: Floats,
    ask: Ask,
    num_masks: int,
    grid: tuple[int, int],
    rng: np.random.Generator,
    at_once: int,
) -> Floats:
    """The covariance of the logits with what random masks keep, over the kept share.

    Parameters
    ----------
    x : (rows, columns, channels)
    start : what is shown where a mask keeps nothing, like x
    ask : inputs -> logits
    num_masks : number of masks
    grid : (h, w) of the map; pixels are averaged over its cells
    rng : of the masks
    at_once : inputs that are made together

    Returns
    -------
    float32 (h, w, units)
    """
    kept: list[npt.NDArray[np.float64]] = []
    logits: list[Floats] = []
    size = x.shape[0] / grid[0] * x.shape[1] / grid[1]
    for first in range(0, num_masks, at_once):
        masks = [random_mask(x.shape[:2], rng) for _ in range(min(at_once, num_masks - first))]
        inputs = [start + (x - start) * mask[..., None] for mask in masks]
        logits.append(ask(np.stack(inputs)))
        kept += [sum_cells(mask, grid).astype(np.float64) / size for mask in masks]
    y = np.concatenate(logits).astype(np.float64)
    y -= y.mean(0)
    total = np.tensordot(np.stack(kept), y, axes=(0, 0))
    return np.asarray(total / (num_masks * KEPT), np.float32)


def random_mask(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Random cells of 0 and 1, enlarged bilinearly and moved by less than a cell.

    Parameters
    ----------
    shape : (rows, columns) of the mask
    rng : of cells and place

    Returns
    -------
    float32 (rows, columns), in [0, 1]
    """
    rows, columns = (-(-side // MASK_CELLS) for side in shape)
    cells = (rng.random((MASK_CELLS, MASK_CELLS)) < KEPT).astype(np.float32)
    size = (MASK_CELLS + 1) * columns, (MASK_CELLS + 1) * rows
    enlarged = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)
    top, left = rng.integers(0, rows), rng.integers(0, columns)
    return np.asarray(enlarged[top : top + shape[0], left : left + shape[1]], np.float32)
