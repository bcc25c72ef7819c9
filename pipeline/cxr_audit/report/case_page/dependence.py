"""Page 2: what the output depends on. The model asked again with a changed input."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import AuditedCase, Masking
from cxr_audit.report.language import N_, _, joined, named, plural, said
from cxr_audit.report.names import region_name
from cxr_audit.report.words import View, full_stop, number, sentence

MARKERS_IN_WORDS = 2
UNCHANGED = N_("does not change the logit")
# name of what was replaced -> within a sentence
PARTS = {
    "lungs": N_("the lungs"),
    "border": N_("the image border"),
    "all but the lungs": N_("everything but the lungs"),
}
BRIGHTNESS = {"darker": N_("darker image"), "brighter": N_("brighter image")}


def dependence_view(case: AuditedCase) -> View:
    """What replacing each part does to the logit, in words, and what was not asked."""
    return {
        "has_masking": bool(case.probes.masking),
        "rows": _masking_rows(case) + _other_rows(case) + _not_assessed(case),
    }


def _not_assessed(case: AuditedCase) -> list[tuple[bool, str]]:
    """What this case was not asked, in one sentence."""
    probes = case.probes
    names = []
    if not (probes.masking or probes.masking_missing):
        names.append(_("masking"))
    if not probes.exposure:
        names.append(_("image brightness"))
    if not probes.mean_replaced:
        names.append(_("border and markers by the mean radiograph"))
    if not names:
        return []
    text = _("Not assessed for this case: {names}.", names=joined(", ", names))
    return [(False, text)]


def _masking_rows(case: AuditedCase) -> list[tuple[bool, str]]:
    """(is it unexpected, sentence); of many markers only those that change the logit most."""
    by_part: dict[str, list[Masking]] = {}
    for masking in case.probes.masking:
        by_part.setdefault(masking.removed, []).append(masking)
    few = _least_markers(case, by_part)
    rows = []
    for name, maskings in by_part.items():
        if name in few:
            continue
        is_bad = [masking.is_bad_news for masking in maskings]
        text = _("{part} replaced: {changes}.", part=_part(name, case), changes=_changes(maskings))
        if any(is_bad) and not all(is_bad):
            note = _("Seen with one fill only; not flagged.")
            text = f"{text} {note}"
        rows.append((all(is_bad), sentence(text)))
    if few:
        largest = max(abs(masking.change) for name in few for masking in by_part[name])
        text = plural(
            "{num} more marker changes the logit by {most}.",
            "{num} more markers change the logit by {most} or less each.",
            len(few),
            most=number(largest),
        )
        rows.append((False, text))
    return rows


def _least_markers(case: AuditedCase, by_part: dict[str, list[Masking]]) -> list[str]:
    def largest_change(name: str) -> float:
        return max(abs(masking.change) for masking in by_part[name])

    markers = [region.name for region in case.regions.of_kind("marker") if region.name in by_part]
    return sorted(markers, key=largest_change, reverse=True)[MARKERS_IN_WORDS:]


def _other_rows(case: AuditedCase) -> list[tuple[bool, str]]:
    """The run's mean radiograph in a part's place, brightness, and what could not be replaced."""
    probes, texts = case.probes, []
    changes = probes.mean_replaced
    markers = sorted((n for n in changes if n != "border"), key=lambda n: -abs(changes[n]))
    names = [name for name in ("border", *markers[:MARKERS_IN_WORDS]) if name in changes]
    if names:
        words = [f"{_part(name, case)} {_change(changes[name])}" for name in names]
        texts.append(
            _("Replaced by the run's mean radiograph: {changes}.", changes=", ".join(words))
        )
    tried = [name for name in BRIGHTNESS if name in probes.exposure]
    if tried:
        words = [f"{_(BRIGHTNESS[name])} {_change(probes.exposure[name])}" for name in tried]
        texts.append(_("Brightness: {changes}.", changes=", ".join(words)))
    for name, reason in probes.masking_missing.items():
        part = sentence(_part(name, case))
        texts.append(full_stop(_("{part}: not replaced, {reason}", part=part, reason=said(reason))))
    return [(False, text) for text in texts]


def _part(name: str, case: AuditedCase) -> str:
    return _(PARTS[name]) if name in PARTS else region_name(name, case.radiograph)


def _changes(maskings: Sequence[Masking]) -> str:
    """For example "lowers the logit by 2.10 (blurred) or 0.50 (mean)"."""
    moves = [_move(masking.change) for masking in maskings]
    if set(moves) == {UNCHANGED}:
        return _(UNCHANGED)
    is_one_move = len(set(moves)) == 1
    words = []
    for number_of, masking in enumerate(maskings):
        size = number(abs(masking.change))
        change = size if number_of and is_one_move else _change(masking.change)
        words.append(f"{change} ({named(masking.fill)})")
    either = _("or")
    return f" {either} ".join(words)


def _change(change: float) -> str:
    """For example "lowers the logit by 2.10"."""
    return _(_move(change), size=number(abs(change)))


def _move(change: float) -> str:
    if round(change, 2) == 0:
        return UNCHANGED
    return N_("lowers the logit by {size}") if change < 0 else N_("raises the logit by {size}")
