"""Section 4: what the output depends on, by factor, and where in the radiograph."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import CohortRecord, FactorVerdict
from cxr_audit.report.language import N_, _, in_line, named, said
from cxr_audit.report.words import DASH, View, number, sentence
from cxr_audit.vocabulary.factors import factor_words

STATES = {
    "uses": N_("output depends on it"),
    "not_used": N_("no dependence found"),
    "undecided": N_("undecided"),
    "not_examined": N_("not examined"),
}
NUM_BANDS = 8


def factor_table(cohort: CohortRecord) -> View | None:
    """Each factor with its verdict, the most important first; those not examined by name."""
    if not cohort.factors:
        return None
    examined = _shown(cohort.factors)
    missing = [found for found in cohort.factors if found.verdict == "not_examined"]
    reasons: dict[str, list[str]] = {}
    for found in missing:
        reasons.setdefault(said(found.reason), []).append(in_line(factor_name(found)))
    return {
        "lead": lead(cohort.factors),
        "rows": [_row(found) for found in examined],
        "missing": [
            _("{names}: {reason}", names=", ".join(names), reason=reason)
            for reason, names in reasons.items()
        ],
    }


def _shown(verdicts: Sequence[FactorVerdict]) -> list[FactorVerdict]:
    """The factors that were examined; of the bands without a finding only the first."""
    shown, has_band = [], False
    for found in verdicts:
        is_band = found.factor.startswith("place_")
        is_quiet = found.verdict == "not_used" and is_band and has_band
        has_band |= is_band
        if found.verdict != "not_examined" and not is_quiet:
            shown.append(found)
    return shown


def band_shares(cohort: CohortRecord) -> tuple[list[float], list[float]] | None:
    """The effects of the eight rows and of the eight columns; None where one was not examined."""
    effects = {found.factor: found.effect for found in cohort.factors}
    shares = []
    for kind in ("row", "column"):
        found = [effects.get(f"place_{kind}_{n}") for n in range(1, NUM_BANDS + 1)]
        known = [effect for effect in found if effect is not None]
        if len(known) < NUM_BANDS:
            return None
        shares.append(known)
    return shares[0], shares[1]


def lead(verdicts: Sequence[FactorVerdict]) -> str:
    """What the output depends on, in one sentence."""
    used = [in_line(factor_name(found)) for found in verdicts if found.verdict == "uses"]
    if used:
        return _("The output depends on: {names}.", names=", ".join(used))
    undecided = sum(found.verdict == "undecided" for found in verdicts)
    if all(found.verdict == "not_examined" for found in verdicts):
        return _("No factor was examined.")
    if undecided:
        return _(
            "No dependence was shown. Undecided factors: {num}. A dependence on what was not "
            "examined remains possible.",
            num=undecided,
        )
    return _(
        "No dependence was found on the factors that were examined. A dependence on others "
        "remains possible."
    )


def factor_name(found: FactorVerdict) -> str:
    """A factor in words; a band of the radiograph with its number from the top or left."""
    words = factor_words(found.factor)
    if found.factor.startswith("place_"):
        return _("place: {band} of 8", band=named(words))
    return named(words)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _row(found: FactorVerdict) -> View:
    effect = DASH if found.effect is None else number(found.effect)
    interval = DASH
    if found.interval_95 is not None:
        low, high = found.interval_95
        interval = _("{low} to {high}", low=number(low), high=number(high))
    return {
        "name": _capital(factor_name(found)),
        "state": _(STATES[found.verdict]),
        "is_used": found.verdict == "uses",
        "effect": effect,
        "interval": interval,
        "count": f"{found.num_cases} / {found.num_patients}",
        "reason": sentence(said(found.reason)),
    }
