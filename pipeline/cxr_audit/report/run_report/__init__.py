"""Records of a run -> the words, numbers and pictures of the run report and its annexes.

`summary.pdf` leads to a decision: claim and verdict, who and with what, data, protocol, case flow,
criteria, performance, errors, what the output depends on, validity of the maps, open points,
decision, integrity. `annexes.pdf` has what a submitter fills in. One module a section. Nothing is
measured here that the records do not hold: what a run has not measured says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cxr_audit.records import CaseRecord, CohortRecord, ProtocolRecord, ReadersRecord, RunRecord
from cxr_audit.records import audited as audited_cases
from cxr_audit.report.language import _, current
from cxr_audit.report.regulations import claim_rows, model_card_rows, regulatory_rows
from cxr_audit.report.run_report import (
    acceptance,
    artefacts,
    errors,
    explanations,
    factors,
    flow,
    glossary,
    hazards,
    integrity,
    performance,
    readers,
    reflection,
    scoping,
    shortcuts,
    who,
)
from cxr_audit.report.run_report.facts import supply
from cxr_audit.report.run_report.pictures import MeanMap, summary_pictures, worst_cases
from cxr_audit.report.words import BANNER, View, quoted, short_hash, utc, w3c

__all__ = ["MeanMap", "annexes_view", "summary_pictures", "summary_view", "worst_cases"]

PICTURES = ("roc", "reliability", "focus", "cascade", "places")


def summary_view(
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    mean_maps: Mapping[str, MeanMap],
    urls: Mapping[str, str],
    protocol: ProtocolRecord | None = None,
    answers: ReadersRecord | None = None,
) -> View:
    """Everything that `summary.html.j2` prints.

    Parameters
    ----------
    cases : of the run, in order.
    run, cohort : what is known of it.
    mean_maps : by outcome; empty where none could be made.
    urls : role -> URL of the pictures that exist, see `summary_pictures` and `worst_cases`.
    protocol : what was fixed before; None where an older version made the run.
    answers : of readers, where they were joined to the run.
    """
    done = audited_cases(cases)
    facts = supply(done, run, cohort, answers)
    card = run.model.card
    return {
        **_frame(run, _("Audit report of run {run}", run=run.name)),
        "urls": {**dict.fromkeys(PICTURES), **urls},
        "acceptance": acceptance.acceptance_view(cohort),
        "claim": who.claim(run, cohort, cases),
        "limits": [quoted(text) for text in card.limits] if card else [],
        "glance": scoping.glance(cases, run, cohort),
        "who": who.who(run),
        "code": who.code(run),
        "artefacts": artefacts.artefacts(done, run),
        "data": who.data(cases, run, cohort),
        "protocol": who.protocol(run, protocol),
        "flow": flow.case_flow(cases, run, cohort),
        "stopped": artefacts.stopped_rows(cases),
        "quality": explanations.quality_table(cases),
        "performance": performance.performance_view(cohort),
        "confusion": performance.confusion(cohort),
        "reliability_note": performance.reliability_note(cohort),
        "subgroups": performance.subgroups(cohort),
        "errors": errors.errors_view(cases, cohort, urls),
        "readers": readers.readers_view(answers),
        "factors": factors.factor_table(cohort),
        "dependence": shortcuts.dependence_rows(cohort),
        "flags": explanations.flag_table(done),
        "masking": explanations.masking_table(done),
        "validity": explanations.validity(done, run),
        "has_maps": facts["maps"],
        "focus_undefined": explanations.undefined_focus(cohort),
        "hits": explanations.hit_rates(cohort),
        "mean_maps": explanations.mean_map_view(done, mean_maps, urls),
        "unmeasured": _unmeasured(facts),
        "open": reflection.open_points(cases, run, cohort, protocol),
        "integrity": integrity.integrity(run),
        "terms": glossary.terms(),
        "methods": glossary.methods(),
    }


def annexes_view(
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    answers: ReadersRecord | None = None,
) -> View:
    """Everything that `annexes.html.j2` prints.

    Parameters
    ----------
    cases, run, cohort, answers : see `summary_view`.
    """
    facts = supply(audited_cases(cases), run, cohort, answers)
    return {
        **_frame(run, _("Annexes to the audit report of run {run}", run=run.name)),
        "regulatory": regulatory_rows(facts),
        "card": model_card_rows(run, cohort),
        "claim": claim_rows(facts),
        "hazards": hazards.hazard_rows(cases, run, cohort),
        "monitoring": reflection.monitoring(cases, cohort),
        "outputs": artefacts.output_files(),
    }


def _frame(run: RunRecord, title: str) -> View:
    """What both documents have at the top and at the foot of their pages."""
    return {
        "language": current().code,
        "banner": _(BANNER),
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "title": title,
        "run": {"name": run.name, "started": utc(run.started), "created": w3c(run.started)},
        "model": {"name": run.model.name, "hash": short_hash(run.model.sha256)},
    }


def _unmeasured(facts: Mapping[str, bool]) -> list[str]:
    """What this run did not measure."""
    names = {
        "model_checks": _("checks of the model's explanations"),
        "trust": _("checks of each case's map"),
        "masking": _("masking"),
        "quality": _("checks of the input"),
    }
    return [name for fact, name in names.items() if not facts[fact]]
