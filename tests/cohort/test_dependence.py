"""Dependence of a whole run on markers, border and brightness, on cases written by hand."""

from dataclasses import replace

import numpy as np
import pytest
from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.dependence import CHECKS, NEARLY_CONSTANT, dependence
from cxr_audit.config import Acceptance
from cxr_audit.records import AuditedCase, CaseRecord, Check, Flag, FlagsRecord, Probes, RegionFacts
from cxr_audit.vocabulary import Message, message
from cxr_audit.vocabulary.checks import checks_of_run

from tests.cohort.cases import a_case, a_failure

LIMITS = Acceptance(
    dependence_marker_share=0.5, dependence_border_spread=0.5, dependence_exposure_spread=0.5
)
LOGITS = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
MARKER = RegionFacts("letter 1", "marker", "by hand", 0.01)


def record(
    number: int,
    logit: float,
    border: float = 0.0,
    exposure: tuple[float, float] = (0.0, 0.0),
    is_marked: bool | None = None,
) -> AuditedCase:
    """`is_marked`: flagged for its marker; None = it has no marker."""
    case = a_case(f"{number}", "P", 0.9 if logit > 0 else 0.1)
    darker, brighter = exposure
    probes = Probes(
        exposure={"darker": darker, "brighter": brighter}, mean_replaced={"border": border}
    )
    found = case.regions.found if is_marked is None else (*case.regions.found, MARKER)
    return replace(
        case,
        prediction=replace(case.prediction, logit=logit),
        probes=probes,
        regions=replace(case.regions, found=found),
        flags=FlagsRecord((Flag("marker", "by hand"),) if is_marked else ()),
    )


def many(**changes: object) -> list[AuditedCase]:
    """200 cases, 20 of each logit; a change may be a function of the number and the logit."""
    cases = []
    for number in range(200):
        logit = LOGITS[number % len(LOGITS)]
        own = {
            name: change(number, logit) if callable(change) else change
            for name, change in changes.items()
        }
        cases.append(record(number, logit, **own))
    return cases


def found(records: list[CaseRecord], patients: int = 200) -> dict[str, Check]:
    """The first record is of patient 0, the next of patient 1, and so on from the start."""
    patient_of = {case.case_id: number % patients for number, case in enumerate(records)}
    return {check.name: check for check in dependence(Cases(records), LIMITS, patient_of, 500)}


def test_nothing_moves_nothing_is_found() -> None:
    checks = found(many(is_marked=False))
    assert tuple(checks) == CHECKS == checks_of_run()
    assert {check.state for check in checks.values()} == {"passed"}
    assert [check.value for check in checks.values()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("share", "state"), [(1.0, "failed"), (0.6, "failed"), (0.4, "passed")])
def test_a_border_that_is_a_share_of_the_logit_has_that_share_of_its_spread(
    share: float, state: str
) -> None:
    check = found(many(border=lambda number, logit: -share * logit))["border_dependence"]
    assert check.state == state
    assert check.value == pytest.approx(share)


def test_the_same_push_of_the_border_on_every_case_makes_no_difference() -> None:
    check = found(many(border=-3.0))["border_dependence"]
    assert (check.state, check.value) == ("passed", pytest.approx(0.0, abs=1e-6))


