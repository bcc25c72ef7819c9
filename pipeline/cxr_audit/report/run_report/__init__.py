"""Records of a run -> the words, numbers and pictures of the run report (summary.pdf).

Acceptance first, then the stages of the medical algorithmic audit (Liu et al., Lancet Digital
Health 4, 2022): scoping, mapping, artefacts, testing, reflection, monitoring. One module a section.
Nothing is measured here that the records do not hold: what a run has not measured says so. Lists
are cut at a fixed length; `cases.csv` has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cxr_audit.records import CaseRecord, CohortRecord, RunRecord, audited
from cxr_audit.report.language import _, current
from cxr_audit.report.regulations import claim_rows, model_card_rows, regulatory_rows
from cxr_audit.report.run_report import (
    acceptance,
    artefacts,
    explanations,
    hazards,
    performance,
    reflection,
    scoping,
)
from cxr_audit.report.run_report.facts import supply
from cxr_audit.report.run_report.pictures import MeanMap, summary_pictures, worst_cases
from cxr_audit.report.words import BANNER, View, short_hash, utc, w3c

__all__ = ["MeanMap", "summary_pictures", "summary_view", "worst_cases"]

PICTURES = ("roc", "reliability", "focus", "cascade")


def summary_view(
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    mean_maps: Mapping[str, MeanMap],
    urls: Mapping[str, str],
) -> View:
    """Everything that `summary.html.j2` prints.

    Parameters
    ----------
    cases : of the run, in order.
    run, cohort : what is known of it.
    mean_maps : by outcome; empty where none could be made.
    urls : role -> URL of the pictures that exist, see `summary_pictures` and `worst_cases`.
    """
    done = audited(cases)
    facts = supply(done, run, cohort)
    return {
        "language": current().code,
        "banner": _(BANNER),
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "title": _("Audit report of run {run}", run=run.name),
        "run": {"name": run.name, "started": utc(run.started), "created": w3c(run.started)},
        "model": {"name": run.model.name, "hash": short_hash(run.model.sha256)},
        "urls": {**dict.fromkeys(PICTURES), **urls},
        "acceptance": acceptance.acceptance_view(cohort),
        "glance": scoping.glance(cases, run, cohort),
        "scoping": scoping.scoping(cases, run, cohort),
        "hazards": hazards.hazard_rows(cases, run, cohort),
        "artefacts": artefacts.artefacts(done, run),
        "outputs": artefacts.output_files(),
        "stopped": artefacts.stopped_rows(cases),
        "performance": performance.performance_view(cohort),
        "confusion": performance.confusion(cohort),
        "reliability_note": performance.reliability_note(cohort),
        "subgroups": performance.subgroups(cohort),
        "has_maps": facts["maps"],
        "focus_undefined": explanations.undefined_focus(cohort),
        "hits": explanations.hit_rates(cohort),
        "mean_maps": explanations.mean_map_view(done, mean_maps, urls),
        "worst": explanations.worst_view(cases, cohort, urls),
        "validity": explanations.validity(done, run, cohort),
        "trust": explanations.trust_table(done),
        "flags": explanations.flag_table(done),
        "masking": explanations.masking_table(done),
        "quality": explanations.quality_table(cases),
        "unmeasured": _unmeasured(facts),
        "open": reflection.open_points(cases, run, cohort),
        "monitoring": reflection.monitoring(cases, cohort),
        "regulatory": regulatory_rows(facts),
        "card": model_card_rows(run, cohort),
        "claim": claim_rows(facts),
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
