"""How many decimals a number needs beside its limit."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 4


def decimals_beside(numbers: Iterable[float], limit: float | None, least: int = 2) -> int:
    """The fewest decimals that tell every number from the limit, where it is not the limit.

    Parameters
    ----------
    numbers : to print.
    limit : that they are compared with; None = there is none.
    least : decimals that are printed at least.

    Returns
    -------
    At most `MOST`.
    """
    others = [] if limit is None else [number - limit for number in numbers if number != limit]
    for decimals in range(least, MOST):
        if all(round(distance, decimals) for distance in others):
            return decimals
    return MOST
