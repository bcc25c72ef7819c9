"""Tensors of cells -> features on one grid, in the image's own orientation, and back.

The branches of a model may have grids of several sizes, and of an image that was flipped or
transposed. Each coarse value is shared out evenly among the fine cells that lie in its cell; on the
way back they are summed, which gives the value itself. The gradient is then that of the coarse
value, so that activation times gradient adds up to the same on either grid: no evidence is lost or
made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from cxr_audit.classifier.receptive import Grid, Tokens
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, GridAxis, GridGeometry


@dataclass(frozen=True, eq=False)
class View:
    """One layer's tensor, seen as cells of a grid.

    Parameters
    ----------
    name, value : of the layer, and the place of its output in the graph.
    grid : how the tensor lies in the image.
    channels : of the tensor.
    spread : along rows and columns, (cells of the grid in common, cells of the layer): 1 where a
        value goes to, else 0; None where the two grids are one.
    common : the grid in common; None where it is the layer's own.
    """

    name: str
    value: int
    grid: Grid
    channels: int
    spread: tuple[Floats, Floats] | None = None
    common: tuple[tuple[int, int], GridGeometry] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the cells."""
        return self.grid.size if self.common is None else self.common[0]

    @property
    def geometry(self) -> GridGeometry:
        return self.grid.geometry if self.common is None else self.common[1]

    def to_cells(self, tensor: Any) -> Any:
        """The layer's tensor (N, ., ., channels), or its tokens (N, ., channels) -> cells (N, rows,
        columns, channels).
        """
        tokens = self.grid.tokens
        if tokens is not None:
            chosen = tf.gather(tensor, tokens.of_cells, axis=1)
            tensor = tf.reshape(chosen, (-1, *self.grid.size, self.channels))
        if self.grid.is_transposed:
            tensor = tf.transpose(tensor, (0, 2, 1, 3))
        tensor = self._reversed(tensor)
        if self.spread is not None:
            shares = [matrix / matrix.sum(0, keepdims=True) for matrix in self.spread]
            rows, columns = (tf.cast(matrix, tensor.dtype) for matrix in shares)
            tensor = tf.einsum("fi,nijk,gj->nfgk", rows, tensor, columns)
        return tensor

    def from_cells(self, cells: Any) -> Any:
        """The inverse of `to_cells`."""
        if self.spread is not None:
            rows, columns = (tf.cast(matrix, cells.dtype) for matrix in self.spread)
            cells = tf.einsum("fi,nfgk,gj->nijk", rows, cells, columns)
        if self.grid.tokens is not None:
            return self._tokens(cells, self.grid.tokens)
        cells = self._reversed(cells)
        return tf.transpose(cells, (0, 2, 1, 3)) if self.grid.is_transposed else cells

    def _tokens(self, cells: Any, tokens: Tokens) -> Any:
        """Cells as tokens, with those that are no cells between them."""
        flat = tf.reshape(cells, (-1, len(tokens.of_cells), self.channels))
        others = tf.cast(tokens.values, flat.dtype)[None]
        others = tf.repeat(others, tf.shape(flat)[0], axis=0)
        order = np.argsort((*tokens.of_cells, *tokens.others))
        return tf.gather(tf.concat([flat, others], 1), order, axis=1)

    def _reversed(self, tensor: Any) -> Any:
        axes = [axis + 1 for axis, backwards in enumerate(self.grid.is_reversed) if backwards]
        return tf.reverse(tensor, axes) if axes else tensor


def common_grid(views: Sequence[View]) -> tuple[View, ...]:
    """Views of several branches on the finest grid among them.

    Raises
    ------
    ModelError : a branch sees a part of the image where the finest grid has no cell.
    """
    if len(views) == 1:
        return tuple(views)
    finest = min(views, key=lambda view: (_jump(view), -np.prod(view.size)))
    geometries = [view.geometry for view in views]
    rows = _joined(finest.geometry.rows, [geometry.rows for geometry in geometries])
    columns = _joined(finest.geometry.columns, [geometry.columns for geometry in geometries])
    common = finest.size, GridGeometry(rows, columns)
    return tuple(_on(view, finest, common) for view in views)


def _jump(view: View) -> float:
    return view.geometry.rows.jump * view.geometry.columns.jump


def _joined(axis: GridAxis, axes: Sequence[GridAxis]) -> GridAxis:
    """An axis with what the grids see together."""
    fields = [other.field_px for other in axes]
    known = [field for field in fields if field is not None]
    return replace(
        axis,
        low=min(other.low for other in axes),
        high=max(other.high for other in axes),
        field_px=max(known) if len(known) == len(fields) else None,
    )


def _on(view: View, finest: View, common: tuple[tuple[int, int], GridGeometry]) -> View:
    if (view.size, _places(view)) == (finest.size, _places(finest)):
        return replace(view, common=common)
    rows = _spread(finest.geometry.rows, finest.size[0], view.geometry.rows, view.size[0])
    columns = _spread(finest.geometry.columns, finest.size[1], view.geometry.columns, view.size[1])
    if not (rows.any(0).all() and columns.any(0).all()):
        raise ModelError(
            f"the branches {view.name!r} and {finest.name!r} of the model see different parts of "
            "the image: their maps have no grid in common",
            f"set explain.target_layer to one of them: {view.name} or {finest.name}",
        )
    return replace(view, spread=(rows, columns), common=common)


def _places(view: View) -> tuple[float, ...]:
    rows, columns = view.geometry.rows, view.geometry.columns
    return rows.jump, rows.offset, columns.jump, columns.offset


def _spread(fine: GridAxis, num_fine: int, coarse: GridAxis, num_coarse: int) -> Floats:
    """(fine cells, coarse cells): 1 where the centre of a fine cell lies in a coarse one."""
    centres = fine.offset + (np.arange(num_fine) + 0.5) * fine.jump
    nearest = np.floor((centres - coarse.offset) / coarse.jump).astype(int)
    chosen = np.clip(nearest, 0, num_coarse - 1)
    is_seen = (centres >= coarse.low) & (centres <= coarse.high)
    spread = np.zeros((num_fine, num_coarse), np.float32)
    spread[np.flatnonzero(is_seen), chosen[is_seen]] = 1
    return spread
