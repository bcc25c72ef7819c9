"""The known word that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known word that is nearest to a word, whatever their case.

    Parameters
    ----------
    cutoff : least likeness, from 0 to 1 (`difflib`).

    Returns
    -------
    The word, None where none is near.
    """
    by_folded: dict[str, str] = {}
    for name in known:
        by_folded.setdefault(name.casefold(), name)
    near = difflib.get_close_matches(word.casefold(), by_folded, 1, cutoff)
    return by_folded[near[0]] if near else None
