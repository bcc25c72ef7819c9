"""Records of older schemas open, and say what they said.

`schema2/` and `schema3/` hold records of a demo run (shipped radiographs, no patient) as the program
wrote them when these schemas were the present ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cxr_audit.records import (
    AuditedCase,
    CohortRecord,
    RunRecord,
    StoppedCase,
    case_from_json,
    from_json,
    to_json,
)

RUN = Path(__file__).with_name("schema2")
RUN_3 = Path(__file__).with_name("schema3")
AUDITED, FAILED, EXCLUDED = "947dd0e1bc94ef29", "24a607f2eef45e89", "f550c357612af31a"


def content(case_id: str, run: Path = RUN) -> dict[str, Any]:
    return json.loads((run / "cases" / case_id / "case.json").read_bytes())


def record(case_id: str, run: Path = RUN) -> Any:
    return case_from_json((run / "cases" / case_id / "case.json").read_bytes())


def test_an_audited_case_keeps_every_number() -> None:
    old, case = content(AUDITED), record(AUDITED)
    assert isinstance(case, AuditedCase)
    assert case.prediction.logit == old["prediction"]["logit"]
    assert [map_record.key for map_record in case.maps] == [facts["key"] for facts in old["maps"]]
    for map_record in case.maps:
        focus = old["focus"][map_record.key]
        assert map_record.metrics["entropy"] == focus["entropy"]
        assert map_record.metrics["num_components"] == focus["num_components"]
        assert map_record.metrics["centroid"] == (
            focus["centroid_row_fraction"],
            focus["centroid_column_fraction"],
        )
        assert map_record.picture == old["pictures"][map_record.key]
        for region in old["region_focus"][map_record.key]:
            measured = map_record.in_regions[region["region"]]
            assert measured["enrichment"] == region["enrichment"]
            assert measured["pointing_game_hit"] == region["pointing_game_hit"]
    assert case.probes.mean_replaced == old["as_usual"]
    assert len(case.probes.masking) == len(old["masking"]) > 0
    assert case.regions.controls == old["controls"]
    assert [region.name for region in case.regions.found] == [r["name"] for r in old["regions"]]
    assert case.input.placement.scale_rows == old["placement"]["scale_rows"]
    assert case.hashes.metadata_hmac == old["told_hmac"]
    assert case.schema_version == 2


def test_undefined_metrics_keep_their_reason() -> None:
    old = content(AUDITED)
    focus = old["focus"][old["maps"][0]["key"]]
    reason = "the map has no positive part: nothing speaks for this class"
    for name in ("entropy", "centroid_row_fraction", "centroid_column_fraction"):
        focus[name] = None
        focus["undefined"][name] = reason
    case = case_from_json(json.dumps(old).encode())
    assert isinstance(case, AuditedCase)
    metrics = case.maps[0].metrics
    assert metrics["entropy"] is None
    assert metrics.reason("entropy") == metrics.reason("centroid") == reason
    assert metrics["gini"] == focus["gini"]


@pytest.mark.parametrize("case_id", [FAILED, EXCLUDED])
def test_a_stopped_case_keeps_its_reason(case_id: str) -> None:
    old, case = content(case_id), record(case_id)
    assert isinstance(case, StoppedCase)
    assert (case.status, case.reason, case.error) == (old["status"], old["reason"], old["error"])
    assert [(c.name, c.state, c.detail) for c in case.quality] == [
        (c["name"], c["state"], c["what"]) for c in old["quality"]
    ]


def test_the_run_and_its_cohort_open() -> None:
    run = from_json((RUN / "run.json").read_bytes(), RunRecord)
    old = json.loads((RUN / "run.json").read_bytes())
    assert run.calibration.mean_input_sha256 == old["usual_sha256"]
    assert [check.name for check in run.calibration.checks] == [
        check["name"] for check in old["checks"]
    ]
    cohort = from_json((RUN / "cohort.json").read_bytes(), CohortRecord)
    old_cohort = json.loads((RUN / "cohort.json").read_bytes())
    assert len(cohort.distributions) == len(old_cohort["distributions"])
    for now, before in zip(cohort.distributions, old_cohort["distributions"], strict=True):
        assert {c.reason: c.num_cases for c in now.undefined} == before["undefined"]


def test_a_case_without_the_fields_of_schema_2_reads_as_absent() -> None:
    """Schema 1 has no checks, trust, masking and flags."""
    old = content(AUDITED)
    for name in ("quality", "trust", "masking", "masking_missing", "flags", "flags_undefined"):
        del old[name]
    case = case_from_json(json.dumps({**old, "schema_version": 1}).encode())
    assert isinstance(case, AuditedCase)
    assert case.quality == case.flags.raised == case.probes.masking == ()
    assert case.trust is None


# ---- schema 3


def keeps(now: Any, old: Any) -> bool:
    """Whether every field of an old record stands in the present one; a later one may have more."""
    if isinstance(old, dict):
        return all(name in now and keeps(now[name], value) for name, value in old.items())
    if isinstance(old, list):
        return len(now) == len(old) and all(map(keeps, now, old))
    return now == old


def test_the_logit_by_place_of_schema_3_belongs_to_its_map() -> None:
    old, case = content(AUDITED, RUN_3), record(AUDITED, RUN_3)
    assert isinstance(case, AuditedCase)
    assert len(case.maps) == 2
    assert case.budget_map is not None
    assert case.budget_map.key == old["budget"]["map"]
    assert case.budget.logit == old["budget"]["logit"]
    assert [list(part) for part in case.budget.parts] == old["budget"]["parts"]
    assert sum(drawn.budget is not None for drawn in case.maps) == 1


@pytest.mark.parametrize("case_id", [AUDITED, FAILED, EXCLUDED])
def test_a_case_of_schema_3_keeps_everything_else(case_id: str) -> None:
    old = content(case_id, RUN_3)
    now = json.loads(to_json(record(case_id, RUN_3)))
    hashes = {name: old.pop(name) for name in ("file_hmac", "metadata_hmac", "file_sha256")}
    assert now.pop("hashes") == hashes
    old.pop("budget", None)
    for drawn in now.get("maps", ()):
        drawn.pop("budget")
    assert keeps(now, old)


def test_the_run_of_schema_3_keeps_every_field() -> None:
    old = json.loads((RUN_3 / "run.json").read_bytes())
    now = json.loads(to_json(from_json((RUN_3 / "run.json").read_bytes(), RunRecord)))
    assert now["schema_version"] == 3
    calibration = now.pop("calibration")
    assert calibration.pop("factor_ranges") == {}
    assert calibration.pop("spread_within_label") is None
    assert calibration.pop("num_cases") == old.pop("calibrated_cases") == 14
    flat = {**calibration, **now.pop("cases"), **now.pop("software"), **now.pop("costs")}
    card, old_card = now["model"].pop("card"), old["model"].pop("card")
    (leg,), (old_leg,) = now.pop("legs"), old.pop("legs")
    leg |= leg.pop("costs")
    assert keeps(leg, old_leg)
    assert keeps({**now, **flat}, old)
    population, data, operation = card.pop("population"), card.pop("data"), card.pop("operation")
    for name in ("sha256", "num_cases", "licence", "description"):
        old_name = {"sha256": "data_sha256", "licence": "data_licence", "description": "data"}
        assert data.pop(name) == old_card.pop(old_name.get(name, name))
    assert population.pop("description") == old_card.pop("population")
    assert not data
    assert keeps({**card, **population, **operation}, old_card)


def test_the_cohort_of_schema_3_keeps_every_field() -> None:
    old = json.loads((RUN_3 / "cohort.json").read_bytes())
    now = json.loads(to_json(from_json((RUN_3 / "cohort.json").read_bytes(), CohortRecord)))
    assert now.pop("factors") == []
    cases, reliability = now.pop("cases"), now.pop("reliability")
    cases["num_cases_of_known_patients"] = cases.pop("num_of_known_patients")
    reliability["reliability"] = reliability.pop("bins")
    assert keeps({**now, **cases, **reliability}, old)
