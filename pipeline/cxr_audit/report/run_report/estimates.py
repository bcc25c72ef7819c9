"""Estimates, counts and reasons in words: what the sections of the run report share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cxr_audit.records import CountedReason, Estimate
from cxr_audit.report.language import _, grouped, plural, said
from cxr_audit.report.names import column_label
from cxr_audit.report.words import DASH, percent, score, sentence, stopped_short
from cxr_audit.vocabulary import decimals_beside

MOST_REASONS = 3


@dataclass(frozen=True, slots=True)
class EstimateView:
    """A figure with its interval.

    Parameters
    ----------
    value : "undefined" where there is none.
    ends : of the 95 % interval.
    reason : why the value or the interval is missing.
    basis : number of cases / patients.
    """

    value: str
    ends: tuple[str, str] | None
    reason: str | None
    basis: str

    @property
    def interval(self) -> str | None:
        """For example "0.71 to 0.93"."""
        return (
            None if self.ends is None else _("{low} to {high}", low=self.ends[0], high=self.ends[1])
        )

    @property
    def text(self) -> str:
        """The value, and its interval in brackets."""
        return f"{self.value} ({self.interval})" if self.interval else self.value


def estimate_view(estimate: Estimate, limit: float | None = None) -> EstimateView:
    """Value and interval in two decimals; in more where two cannot tell a number from the limit."""
    numbers = [estimate.value, *(estimate.interval_95 or ())]
    known = [value for value in numbers if value is not None]
    decimals = decimals_beside(known, limit)
    ends = None
    if estimate.interval_95 is not None:
        low, high = estimate.interval_95
        ends = score(low, decimals), score(high, decimals)
    basis = DASH
    if estimate.num_cases:
        basis = f"{grouped(estimate.num_cases)} / {grouped(estimate.num_patients)}"
    return EstimateView(
        value=_("undefined") if estimate.value is None else score(estimate.value, decimals),
        ends=ends,
        reason=sentence(said(estimate.reason)),
        basis=basis,
    )


def known_figures(metrics: Mapping[str, Estimate], names: Iterable[str]) -> str | None:
    """Metrics with their intervals in one line; None where none is defined."""
    known = [name for name in names if metrics[name].value is not None]
    words = [f"{column_label(name)} {estimate_view(metrics[name]).text}" for name in known]
    return sentence("; ".join(words)) or None


def num_cases(count: int) -> str:
    """For example "1 case", "1,204 cases"."""
    return plural("{num} case", "{num} cases", count)


def share_of(count: int, total: int) -> str | None:
    """For example "3 of 12 (25 %)"."""
    if not total:
        return None
    values = {"num": grouped(count), "total": grouped(total), "share": percent(count / total)}
    return _("{num} of {total} ({share})", **values)


def counted_reasons(reasons: Iterable[CountedReason]) -> str:
    """The most frequent reasons with the number of their cases."""
    ordered = sorted(reasons, key=lambda counted: (-counted.num_cases, str(counted.reason)))
    words = [
        f"{stopped_short(said(counted.reason))} ({num_cases(counted.num_cases)})"
        for counted in ordered[:MOST_REASONS]
    ]
    if len(ordered) > MOST_REASONS:
        more = len(ordered) - MOST_REASONS
        words.append(plural("{num} more reason", "{num} more reasons", more))
    return "; ".join(words)


def counted_names(values: Iterable[str], most: int = 6) -> str:
    """Values with their counts, the most frequent first."""
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    words = [f"{grouped(count)} {value}" for value, count in counts[:most]]
    if len(counts) > most:
        words.append(plural("{num} more value", "{num} more values", len(counts) - most))
    return ", ".join(words)
