"""Records -> the cohort's record: every case is somewhere, nothing undefined has a number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cxr_audit.cohort import describe, in_words
from cxr_audit.config import Acceptance, Cohort
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CaseSource,
    CohortRecord,
    CountedReason,
    CriterionResult,
    Distribution,
    Estimate,
    RegionsRecord,
    StoppedCase,
    from_json,
    to_json,
)
from cxr_audit.vocabulary import message

from tests.cohort.cases import DEAD, a_case, a_failure, a_source

ASKED = Cohort(rounds=200, min_cases=10)


def described(
    records: list[CaseRecord], sources: list[CaseSource] = (), **asked: object
) -> CohortRecord:
    return describe(records, sources, ASKED.model_copy(update=asked), Acceptance(), 0)


def forty() -> list[AuditedCase]:
    """20 positive, 20 negative; every fifth on the wrong side."""
    return [
        a_case(
            f"{label}{n:02}", label, abs((label == "N") - (0.1 if n % 5 == 0 else 0.6 + n / 100))
        )
        for label in ("P", "N")
        for n in range(20)
    ]


def test_every_case_is_counted() -> None:
    records = [*forty(), a_case("u", None, 0.7), a_case("x", "Q", 0.7), a_failure("f", "P")]
    records.append(StoppedCase("e", "excluded", "not a chest", label="N"))
    found = described(records)
    assert found.cases.statuses == {"ok": 42, "excluded": 1, "failed": 1}
    assert found.cases.unlabelled == (
        CountedReason(message("cohort.no_label"), 1),
        CountedReason(message("cohort.unknown_label"), 1),
    )
    assert found.outcomes == {
        "true_positive": 16,
        "false_positive": 4,
        "true_negative": 16,
        "false_negative": 4,
    }
    assert found.metrics["sensitivity"].value == 0.8
    assert found.cases.prevalence == 0.5
    assert {one.num_cases for one in found.distributions if one.outcome == "no_label"} == {2}


def test_it_comes_back_from_its_json() -> None:
    found = described([*forty(), a_case("dead", "P", 0.9, enrichment=None), a_failure("f")])
    assert from_json(to_json(found), CohortRecord) == found
    assert b"NaN" not in to_json(found)


def test_patients_are_those_of_the_sources() -> None:
    """Two images a patient, and two whose patient nobody knows."""
    records = forty()
    sources = [a_source(record.case_id, f"p{n // 2}") for n, record in enumerate(records[:38])]
    found = described(records, [*sources, a_source(records[38].case_id, None)])
    assert found.cases.num_patients == 19 + 2
    assert found.cases.patients == message("cohort.patients_partly_known", known=38, num=40)
    assert found.cases.num_of_known_patients == 38
    assert found.metrics["sensitivity"].num_patients == 10
    assert described(records).cases.num_patients == 40
    assert described(records).cases.patients == message("cohort.patients_unknown", num=40)


def test_a_patient_named_like_a_case_is_not_that_case() -> None:
    records = forty()
    source = a_source(records[0].case_id, records[1].case_id)
    assert described(records, [source]).cases.num_patients == 40


def test_subgroups_below_the_minimum_are_counted_and_not_named() -> None:
    records = [
        a_case(
            r.case_id, r.label, r.prediction.probability, {"ViewPosition": "PA" if n < 12 else "AP"}
        )
        for n, r in enumerate(forty()[10:30])
    ]
    sources = [
        a_source(
            r.case_id, scanner=("A" if n < 11 else "B" if n < 14 else "rare C" if n < 16 else "")
        )
        for n, r in enumerate(records)
    ]
    view, sex, scanner = described(
        records, sources, subgroups=("ViewPosition", "PatientSex", "scanner")
    ).subgroups
    assert [(g.value, g.num_positive, g.num_negative) for g in view.groups] == [("PA", 10, 2)]
    assert (view.num_suppressed_values, view.num_suppressed_cases, view.num_missing) == (1, 8, 0)
    assert (sex.groups, sex.num_missing, sex.reason) == ((), 20, message("cohort.no_value"))
    assert [g.value for g in scanner.groups] == ["A"]
    assert (scanner.num_suppressed_values, scanner.num_suppressed_cases, scanner.num_missing) == (
        2,
        5,
        4,
    )
    found = described(records, sources, subgroups=("scanner",), min_cases=12)
    assert found.subgroups[0].reason == message("cohort.groups_too_small", limit=12)
    assert b"rare" not in to_json(found)
    assert "rare" not in in_words(found)


def test_a_strangers_cell_is_printed_short_and_without_what_turns_the_text() -> None:
    records = [a_case(f"c{n}", "P", 0.9) for n in range(3)]
    wards = ("\u202eevil", "a\x00\nb", "W" * 10_000)
    sources = [a_source(f"c{n}", ward=ward) for n, ward in enumerate(wards)]
    (column,) = described(records, sources, subgroups=("ward",), min_cases=1).subgroups
    assert [group.value for group in column.groups] == [
        "W" * 60 + "…",
        "a\ufffd\ufffdb",
        "\ufffdevil",
    ]


def test_a_subgroup_has_the_metrics_of_its_cases_alone() -> None:
    records = [
        a_case(r.case_id, r.label, r.prediction.probability, {"PatientSex": "F" if n % 2 else "M"})
        for n, r in enumerate(forty())
    ]
    (sex,) = described(records, subgroups=("PatientSex",)).subgroups
    women = described([r for r in records if r.radiograph.attributes["PatientSex"] == "F"])
    assert [g.value for g in sex.groups] == ["F", "M"]
    assert sex.groups[0].metrics == women.metrics


def test_the_most_wrong_come_first() -> None:
    records = [
        a_case("b", "N", 0.9, enrichment=0.5),
        a_case("a", "N", 0.9, enrichment=None),
        a_case("c", "N", 0.99),
        a_case("right", "P", 0.8),
        a_case("e", "P", 0.4),
        a_case("d", "P", 0.01),
    ]
    found = described(records)
    assert [case.case_id for case in found.false_positives] == ["c", "a", "b"]
    assert [case.case_id for case in found.false_negatives] == ["d", "e"]
    assert found.false_positives[2].metrics["lungs_enrichment"] == 0.5
    assert found.false_positives[1].metrics["lungs_enrichment"] is None


def test_distributions_by_outcome_count_what_is_undefined() -> None:
    records = [a_case(str(n), "P", 0.9, enrichment=float(n)) for n in range(5)]
    records += [
        a_case("dead", "P", 0.9, enrichment=None),
        a_case("missed", "P", 0.1, focus_band="diffuse"),
    ]
    found = {(one.metric, one.outcome): one for one in described(records).distributions}
    enrichment = found["lungs_enrichment", "true_positive"]
    assert enrichment.num_cases == 6
    assert enrichment.undefined == (CountedReason(DEAD, 1),)
    assert enrichment.quantiles == (0, 0.2, 1, 2, 3, 3.8, 4)
    assert found["lungs_pointing_game_hit", "true_positive"].counts == {"false": 2, "true": 3}
    assert found["focus_band", "false_negative"].counts == {"diffuse": 1}
    # The dead map is in the denominator of the hit rate, and the terminal says so.
    assert described(records).hit_rates["lungs"].num_cases == 7
    assert "a map without positive evidence is a miss" in in_words(described(records))
    assert found["entropy", "true_negative"] == Distribution("entropy", "true_negative", 0)


def test_lungs_that_were_not_found_have_their_reason() -> None:
    record = a_case("a", "P", 0.9)
    blind = replace(record, case_id="b", regions=RegionsRecord(missing={"lungs": "too small"}))
    found = {(one.metric, one.outcome): one for one in described([record, blind]).distributions}
    assert found["lungs_enrichment", "true_positive"].undefined == (CountedReason("too small", 1),)
    assert found["entropy", "true_positive"].undefined == ()


def test_with_three_classes_the_target_stands_against_the_others() -> None:
    """P is called where it is highest: N or Q for each other is right against P."""
    three = ("N", "P", "Q")
    records = [
        a_case("a", "P", 0.4, classes=three, predicted="P"),
        a_case("b", "P", 0.4, classes=three, predicted="Q"),
        a_case("c", "Q", 0.2, classes=three, predicted="N"),
        a_case("d", "N", 0.5, classes=three, predicted="P"),
    ]
    found = described(records)
    assert found.outcomes == {
        "true_positive": 1,
        "false_positive": 1,
        "true_negative": 1,
        "false_negative": 1,
    }
    assert found.metrics["auc"].value == (0 + 0 + 1 + 1) / 4


def test_a_run_in_which_everything_failed() -> None:
    found = described([a_failure("a"), a_failure("b")])
    assert found.target_class is None
    assert all(one.value is None and one.reason for one in found.metrics.values())
    assert "nothing to measure" in in_words(found)
    assert "0 audited, 0 excluded, 2 failed" in in_words(found)


def test_the_order_of_cases_does_not_matter_for_values() -> None:
    forward, backward = described(forty()), described(forty()[::-1])
    values = [
        {name: one.value for name, one in cohort.metrics.items()} for cohort in (forward, backward)
    ]
    assert values[0] == pytest.approx(values[1])
    assert forward.false_positives == backward.false_positives


def test_the_words_of_a_cohort() -> None:
    text = in_words(described([*forty(), a_case("u", None, 0.7)]))
    assert "41 cases of 41 patients" in text
    assert "1 audited, but not measured: no label" in text
    assert (
        'for class "P": 16 true positive, 4 false positive, 16 true negative, 4 false negative'
        in text
    )
    assert "sensitivity                          0.800" in text
    assert "worst false positives: N00 (0.900)" in text
    assert "by PatientSex: no case has a value" in text


def test_on_the_screen_a_number_is_told_apart_from_its_limit() -> None:
    near = Estimate(0.8996, 500, 500, (0.8952, 0.9))
    limit = message("cohort.at_least", limit=0.9)
    result = CriterionResult(
        message("cohort.metric", metric="auc"), False, near, (), None, "auc", limit, 0.9
    )
    text = in_words(replace(described(forty()), acceptance=(result,)))
    assert "0.8996  (0.8952 to 0.9000; 500 cases, 500 patients)" in text
    far = replace(result, found=Estimate(0.95, 500, 500, (0.93, 0.97)))
    text = in_words(replace(described(forty()), acceptance=(far,)))
    assert "0.950  (0.930 to 0.970;" in text
