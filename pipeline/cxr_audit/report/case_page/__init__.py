"""A case's record -> the plain words and finished numbers that `case.html.j2` sets.

All arithmetic and all rounding happen here; the template only places text. What is undefined keeps
its reason. One module a section: `clinician` is page 1, `numbers`, `dependence` and `maps` are page
2 and what follows it, `provenance` is page 3, `stopped` the one page of a case without an answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_audit.records import AuditedCase, CaseRecord, RunRecord
from cxr_audit.report.case_page import clinician, dependence, maps, numbers, stopped
from cxr_audit.report.case_page.alerts import find_alerts, not_assessed
from cxr_audit.report.case_page.provenance import provenance
from cxr_audit.report.colours import find_scale
from cxr_audit.report.language import _, current
from cxr_audit.report.words import BANNER, View, quoted, short_hash, utc, w3c


def case_view(case: CaseRecord, run: RunRecord, pictures: Mapping[str, str]) -> View:
    """Everything that `case.html.j2` prints.

    Parameters
    ----------
    case : audited or stopped.
    run : what it belongs to.
    pictures : role or key of a map -> URL, of those that exist.
    """
    page = {
        "language": current().code,
        "banner": _(BANNER),
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "title": _("Model audit of case {case_id}", case_id=case.case_id),
        "case_id": case.case_id,
        "status": case.status,
        "label": quoted(case.label),
        "run": run_facts(run),
        **provenance(case, run),
    }
    if isinstance(case, AuditedCase):
        return page | _audited(case, run, pictures)
    return page | stopped.stopped_view(case, pictures)


def _audited(case: AuditedCase, run: RunRecord, pictures: Mapping[str, str]) -> View:
    paper = str(run.config.get("report", {}).get("paper", "a4"))
    drawn = maps.map_views(case, pictures)
    return {
        "clinician": clinician.first_page(case, run, pictures, paper),
        "alerts": find_alerts(case),
        "not_assessed": not_assessed(case),
        "model_input": clinician.small_picture(case, pictures),
        "scores": [*numbers.class_scores(case.prediction), *numbers.further_inputs(case)],
        "regions": numbers.regions_view(case, pictures),
        "in_regions": numbers.other_metrics(case),
        "metrics": numbers.metric_rows(case),
        "trust": numbers.trust_view(case, run),
        "dependence": dependence.dependence_view(case),
        "maps": drawn,
        "map_heads": maps.table_heads(),
        "primary": drawn[0] if drawn else None,
        "sheets": maps.sheets(case, drawn),
        "comparison": maps.expected_and_predicted(case, drawn),
        "scale": find_scale(run, case.first_map),
    }


def run_facts(run: RunRecord) -> View:
    """What documents say of the run."""
    return {
        "name": run.name,
        "started": utc(run.started),
        "created": w3c(run.started),
        "finished": None if run.finished is None else utc(run.finished),
        "model": run.model.name,
        "model_hash": short_hash(run.model.sha256),
        "layer": run.model.target_layer,
    }
