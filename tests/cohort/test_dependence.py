"""Dependence of a whole run on markers, border and exposure, on records written by hand."""

from dataclasses import replace

import numpy as np
import pytest
from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.dependence import CHECKS, dependence, told_apart, variance_share
from cxr_audit.config import Acceptance
from cxr_audit.records import AuditedCase, CaseRecord, Check, Flag, FlagsRecord, Probes
from cxr_audit.vocabulary import message
from cxr_audit.vocabulary.checks import checks_of_run

from tests.cohort.cases import a_case, a_failure

LIMITS = Acceptance(
    dependence_marker_share=0.1, dependence_border_variance=0.5, dependence_exposure_auc=0.7
)
LOGITS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)


def record(
    logit: float, border: float = 0.0, swing: float = 0.0, is_marked: bool = False
) -> AuditedCase:
    case = a_case(f"{logit}", "P", 0.9 if logit > 0 else 0.1)
    probes = Probes(
        exposure={"darker": -swing, "brighter": swing}, mean_replaced={"border": border}
    )
    raised = (Flag("marker", "by hand"),) if is_marked else ()
    prediction = replace(case.prediction, logit=logit)
    return replace(case, prediction=prediction, probes=probes, flags=FlagsRecord(raised))


def found(records: list[CaseRecord], patients: int = len(LOGITS)) -> dict[str, Check]:
    """The first record is of patient 0, the next of patient 1, and so on from the start."""
    patient_of = {one.case_id: n % patients for n, one in enumerate(records)}
    return {check.name: check for check in dependence(Cases(records), LIMITS, patient_of)}


def test_nothing_moves_nothing_is_found() -> None:
    checks = found([record(y) for y in LOGITS])
    assert tuple(checks) == CHECKS == checks_of_run()
    assert {one.state for one in checks.values()} == {"passed"}
    assert [one.value for one in checks.values()] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(("share", "state"), [(1.0, "failed"), (0.6, "failed"), (0.4, "passed")])
def test_a_border_that_is_a_share_of_the_answer_brings_that_share_of_the_variance(
    share: float, state: str
) -> None:
    check = found([record(y, border=-share * y) for y in LOGITS])["border_dependence"]
    assert check.state == state
    assert check.value == pytest.approx(share)


def test_the_same_push_of_the_border_on_every_case_brings_nothing() -> None:
    check = found([record(y, border=-3.0) for y in LOGITS])["border_dependence"]
    assert (check.state, check.value) == ("passed", 0.0)


def test_exposure_that_outweighs_the_cases_is_found_in_either_direction() -> None:
    for swing in (5.0, -5.0):  # brighter ones lie from 2 to 10, darker ones from -8 to 0
        check = found([record(y, swing=swing) for y in LOGITS])["exposure_dependence"]
        assert (check.state, check.value) == ("failed", 1.0)
        assert check.limit == message("cohort.at_most", limit=0.7)


def test_told_apart_counts_pairs() -> None:
    # Of (0, 4) against (1, 3): 1 > 0, 3 > 0, but neither is above 4: half of the pairs.
    assert told_apart(np.array([[0.0, 1.0], [4.0, 3.0]])) == 0.5
    # Of (0, 1) against (0, 2): 0 = 0 half, 0 < 1, 2 above both: 2.5 of 4 pairs.
    assert told_apart(np.array([[0.0, 0.0], [1.0, 2.0]])) == 0.625
    assert told_apart(np.array([[0.0, 0.0], [2.0, 1.0]])) == 0.625  # the other way round


def test_a_share_of_variance_is_the_slope_on_the_logit() -> None:
    rng = np.random.default_rng(1)
    y, b = rng.normal(size=(2, 40))
    slope = np.polyfit(y, b, 1)[0]
    assert variance_share(np.stack([y, b], 1)) == pytest.approx(slope)
    assert variance_share(np.ones((40, 2))) == 0.0


def test_markers_by_the_share_of_flagged_cases() -> None:
    one_of_ten = [record(y, is_marked=not n) for n, y in enumerate(LOGITS)]
    assert found(one_of_ten)["marker_dependence"].state == "passed"
    two_of_ten = [record(y, is_marked=n < 2) for n, y in enumerate(LOGITS)]
    check = found(two_of_ten)["marker_dependence"]
    assert (check.state, check.value) == ("failed", 0.2)
    not_assessed = FlagsRecord(undefined={"marker": "why"})
    unknown = [replace(case, flags=not_assessed) for case in one_of_ten[1:]]
    assert found([one_of_ten[0], *unknown])["marker_dependence"].state == "not_run"


def test_of_few_patients_nothing_is_said_however_many_their_cases() -> None:
    marked = [record(y, border=-y, swing=5.0, is_marked=True) for y in LOGITS]
    for records, patients in ((marked[:9], 9), (marked, 9)):
        checks = found(records, patients)
        assert {one.state for one in checks.values()} == {"not_run"}
        assert {one.reason for one in checks.values()} == {
            message("cohort.dependence_few_patients", num=9, needed=10)
        }
    assert {one.state for one in found(marked, 10).values()} == {"failed"}


def test_of_cases_that_were_not_audited_nothing_is_said() -> None:
    failures = [a_failure(str(n)) for n in range(20)]
    assert {check.state for check in found(failures).values()} == {"not_run"}
