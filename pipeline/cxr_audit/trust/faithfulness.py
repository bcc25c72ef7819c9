"""(Model input, its map, the classifier as a function) -> do the highlighted cells move the logit?

deletion    cells blurred, highest first: the area below the logit's curve (Petsiuk et al., arXiv
            1806.07421)
insertion   the blurred input revealed, highest first: the same area
road        lowest first minus highest first, cells imputed (Rong et al., arXiv 2202.00449)

All are in log-odds and measure what the map's order gains over one by chance: above 0, the order
says something about the classifier. The order by chance of deletion and insertion is the map
itself, moved to a random other place: cells scattered at random would make many more edges, which
alone move a logit (on 32 Kermany cases such an order beats the map in insertion, and a random
smooth map beats it in deletion). The order from the centre outwards is reported beside it. For
`road`, chance is 0: lowest and highest first change places. Cells of one value are in random
order. NumPy only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.sparse.linalg import splu

from cxr_audit.explain.probing import cell_edges, repacked, sum_cells
from cxr_audit.records import TOUCHES, Floats, GridGeometry, Mask

Score = Callable[[Iterable[Floats]], Floats]
Order = npt.NDArray[np.intp]
Owners = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]

NOISE = 0.01
ROAD_GRID = 56
NO_NUMBERS = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Series:
    """Which inputs are asked of a case.

    Parameters
    ----------
    steps : of deletion and insertion, the first and the last of which are the input itself and
        nothing of it.
    shares : of the cells that ROAD removes.
    has_centre : deletion and insertion also in order from the centre outwards.
    """

    steps: int = 7
    shares: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    has_centre: bool = True

    @property
    def num_inputs(self) -> int:
        """Model inputs of one case."""
        num_orders = 6 if self.has_centre else 4
        return 2 + num_orders * (self.steps - 1) + 2 * len(self.shares)


@dataclass(frozen=True, slots=True)
class Gains:
    """What an order of cells gains over a random one, in log-odds, by the name of the check."""

    by_map: dict[str, float]
    by_centre: dict[str, float]


class Subject:
    """One case: the inputs that are asked, and what the answers to them say.

    Parameters
    ----------
    x : float32 (rows, columns, channels)
    values : float32 (h, w), the signed map; finite.
    fill : like x, what removed cells show.
    rng : of the orders and the noise.
    series : which inputs are asked.
    geometry : where the cells lie in x; None = an even division of it.
    further : numbers of further inputs, which go with each input unchanged.
    """

    def __init__(
        self,
        x: Floats,
        values: Floats,
        fill: Floats,
        rng: np.random.Generator,
        series: Series = Series(),
        geometry: GridGeometry | None = None,
        further: Floats = NO_NUMBERS,
    ) -> None:
        self.x, self.fill, self.rng, self.series = x, fill, rng, series
        self.grid, self.further = values.shape, further
        self._owner = _owners(x.shape, values.shape, geometry)
        nearness = _nearness(x.shape, values.shape, geometry) if series.has_centre else None
        self._orders = _orders(values, rng, nearness)

    def inputs(self) -> Iterator[Floats]:
        """The model inputs to ask, `series.num_inputs` of them."""
        for image in self._images():
            yield repacked(image[None], self.further)[0]

    def _images(self) -> Iterator[Floats]:
        yield self.x
        yield self.fill
        steps = self.series.steps
        for order in self._orders.values():
            for step in range(1, steps):
                removed = _enlarged(_cells(order, step / steps, self.grid), self._owner)
                yield np.where(removed, self.fill, self.x)
        yield from self._imputed()

    def _imputed(self) -> Iterator[Floats]:
        """The inputs of ROAD: the highest cells imputed, then the lowest."""
        deviation = NOISE * np.ptp(self.x)
        for order in (self._orders["map"], self._orders["map last"]):
            for share in self.series.shares:
                noise = deviation * self.rng.standard_normal(self.x.shape, np.float32)
                removed = _enlarged(_cells(order, share, self.grid), self._owner)
                yield impute(self.x, removed[..., 0]) + noise

    def gains(self, answers: Floats) -> Gains:
        """What the map's order gains.

        Parameters
        ----------
        answers : (`series.num_inputs`,), the explained logit of each of `inputs`.
        """
        y = answers.astype(np.float64)
        steps, num_shares = self.series.steps, len(self.series.shares)
        num_curves = len(self._orders)
        curves = y[2 : 2 + num_curves * (steps - 1)].reshape(num_curves, -1)
        # Removing the last cells first is revealing the first ones, read from its end.
        area: dict[str, float] = {}
        for name, curve in zip(self._orders, curves, strict=True):
            area[name] = float(np.trapezoid([y[0], *curve, y[1]], dx=1 / steps))
        most_first, least_first = y[-2 * num_shares :].reshape(2, -1).mean(1)
        by_map = _gains(area, "map")
        by_map["road"] = float(least_first - most_first)
        by_centre = _gains(area, "centre") if self.series.has_centre else {}
        return Gains(by_map, by_centre)


def measure(subjects: Sequence[Subject], score: Score) -> list[Gains]:
    """The gains of some cases.

    Parameters
    ----------
    score : any number of inputs -> explained logits, called once.
    """
    answers = score(x for subject in subjects for x in subject.inputs())
    gains = []
    start = 0
    for subject in subjects:
        stop = start + subject.series.num_inputs
        gains.append(subject.gains(answers[start:stop]))
        start = stop
    return gains


def _orders(values: Floats, rng: np.random.Generator, nearness: Floats | None) -> dict[str, Order]:
    """The orders in which cells are removed, by name."""
    found = {"map": order_of(values, rng), "chance": order_of(_moved(values, rng), rng)}
    if nearness is not None:
        found["centre"] = order_of(nearness, rng)
    orders: dict[str, Order] = {}
    for name, order in found.items():
        orders |= {name: order, f"{name} last": order[::-1]}
    return orders


def _gains(area: Mapping[str, float], name: str) -> dict[str, float]:
    """What an order gains over that by chance."""
    return {
        "deletion": area["chance"] - area[name],
        "insertion": area[f"{name} last"] - area["chance last"],
    }


def order_of(values: Floats, rng: np.random.Generator) -> Order:
    """Cells by value, the highest first; equal ones in random order."""
    shuffled = rng.permutation(values.size)
    return shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")]


def impute(x: Floats, missing: Mask) -> Floats:
    """The input with the pixels `missing` replaced by what their surroundings suggest.

    Each missing value is the mean of its eight neighbours, weights 1/6 beside and 1/12 across a
    corner, missing ones included: the linear imputation of Rong et al. It is solved on squares of
    at most `ROAD_GRID` a side, not on pixels, since the result is smooth; a square with a missing
    pixel is missing, and the others give the mean of their pixels. Some square has to stay.

    Parameters
    ----------
    x : (rows, columns, channels)
    missing : bool (rows, columns)
    """
    rows, columns = x.shape[:2]
    size = min(rows, ROAD_GRID), min(columns, ROAD_GRID)
    share = sum_cells(missing.astype(np.float32), size)
    fine = share > TOUCHES
    small = cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA).reshape(*size, -1)
    if fine.all():
        known = x[~missing] if not missing.all() else x.reshape(-1, x.shape[-1])
        return np.where(missing[..., None], known.mean(0), x)
    small = solve(small, fine)
    smooth = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR).reshape(x.shape)
    return np.where(missing[..., None], smooth, x)


def _weights() -> dict[tuple[int, int], float]:
    """Of the eight neighbours, by their offset."""
    weights: dict[tuple[int, int], float] = {}
    for row, column in itertools.product((-1, 0, 1), repeat=2):
        if (row, column) != (0, 0):
            weights[row, column] = 1 / 6 if 0 in (row, column) else 1 / 12
    return weights


WEIGHTS = _weights()


def solve(values: Floats, missing: Mask) -> Floats:
    """(rows, columns, channels) with `missing` (rows, columns) solved for.

    Each is the weighted mean of its neighbours; at the frame, of those inside.
    """
    places = np.argwhere(missing)
    number = np.full(missing.shape, -1)
    number[missing] = np.arange(len(places))
    total, known = np.zeros(len(places)), np.zeros((len(places), values.shape[2]))
    entries: list[tuple[Order, Order, float]] = []
    for offset, weight in WEIGHTS.items():
        row, column = (places + offset).T
        inside = (row >= 0) & (row < missing.shape[0]) & (column >= 0) & (column < missing.shape[1])
        at = np.flatnonzero(inside)
        beside = number[row[inside], column[inside]]
        total[at] += weight
        is_known = beside < 0
        known[at[is_known]] += weight * values[row[inside][is_known], column[inside][is_known]]
        entries.append((at[~is_known], beside[~is_known], -weight))
    diagonal = np.arange(len(places))
    i = np.concatenate([diagonal, *(rows for rows, _, _ in entries)])
    j = np.concatenate([diagonal, *(columns for _, columns, _ in entries)])
    data = np.concatenate([total, *(np.full(len(rows), weight) for rows, _, weight in entries)])
    equations = scipy.sparse.csc_matrix((data, (i, j)), shape=(len(places),) * 2)
    filled = values.copy()
    filled[missing] = splu(equations).solve(known)
    return filled


def _cells(order: Order, share: float, grid: tuple[int, ...]) -> Mask:
    """The first cells of an order, at least one and never all."""
    mask = np.zeros(order.size, np.bool_)
    mask[order[: min(max(1, round(share * order.size)), order.size - 1)]] = True
    return mask.reshape(grid)


def _owners(shape: tuple[int, ...], grid: tuple[int, ...], geometry: GridGeometry | None) -> Owners:
    """The cell that each row and each column of pixels belongs to; -1 where no cell sees it."""
    axes = (None, None) if geometry is None else (geometry.rows, geometry.columns)
    owners = []
    for axis, cells, size in zip(axes, grid, shape, strict=False):
        edges = cell_edges(axis, cells, size)
        centres = np.arange(size) + 0.5
        owner = np.searchsorted(edges, centres, side="right") - 1
        is_inside = (centres >= edges[0]) & (centres < edges[-1])
        owners.append(np.where(is_inside, np.clip(owner, 0, cells - 1), -1))
    return owners[0], owners[1]


def _enlarged(cells: Mask, owner: Owners) -> Mask:
    """Cells (h, w) as a mask of the pixels that they own, (rows, columns, 1)."""
    rows, columns = owner
    chosen = cells[np.ix_(rows, columns)] & (rows >= 0)[:, None] & (columns >= 0)
    return np.asarray(chosen[..., None], np.bool_)


def _moved(values: Floats, rng: np.random.Generator) -> Floats:
    """The map in another place; what leaves it at one side enters at the other."""
    steps = np.unravel_index(rng.integers(1, values.size), values.shape)
    return np.roll(values, steps, (0, 1))


def _nearness(
    shape: tuple[int, ...], grid: tuple[int, ...], geometry: GridGeometry | None
) -> Floats:
    """How near each cell lies to the centre of the input, (h, w)."""
    axes = (None, None) if geometry is None else (geometry.rows, geometry.columns)
    along = []
    for axis, cells, size in zip(axes, grid, shape, strict=False):
        edges = cell_edges(axis, cells, size) / size
        along.append(((edges[1:] + edges[:-1]) / 2 - 0.5) ** 2)
    return -np.add.outer(*along).astype(np.float32)
