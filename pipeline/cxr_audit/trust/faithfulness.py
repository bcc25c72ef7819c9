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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.sparse.linalg import splu

from cxr_audit.records import Floats, Mask

Score = Callable[[Floats], Floats]
Order = npt.NDArray[np.intp]

STEPS = 7
ROAD = (0.2, 0.4, 0.6, 0.8)
NOISE = 0.01
ROAD_GRID = 56
NUM_INPUTS = 2 + 6 * (STEPS - 1) + 2 * len(ROAD)


@dataclass(frozen=True, slots=True)
class Gains:
    """What an order of cells gains over a random one, in log-odds, by the name of the check."""

    by_map: dict[str, float]
    by_centre: dict[str, float]


def measure(
    x: Floats, values: Floats, fill: Floats, score: Score, rng: np.random.Generator
) -> Gains:
    """The gains of one case.

    Parameters
    ----------
    x : float32 (rows, columns, channels)
    values : float32 (h, w), the signed map; finite.
    fill : like x, what removed cells show.
    score : inputs (M, rows, columns, channels) -> explained logits (M,), called once with
        `NUM_INPUTS` of them.
    rng : of the orders and the noise.
    """
    orders = _orders(values, rng)
    inputs = [x, fill]
    for order in orders.values():
        for step in range(1, STEPS):
            removed = _enlarged(_cells(order, step / STEPS, values.shape), x)
            inputs.append(np.where(removed, fill, x))
    inputs += _imputed(x, values.shape, orders, rng)
    y = score(np.stack(inputs)).astype(np.float64)
    curves = y[2 : 2 + len(orders) * (STEPS - 1)].reshape(len(orders), -1)
    # Removing the last cells first is revealing the first ones, read from its end.
    area: dict[str, float] = {}
    for name, curve in zip(orders, curves, strict=True):
        area[name] = float(np.trapezoid([y[0], *curve, y[1]], dx=1 / STEPS))
    most_first, least_first = y[-2 * len(ROAD) :].reshape(2, -1).mean(1)
    road = {"road": float(least_first - most_first)}
    return Gains(_gains(area, "map") | road, _gains(area, "centre"))


def _orders(values: Floats, rng: np.random.Generator) -> dict[str, Order]:
    """The orders in which cells are removed, by name."""
    first, chance = order_of(values, rng), order_of(_moved(values, rng), rng)
    centre = order_of(_nearness(values.shape), rng)
    orders: dict[str, Order] = {}
    for name, order in (("map", first), ("chance", chance), ("centre", centre)):
        orders |= {name: order, f"{name} last": order[::-1]}
    return orders


def _imputed(
    x: Floats, grid: tuple[int, ...], orders: Mapping[str, Order], rng: np.random.Generator
) -> list[Floats]:
    """The inputs of ROAD: the highest cells imputed, then the lowest."""
    deviation = NOISE * np.ptp(x)
    inputs: list[Floats] = []
    for order in (orders["map"], orders["map last"]):
        for share in ROAD:
            noise = deviation * rng.standard_normal(x.shape, np.float32)
            inputs.append(impute(x, _cells(order, share, grid)) + noise)
    return inputs


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
    """The input with the cells `missing` (h, w) replaced by what their surroundings suggest.

    Each missing value is the mean of its eight neighbours, weights 1/6 beside and 1/12 across a
    corner, missing ones included: the linear imputation of Rong et al. It is solved on cells split
    into about `ROAD_GRID` a side, not on pixels, since the result is smooth. Some cell has to stay.
    """
    rows, columns = x.shape[:2]
    h, w = missing.shape
    parts = max(1, min(rows // h, columns // w, ROAD_GRID // max(h, w)))
    fine = np.repeat(np.repeat(missing, parts, 0), parts, 1)
    small = cv2.resize(x, fine.shape[::-1], interpolation=cv2.INTER_AREA).reshape(*fine.shape, -1)
    small = solve(small, fine)
    smooth = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR).reshape(x.shape)
    return np.where(_enlarged(missing, x), smooth, x)


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


def _enlarged(cells: Mask, x: Floats) -> Mask:
    """Cells (h, w) as a mask of the pixels of x, (rows, columns, 1)."""
    size = x.shape[1::-1]
    enlarged = cv2.resize(cells.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(enlarged[..., None], np.bool_)


def _moved(values: Floats, rng: np.random.Generator) -> Floats:
    """The map in another place; what leaves it at one side enters at the other."""
    steps = np.unravel_index(rng.integers(1, values.size), values.shape)
    return np.roll(values, steps, (0, 1))


def _nearness(grid: tuple[int, ...]) -> Floats:
    along = [((np.arange(n) + 0.5) / n - 0.5) ** 2 for n in grid]
    return -np.add.outer(*along).astype(np.float32)
