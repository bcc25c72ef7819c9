"""Tokens (batch, tokens, channels) -> the grid that they form, proven by changing the image.

A layer of another package may cut the image into patches and number them inside: no rule says
which token sees which pixels. It is measured. Every row and every column of an image is changed in
turn; the tokens whose value changes see it. The tokens are a grid only where each of them sees a
rectangle, and the rectangles are equal and lie at equal distances, one for each place. A token that
no change reaches does not depend on the image (a class token). Behind the first attention every
token sees the whole image: such tokens are no grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.graph import Graph, ancestors, run
from cxr_audit.classifier.receptive import Grid, Tokens
from cxr_audit.records import Floats, GridAxis, GridGeometry

AT_ONCE = 16
# Of the largest change: smaller ones are rounding.
ROUNDING = 1e-4

Seen = npt.NDArray[np.bool_]


def grid_of_tokens(graph: Graph, value: int, input_shape: tuple[int, int, int]) -> Grid | None:
    """The grid that the tokens of a value form; None where they form none.

    Parameters
    ----------
    value : of the graph, a tensor (batch, tokens, channels).
    input_shape : (rows, columns, channels) of the model input, in pixels.
    """
    needed = ancestors(graph.steps, {value})
    steps = [step for step in graph.steps if needed.intersection(step.outputs)]

    def tokens_of(images: Floats) -> Floats:
        return np.asarray(run(steps, {graph.input: images})[value], np.float32)

    rng = np.random.default_rng(0)
    image, other = rng.random((2, *input_shape), np.float32)
    before = tokens_of(image[None])[0]
    changes = []
    for axis, size in enumerate(input_shape[:2]):
        changes.append(_changes(tokens_of, image, other, before, axis, size))
    largest = max(float(change.max()) for change in changes)
    if not np.isfinite(largest) or largest == 0:
        return None
    rows, columns = (change > ROUNDING * largest for change in changes)
    return _lattice(rows, columns, before)


def _changes(
    tokens_of: Any, image: Floats, other: Floats, before: Floats, axis: int, size: int
) -> Floats:
    """How far each token moves where one row (or column) of the image is another: (size, tokens)."""
    changes = []
    for start in range(0, size, AT_ONCE):
        chosen = range(start, min(start + AT_ONCE, size))
        images = np.repeat(image[None], len(chosen), 0)
        for changed, place in zip(images, chosen, strict=True):
            at = (place,) if axis == 0 else (slice(None), place)
            changed[at] = other[at]
        changes.append(np.abs(tokens_of(images) - before).max(-1))
    return np.concatenate(changes)


def _lattice(rows: Seen, columns: Seen, values: Floats) -> Grid | None:
    """The grid of tokens that see these rows (rows, tokens) and columns (columns, tokens)."""
    sees = rows.any(0) & columns.any(0)
    if (rows.any(0) != columns.any(0)).any() or not sees.any():
        return None
    cells, others = np.flatnonzero(sees), np.flatnonzero(~sees)
    along_rows, along_columns = _intervals(rows[:, cells]), _intervals(columns[:, cells])
    if along_rows is None or along_columns is None:
        return None
    row_axis, row_of = _axis(along_rows)
    column_axis, column_of = _axis(along_columns)
    if row_axis is None or column_axis is None:
        return None
    size = int(row_of.max()) + 1, int(column_of.max()) + 1
    place = row_of * size[1] + column_of
    if min(size) < 2 or len(cells) != size[0] * size[1] or len(set(place)) != len(cells):
        return None
    of_cells = tuple(int(token) for token in cells[np.argsort(place)])
    tokens = Tokens(of_cells, tuple(int(token) for token in others), values[others])
    return Grid(GridGeometry(row_axis, column_axis), size, tokens=tokens)


def _intervals(seen: Seen) -> npt.NDArray[np.intp] | None:
    """First pixel, and the one after the last, of each token: (tokens, 2); None where one sees
    pixels apart from each other.
    """
    first = seen.argmax(0)
    end = len(seen) - seen[::-1].argmax(0)
    if (seen.sum(0) != end - first).any():
        return None
    return np.stack([first, end], 1)


def _axis(intervals: npt.NDArray[np.intp]) -> tuple[GridAxis | None, npt.NDArray[np.intp]]:
    """The axis that intervals form, and the cell of each of them."""
    different, cell_of = np.unique(intervals, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1)
    steps = np.unique(np.diff(different, axis=0))
    if len(different) < 2 or len(steps) != 1:
        return None, cell_of
    jump, (first, end) = int(steps[0]), different[0]
    length = int(end - first)
    offset = float(first + length / 2 - jump / 2)
    axis = GridAxis(jump, offset, float(first), float(different[-1, 1]), length)
    return axis, cell_of