def test_two_cues_that_cancel_are_found() -> None:
    """The border adds or takes three log-odds, which another cue takes back: the logit does not
    follow the border, cov(b, y) = 0, but it would without the other cue."""
    checks = found(many(border=lambda number, logit: 3.0 * (-1) ** (number // 10)))
    border = np.array([3.0 * (-1) ** (number // 10) for number in range(200)])
    logit = np.array([LOGITS[number % 10] for number in range(200)])
    assert np.cov(border, logit)[0, 1] == pytest.approx(0)
    assert checks["border_dependence"].value == pytest.approx(border.std() / logit.std())
    assert checks["border_dependence"].state == "failed"


@pytest.mark.parametrize("exposure", [(-5.0, 5.0), (5.0, -5.0), (5.0, 5.0), (0.0, 5.0)])
def test_brightness_is_found_in_whatever_direction_it_acts(exposure: tuple[float, float]) -> None:
    """(5, 5): the logit rises with the distance from the usual brightness."""
    check = found(many(exposure=exposure))["exposure_dependence"]
    assert check.state == "failed"
    # Of (-5, 0, 5): the root of 50 / 3; of (0, 5, 5) and (0, 0, 5): of 50 / 3 - (10 / 3)^2.
    within = 50 / 3 if sum(exposure) == 0 else 50 / 9
    assert check.value == pytest.approx(np.sqrt(within) / np.std(LOGITS))
    assert check.limit == message("cohort.at_most", limit=0.5)


def test_directions_that_differ_from_case_to_case_do_not_cancel() -> None:
    def either_way(number: int, logit: float) -> tuple[float, float]:
        return (-2.0, 2.0) if number // 10 % 2 else (2.0, -2.0)

    check = found(many(exposure=either_way))["exposure_dependence"]
    assert check.value == pytest.approx(np.sqrt(8 / 3) / np.std(LOGITS))
    assert check.state == "failed"


def test_markers_by_the_cases_that_have_one_however_few_these_are() -> None:
    """20 of 200 cases have a marker, and all of them are flagged for it: a share of 1, not of
    0.1."""
    rare = many(is_marked=lambda number, logit: True if number < 20 else None)
    check = found(rare)["marker_dependence"]
    assert (check.state, check.value) == ("failed", 1.0)
    assert check.detail == message("cohort.marker_dependence", num=20)
    never = many(is_marked=lambda number, logit: False if number < 20 else None)
    assert found(never)["marker_dependence"].state == "passed"


def test_an_interval_that_holds_the_limit_is_undecided() -> None:
    """12 of 20, limit 0.5: by Wilson's interval 0.39 to 0.78."""
    some = many(is_marked=lambda number, logit: number < 12 if number < 20 else None)
    check = found(some)["marker_dependence"]
    assert (check.state, check.value) == ("undecided", 0.6)
    assert check.interval_95 == pytest.approx((0.387, 0.781), abs=0.02)
    assert isinstance(check.reason, Message)
    # Its lower half is 0.21 wide and has to be 0.1: four times the patients and a little more.
    assert 75 <= check.reason.values["needed"] <= 105


def test_the_interval_of_a_spread_is_that_of_a_simulation() -> None:
    """Normal changes that have nothing to do with the logit: 2000 samples of 100 cases."""
    rng = np.random.default_rng(0)
    simulated = rng.normal(0, 0.5, (2000, 100)).std(1) / rng.normal(0, 1, (2000, 100)).std(1)
    logit, border = rng.normal(0, 1, 100), rng.normal(0, 0.5, 100)
    cases = [record(n, y, border=b) for n, (y, b) in enumerate(zip(logit, border, strict=True))]
    check = found(cases)["border_dependence"]
    assert check.interval_95 is not None
    width = check.interval_95[1] - check.interval_95[0]
    assert width == pytest.approx(2 * 1.98 * simulated.std(), rel=0.3)


def test_a_nearly_constant_output_is_not_examined() -> None:
    """It cannot move, whatever is done to it."""
    scale = 0.9 * NEARLY_CONSTANT / float(np.std(LOGITS))
    cases = [record(n, scale * LOGITS[n % 10], is_marked=False) for n in range(200)]
    for check in found(cases).values():
        assert check.state == "not_run"
        assert isinstance(check.reason, Message)
        assert check.reason.code == "cohort.nearly_constant"
        assert check.reason.values["spread"] == pytest.approx(0.9 * NEARLY_CONSTANT)


def test_of_few_patients_nothing_is_said_however_many_their_cases() -> None:
    moved = many(border=lambda number, logit: -logit, exposure=(-5.0, 5.0), is_marked=True)
    for check in found(moved, 9).values():
        reason = message("cohort.dependence_few_patients", num=9, needed=10)
        assert (check.state, check.reason) == ("not_run", reason)
    assert {check.state for check in found(moved, 10).values()} == {"failed"}


def test_markers_that_were_not_assessed_do_not_count() -> None:
    cases = many(is_marked=True)
    not_assessed = FlagsRecord(undefined={"marker": "why"})
    unknown = [replace(case, flags=not_assessed) for case in cases[5:]]
    check = found([*cases[:5], *unknown])["marker_dependence"]
    reason = message("cohort.dependence_few_patients", num=5, needed=10)
    assert (check.state, check.reason) == ("not_run", reason)


def test_of_cases_that_were_not_audited_nothing_is_said() -> None:
    failures = [a_failure(str(n)) for n in range(20)]
    assert {check.state for check in found(failures).values()} == {"not_run"}
