"""All flags of a case, in the order of `vocabulary.FLAGS`."""

from __future__ import annotations

from dataclasses import replace

from cxr_audit.config import Acceptance
from cxr_audit.flags.rules import RULES, Answer, by_checks, by_factor, factor_changes
from cxr_audit.records import AuditedCase, CaseRecord, Flag, FlagsRecord
from cxr_audit.vocabulary import FLAGS, Text
from cxr_audit.vocabulary.flags import FlagRow


def flagged(
    case: CaseRecord,
    limits: Acceptance,
    spread: float | None,
    spread_within_label: float | None = None,
) -> CaseRecord:
    """The case with the flags that these limits raise; one that was stopped as it is.

    Parameters
    ----------
    case : with or without flags.
    limits : of the config.
    spread, spread_within_label : of the logits, see `RunCalibration`; None where not known.
    """
    if not isinstance(case, AuditedCase):
        return case
    return replace(case, flags=judge(case, limits, spread, spread_within_label))


def judge(
    case: AuditedCase,
    limits: Acceptance,
    spread: float | None = None,
    spread_within_label: float | None = None,
) -> FlagsRecord:
    """The flags of an audited case: those raised, and why others could not be assessed.

    Parameters
    ----------
    case : its first map is the one that is judged.
    limits : of the config.
    spread, spread_within_label : of the logits, see `RunCalibration`; None where not known, and
        then the first limits nothing, and no factor is judged.
    """
    changes = factor_changes(case, spread_within_label)
    border_limit = max(limits.flag_border_log_odds, limits.flag_border_spread * (spread or 0.0))
    limits = limits.model_copy(update={"flag_border_log_odds": border_limit})
    raised: list[Flag] = []
    undefined: dict[str, Text] = {}
    for row in FLAGS:
        if row.factor is not None and row.factor not in case.probes.factors:
            continue  # the case was not asked; `cases.csv` has no value for it
        if row.factor is not None:
            is_raised, reason = by_factor(changes.get(row.factor), limits)
        else:
            is_raised, reason = _answer(row, case, limits)
        if is_raised is None:
            undefined[row.key] = reason
        elif is_raised:
            raised.append(Flag(row.key, reason))
    return FlagsRecord(tuple(raised), undefined)


def _answer(row: FlagRow, case: AuditedCase, limits: Acceptance) -> Answer:
    if row.function is not None:
        answer: Answer = row.function(case, limits)
        return answer
    if row.checks:
        return by_checks(case, row.checks)
    return RULES[row.key](case, limits)
