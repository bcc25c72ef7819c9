"""Where the evidence lies: one sentence, and one bar."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.records import AuditedCase, MapRecord, RadiographFacts
from cxr_audit.report.language import N_, _, said
from cxr_audit.report.names import region_name
from cxr_audit.report.words import DRAWN, MAP_STATES, percent, place, sentence, stopped_short

MOSTLY = 0.5
"""Share from which the evidence lies mostly in one place."""
TOGETHER = 0.6
"""Share from which two places together hold most of it."""
BAR_MM = 112.0
LETTER_MM = 1.3

# lung -> its zones, and their names behind the lung's
ZONES = {
    "right lung": {
        "right upper zone": N_("upper"),
        "right middle zone": N_("middle"),
        "right lower zone": N_("lower"),
    },
    "left lung": {
        "left upper zone": N_("upper"),
        "left middle zone": N_("middle"),
        "left lower zone": N_("lower"),
    },
}
# part -> in a sentence, where the patient's side is known and where it is not
PLACES = {
    "right lung": (N_("the right lung"), N_("the lung at image left")),
    "left lung": (N_("the left lung"), N_("the lung at image right")),
    "mediastinum": (N_("the mediastinum"), N_("the mediastinum")),
    "outside": (N_("areas outside lungs and mediastinum"),) * 2,
}
OUTSIDE = N_("outside")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the bar.

    Parameters
    ----------
    text : its name and share.
    width : as CSS has it.
    is_labelled : whether its text fits into it.
    label : what stands in it: the text, else the share, else nothing.
    """

    text: str
    width: str
    is_labelled: bool
    label: str = ""

    @classmethod
    def of(cls, name: str, share: float) -> Part:
        """A part with its words, where they fit into it."""
        text = f"{name} {percent(share)}"
        width_mm = share * BAR_MM
        fitting = [
            words for words in (text, percent(share)) if width_mm > LETTER_MM * len(words) + 1
        ]
        label = fitting[0] if fitting else ""
        return cls(text, f"{int(1000 * share) / 10:.1f}%", label == text, label)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the evidence lies, in words and as a bar.

    Parameters
    ----------
    place : one sentence.
    bar : its parts; empty where the lungs were not found or nothing is positive.
    notes : what the bar has no room for, and what it compares with.
    """

    place: str
    bar: tuple[Part, ...]
    notes: tuple[str, ...]


def find_evidence(case: AuditedCase, first: MapRecord) -> Evidence:
    """Where the positive evidence of the first map lies."""
    if first.facts.status not in DRAWN:
        _shape, _words, meaning = MAP_STATES[first.facts.status]
        return Evidence(_(meaning), (), ())
    if first.is_faint:
        name = f'"{first.facts.class_name}"'
        words = _("Almost no evidence for {name}: where it lies is not reported.", name=name)
        return Evidence(words, (), ())
    shares = find_shares(case, first)
    if not shares:
        return Evidence(_centre(case, first), (), _notes(case, first))
    names = {name: region_name(name, case.radiograph) for name in shares} | {"outside": _(OUTSIDE)}
    parts = [Part.of(names[name], share) for name, share in shares.items() if share >= 0.005]
    small = [part.text for part in parts if not part.is_labelled]
    notes = _notes(case, first)
    if small:
        notes = (f"{sentence(', '.join(small))}.", *notes)
    return Evidence(_place(case, first, shares), tuple(parts), notes)


def find_shares(case: AuditedCase, first: MapRecord) -> dict[str, float]:
    """Shares of both lungs, the mediastinum and the rest; empty where one is not known."""
    shares: dict[str, float] = {}
    for name in ("right lung", "left lung", "mediastinum"):
        measured = first.in_regions.get(name)
        share = measured.number("relevance_mass_accuracy") if measured else None
        if share is None and name != "mediastinum":
            return {}
        shares[name] = share or 0.0
    inside = sum(shares.values())
    if inside > 1:
        shares = {name: share / inside for name, share in shares.items()}
    shares["outside"] = max(0.0, 1 - inside)
    return shares


def _place(case: AuditedCase, first: MapRecord, shares: dict[str, float]) -> str:
    ranked = sorted(shares, key=lambda name: -shares[name])
    words = [_phrase(name, first, case.radiograph) for name in ranked[:2]]
    if shares[ranked[0]] >= MOSTLY:
        return _("Mostly over {place}.", place=words[0])
    if shares[ranked[0]] + shares[ranked[1]] >= TOGETHER:
        return _("Mostly over {place} and {other}.", place=words[0], other=words[1])
    return _("Spread widely; the largest part lies over {place}.", place=words[0])


def _phrase(name: str, first: MapRecord, facts: RadiographFacts) -> str:
    """For example "the right lung (middle and lower zone)"."""
    stated, unstated = PLACES[name]
    words = _(stated) if facts.image_left else _(unstated)
    zones = ZONES.get(name, {})
    measured = {zone: first.in_regions.get(zone) for zone in zones}
    shares = {
        zone: values.number("relevance_mass_accuracy") or 0.0
        for zone, values in measured.items()
        if values is not None
    }
    least = sum(shares.values()) / 3
    chosen = [_(zones[zone]) for zone, share in shares.items() if share > 0 and share >= least]
    if not chosen or len(chosen) == len(zones):
        return words
    if len(chosen) == 1:
        return _("{lung} ({zone} zone)", lung=words, zone=chosen[0])
    return _("{lung} ({zone} and {other} zones)", lung=words, zone=chosen[0], other=chosen[1])


def _centre(case: AuditedCase, first: MapRecord) -> str:
    """Without lungs: the place on the image."""
    centre = first.metrics.position("centroid")
    missing = case.regions.missing.get("lungs")
    reason = sentence(stopped_short(said(missing))) if missing else _("The lungs are not known")
    if centre is None:
        return f"{reason}."
    where = place(centre, case.radiograph)
    return _("{reason}. The evidence is centred in: {place}.", reason=reason, place=where)


def _notes(case: AuditedCase, first: MapRecord) -> tuple[str, ...]:
    notes = []
    controls = case.regions.controls.get("lungs", {}).values()
    lungs = case.in_region("lungs")
    if controls and lungs is not None and lungs["relevance_mass_accuracy"] is not None:
        low, high = percent(min(controls)), percent(max(controls))
        notes.append(
            _(
                "Control maps: {low} to {high} in the lungs.",
                low=low,
                high=high,
            )
        )
    annotation = case.in_region("annotation")
    share = annotation.number("relevance_mass_accuracy") if annotation else None
    chance = annotation.number("chance") if annotation else None
    if share is not None and chance is not None:
        notes.append(
            _(
                "In the annotated area: {share} (by area alone {chance}).",
                share=percent(share),
                chance=percent(chance),
            )
        )
    padding = first.metrics.number("padding_fraction")
    if padding is not None and padding >= 0.005:
        notes.append(_("{share} lies in padding, outside the radiograph.", share=percent(padding)))
    return tuple(notes)
