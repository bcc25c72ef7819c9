"""What a run's own records hold: the facts that the rules of the regulatory map need."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import AuditedCase, CohortRecord, ModelCard, ReadersRecord, RunRecord


def supply(
    cases: Sequence[AuditedCase],
    run: RunRecord,
    cohort: CohortRecord,
    answers: ReadersRecord | None = None,
) -> dict[str, bool]:
    """Each fact by name.

    Parameters
    ----------
    cases : the audited ones.
    run, cohort : what is known of the run.
    answers : of readers, where they were joined to the run.
    """
    metrics = cohort.metrics
    intervals = [metrics[name].interval_95 for name in ("auc", "sensitivity", "specificity")]
    documents = run.config.get("report", {}).get("documents", True)
    pinned = run.config.get("classifier", {}).get("sha256")
    return {
        "always": True,
        "readers": answers is not None,
        "inclusion": bool(run.config.get("ingest", {}).get("inclusion")),
        **_of_card(run.model.card),
        "labels": any(cohort.outcomes.values()),
        "intervals": all(intervals),
        "calibration": metrics["ece"].value is not None and metrics["auc"].value is not None,
        "subgroups": any(column.groups for column in cohort.subgroups),
        "patients": bool(cohort.cases.num_of_known_patients),
        "wrong": bool(cohort.false_positives or cohort.false_negatives),
        "criteria": bool(cohort.acceptance),
        "maps": any(case.maps for case in cases),
        "regions": any(case.regions.found for case in cases),
        "documents": bool(documents),
        "model_checks": bool(run.calibration.checks),
        "trust": any(case.trust for case in cases),
        "flags": any(case.flags.raised or case.flags.undefined for case in cases),
        "masking": any(case.probes.masking for case in cases),
        "quality": any(case.quality for case in cases),
        "repeated": run.model.is_deterministic is not None,
        "audited": cohort.cases.statuses["ok"] > 0,
        "pinned": bool(pinned) or run.model.card is not None,
    }


def _of_card(card: ModelCard | None) -> dict[str, bool]:
    return {
        "card": card is not None,
        "card_data": card is not None and bool(card.data.description),
        "card_sha256": card is not None and bool(card.data.sha256),
        "card_limits": card is not None and bool(card.limits),
        "card_measured": card is not None and bool(card.measured),
        "card_training": card is not None and bool(card.training),
    }
