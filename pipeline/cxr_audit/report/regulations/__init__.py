"""What a run's own records hold -> the evidence it supplies, a model card, the CLAIM checklist.

One rule: an item is supplied where all facts that it needs are there, partly supplied where some
are, else not supplied; an item that a run can never supply whole is partly supplied at most.
Supplied is a place where to look, no finding of conformity.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_audit.report.language import N_, _
from cxr_audit.report.regulations.claim import CLAIM
from cxr_audit.report.regulations.evidence import EVIDENCE, Evidence, Supply
from cxr_audit.report.regulations.model_card import model_card_rows
from cxr_audit.report.words import View

__all__ = [
    "CLAIM",
    "EVIDENCE",
    "Evidence",
    "claim_rows",
    "model_card_rows",
    "regulatory_rows",
    "state_of",
]

STATES: dict[Supply, str] = {
    "supplied": N_("supplied"),
    "partly": N_("partly"),
    "not supplied": N_("not supplied"),
}


def state_of(evidence: Evidence, facts: Mapping[str, bool]) -> Supply:
    """Whether a run supplies an item, by its own records. An unknown fact is a `KeyError`."""
    held = [facts[name] for name in evidence.needs]
    if not any(held):
        return "not supplied"
    return evidence.most if all(held) else "partly"


def regulatory_rows(facts: Mapping[str, bool]) -> list[View]:
    """The table of annex A; a place only where there is something."""
    rows = []
    for evidence in EVIDENCE:
        state = state_of(evidence, facts)
        numbers = ", ".join(map(str, evidence.claim))
        sources = [evidence.sources] if evidence.sources else []
        if numbers:
            sources.append(f"CLAIM {numbers}")
        has_place = state != "not supplied" and evidence.where
        rows.append(
            {
                "item": _(evidence.item),
                "state": state,
                "words": _(STATES[state]),
                "where": _(evidence.where) if has_place else None,
                "sources": "; ".join(sources),
            }
        )
    return rows


def claim_rows(facts: Mapping[str, bool]) -> list[View]:
    """The CLAIM 2024 checklist with what this run answers.

    In part, where annex A supplies some of what an item asks for.
    """
    held = {
        number
        for evidence in EVIDENCE
        if state_of(evidence, facts) != "not supplied"
        for number in evidence.claim
    }
    rows = []
    for number, (item, where, fact) in CLAIM.items():
        place = None
        if fact and where and facts[fact]:
            place = _(where)
        elif number in held:
            place = _("partly: annex A")
        rows.append({"number": number, "item": _(item), "where": place})
    return rows
