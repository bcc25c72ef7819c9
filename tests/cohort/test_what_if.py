"""Another threshold, from records: against tables worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cxr_audit.cohort import at_threshold, curve, curve_lines
from cxr_audit.config import Cohort
from cxr_audit.errors import ConfigError

from tests.cohort.cases import a_case, a_failure, a_source

# label, output for P
GIVEN = (
    *[("P", 0.9)] * 6,
    *[("P", 0.45)] * 3,
    *[("P", 0.1)] * 1,
    *[("N", 0.6)] * 2,
    *[("N", 0.42)] * 3,
    *[("N", 0.2)] * 15,
)


def cases():
    found = [a_failure("failed", "N")]
    for number, (label, probability) in enumerate(GIVEN):
        found.append(a_case(f"case-{number:02}", label, probability))
    return found


def by_threshold(found):
    return {decision.threshold: decision for decision in found.decisions}


def test_the_curve_by_hand():
    found = curve(cases(), [], Cohort(rounds=200), 0, (0.43,))
    assert (found.num_positive, found.num_negative, found.target_class) == (10, 20, "P")
    assert found.prevalence == pytest.approx(10 / 30)
    at = by_threshold(found)
    assert [decision.threshold for decision in found.decisions] == sorted(at)
    # at 0.5: 6 of 10 called, 2 of 20 called; at 0.43: 9 of 10, 2 of 20; at 0.4: 9, 5
    for threshold, sensitivity, specificity, ppv, npv in (
        (0.5, 6 / 10, 18 / 20, 6 / 8, 18 / 22),
        (0.43, 9 / 10, 18 / 20, 9 / 11, 18 / 19),
        (0.4, 9 / 10, 15 / 20, 9 / 14, 15 / 16),
    ):
        row = at[threshold]
        shares = (row.sensitivity, row.specificity, row.ppv, row.npv)
        assert [share.value for share in shares] == pytest.approx(
            [sensitivity, specificity, ppv, npv]
        )
        low, high = row.sensitivity.interval_95
        assert low < sensitivity < high
    assert [row.threshold for row in found.decisions if row.is_of_run] == [0.5]


def test_the_decision_at_a_prevalence_by_hand():
    """Of 1000 at 10 %: 100 positive, 90 found; 900 negative, 225 called. PPV 90 / 315."""
    found = by_threshold(curve(cases(), [], Cohort(rounds=200, prevalence=0.1), 0))[0.4]
    assert (found.found, found.missed, found.false_alarms) == pytest.approx((90, 10, 225))
    assert found.ppv.value == pytest.approx(90 / 315)
    assert found.npv.value == pytest.approx(675 / 685)


def test_cases_are_decided_again():
    changed = list(at_threshold(cases(), 0.43))
    outcomes = [case.outcome for case in changed]
    assert outcomes.count("true_positive") == 9
    assert outcomes.count("false_positive") == 2
    assert outcomes[0] is None
    assert {case.prediction.threshold for case in changed[1:]} == {0.43}


def test_below_the_threshold_of_several_labels_it_is_not_the_target():
    case = a_case("a", "N", 0.3)
    scores = {"P": 0.3, "EFFUSION": 0.8, "not P": 0.7}
    prediction = replace(case.prediction, class_scores=scores, predicted="not P", probability=0.3)
    (below,) = at_threshold([replace(case, prediction=prediction)], 0.5)
    assert below.prediction.predicted == "not P"
    (above,) = at_threshold([replace(case, prediction=prediction)], 0.25)
    assert above.prediction.predicted == "P"


def test_without_a_threshold_or_a_label_there_is_no_curve():
    case = a_case("a", "N", 0.3)
    highest = replace(case, prediction=replace(case.prediction, threshold=None))
    with pytest.raises(ConfigError, match="no threshold"):
        list(at_threshold([highest], 0.5))
    with pytest.raises(ConfigError, match="no audited case has a label"):
        curve([a_case("a", None, 0.3)], [], Cohort(), 0)


def test_intervals_are_of_patients_not_of_images():
    one_patient = [a_source(case.case_id, f"p{n // 3}") for n, case in enumerate(cases())]
    alone = by_threshold(curve(cases(), [], Cohort(rounds=500), 0))[0.5]
    shared = by_threshold(curve(cases(), one_patient, Cohort(rounds=500), 0))[0.5]
    assert shared.sensitivity.num_patients < alone.sensitivity.num_patients
    assert shared.sensitivity.value == alone.sensitivity.value


def test_the_table_marks_the_threshold_of_the_run():
    head, *rows = curve_lines(curve(cases(), [], Cohort(rounds=200), 0))
    assert head[0] == "threshold"
    assert [row[0] for row in rows if "(run)" in row[0]] == ["0.5 (run)"]
    assert all(len(row) == len(head) for row in rows)
