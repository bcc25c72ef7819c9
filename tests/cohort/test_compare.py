"""Two runs compared: by hand, against scipy and against DeLong's formula written out here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cxr_audit.cohort import compare
from cxr_audit.cohort.columns import CaseSummary
from cxr_audit.cohort.compare import mcnemar
from cxr_audit.cohort.intervals import Resampling
from cxr_audit.cohort.pairing import match
from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    CaseRecord,
    ChangedAnswers,
    Comparison,
    Flag,
    FlagsRecord,
    RunCases,
    RunRecord,
    Software,
    Trust,
    from_json,
    to_json,
)
from cxr_audit.vocabulary import message
from scipy import stats

from tests.cohort.cases import a_case, a_failure
from tests.evidence.test_folder import MODEL

RUN = RunRecord(
    "a",
    "finished",
    "2026-01-01T00:00:00Z",
    {"run": {"name": "a", "seed": 0}},
    "0" * 64,
    0,
    MODEL,
    RunCases(4),
)
SAME = replace(RUN, cases=RunCases(4, case_id_key="k"))


def compared(
    a: list[CaseRecord], b: list[CaseRecord], patients: dict[str, str] | None = None
) -> Comparison:
    other = replace(SAME, name="b", config={"run": {"name": "b", "seed": 0}})
    return compare((SAME, "1" * 64, a), (other, "2" * 64, b), patients or {}, 2000, 1)


def metric(found: Comparison, name: str) -> Any:
    return next(one for one in (*found.performance, *found.metrics) if one.metric == name)


def test_what_changed_is_counted_by_hand() -> None:
    """p1 turns right, p2 wrong, n1 stays, n2 fails in B, x is only in A and y only in B."""
    a = [
        a_case("p1", "P", 0.4),
        a_case("p2", "P", 0.8),
        a_case("n1", "N", 0.1),
        a_case("n2", "N", 0.2),
        a_failure("x"),
    ]
    b = [
        a_case("p1", "P", 0.6),
        a_case("p2", "P", 0.3),
        a_case("n1", "N", 0.1),
        a_failure("n2"),
        a_case("y", "N", 0.3),
    ]
    b[0] = replace(b[0], flags=FlagsRecord((Flag("border", "why"),)), trust=Trust("passed", (), ()))
    b[2] = replace(b[2], flags=FlagsRecord((Flag("border", "why"),)))
    a[2] = replace(a[2], flags=FlagsRecord((Flag("border", "why"), Flag("text", "why"))))
    found = compared(a, b)
    assert found.matching.num_matched == 4
    assert (found.matching.only_a, found.matching.only_b) == (("x",), ("y",))
    assert [(t.a, t.b, t.num_cases) for t in found.transitions.statuses] == [
        ("ok", "failed", 1),
        ("ok", "ok", 3),
    ]
    assert [(t.a, t.b, t.num_cases) for t in found.transitions.classes] == [
        ("N", "N", 1),
        ("N", "P", 1),
        ("P", "N", 1),
    ]
    assert (found.another_class.value, found.another_class.num_cases) == (pytest.approx(2 / 3), 3)
    assert found.answers == ChangedAnswers(3, 1, 1, p_value=1)
    assert found.transitions.flags == {"border": (0, 1, 1), "text": (1, 0, 0)}
    assert [(t.a, t.b, t.num_cases) for t in found.transitions.trust] == [
        ("none", "none", 2),
        ("none", "passed", 1),
    ]
    probability = metric(found, "probability")
    assert (probability.a, probability.b) == (pytest.approx(1.3 / 3), pytest.approx(1.0 / 3))
    assert probability.change.value == pytest.approx(-0.1)
    assert (metric(found, "auc").a, metric(found, "auc").b, metric(found, "auc").change.value) == (
        1,
        1,
        0,
    )
    assert (metric(found, "sensitivity").a, metric(found, "sensitivity").b) == (0.5, 0.5)
    assert metric(found, "specificity").change.value == 0
    assert [case.case_id for case in found.changed] == ["p2", "p1", "n1", "n2"]
    assert found.changed[1].flags_new == ("border",)
    assert found.changed[2].flags_gone == ("text",)
    assert [case.is_another_class for case in found.changed] == [True, True, False, False]
    assert found.scores == ((0.4, 0.6), (0.8, 0.3), (0.1, 0.1))
    assert from_json(to_json(found), Comparison) == found


def test_a_run_compared_with_itself_has_no_change() -> None:
    cases = [a_case(f"c{n}", "PN"[n % 2], 0.3 + n / 40) for n in range(20)]
    found = compared(cases, cases)
    assert (found.another_class.value, found.answers.p_value, found.changed) == (0, 1, ())
    for one in (*found.performance, *found.metrics):
        if one.metric.startswith(("masking_", "annotation_")):  # neither masked nor annotated
            assert (one.a, one.change.value) == (None, None)
            continue
        assert (one.change.value, one.change.interval_95) == (0, None)
        code = "cohort.resamples_equal" if one.metric == "auc" else "cohort.same_in_every_case"
        assert one.change.reason == message(code)
    assert found.differences == ()


def test_a_metric_is_compared_where_both_runs_have_it() -> None:
    a = [
        a_case("1", "P", 0.9, enrichment=2.0),
        a_case("2", "P", 0.9, enrichment=None),
        a_case("3", "P", 0.9, enrichment=3.0),
    ]
    b = [
        a_case("1", "P", 0.9, enrichment=2.5),
        a_case("2", "P", 0.9, enrichment=1.0),
        a_case("3", "P", 0.9, enrichment=None),
    ]
    found = metric(compared(a, b), "lungs_enrichment")
    assert (found.a, found.b, found.change.value, found.change.num_cases) == (2.0, 2.5, 0.5, 1)
    assert (found.num_only_a, found.num_only_b) == (1, 1)
    assert found.change.reason == message("cohort.too_few_patients", limit=10)


def test_the_mean_change_has_the_interval_of_students_t() -> None:
    """Of 60 patients with a case each, as a paired t test has it."""
    rng = np.random.default_rng(3)
    before, after = rng.normal(0, 1, 60), rng.normal(0.3, 1, 60)
    expected = stats.ttest_rel(after, before).confidence_interval()
    found = Resampling(np.arange(60), 20_000, 1).mean_change(after - before)
    assert found.value == pytest.approx(np.mean(after - before))
    assert found.interval_95 == pytest.approx((expected.low, expected.high), abs=0.012)


def test_copies_of_a_patients_case_narrow_nothing() -> None:
    changes = np.random.default_rng(3).normal(0.1, 1, 40)
    once = Resampling(np.arange(40), 4000, 1).mean_change(changes)
    often = Resampling(np.repeat(np.arange(40), 5), 4000, 1).mean_change(np.repeat(changes, 5))
    assert often.interval_95 == pytest.approx(once.interval_95, abs=1e-9)


def placements(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (
        scores[positive][:, None] == scores[~positive]
    )
    return wins.mean(1), wins.mean(0)


def test_the_auc_change_has_the_error_of_delong() -> None:
    """DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988: variance of the paired difference
    from placements."""
    rng, positive = np.random.default_rng(8), np.arange(300) < 120
    shared = rng.normal(positive * 1.0, 1)
    before, after = shared + rng.normal(0, 0.6, 300), shared + rng.normal(0, 0.4, 300)
    (x1, y1), (x2, y2) = placements(before, positive), placements(after, positive)
    error = np.sqrt(np.var(x2 - x1, ddof=1) / 120 + np.var(y2 - y1, ddof=1) / 180)
    found = Resampling(np.arange(300), 4000, 1).auc_change(positive, before, after)
    assert found.value == pytest.approx(x2.mean() - x1.mean())
    low, high = found.interval_95
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 119) * error, rel=0.05)


def test_scores_in_other_units_have_no_change_of_auc() -> None:
    positive, scores = np.arange(40) < 15, np.random.default_rng(0).random(40)
    found = Resampling(np.arange(40), 500, 1).auc_change(positive, scores, np.exp(3 * scores))
    assert (found.value, found.interval_95) == (0, None)
    missing = Resampling(np.arange(3), 500, 1).auc_change(
        np.ones(3, bool), np.arange(3.0), np.arange(3.0)
    )
    assert (missing.value, missing.reason) == (None, message("cohort.no_negative"))


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (1, 0), (5, 1), (3, 12), (40, 40), (300, 250)]
)
def test_mcnemar_is_the_binomial_test(gained: int, lost: int) -> None:
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1
    assert mcnemar(gained, lost) == pytest.approx(expected)


def test_cases_of_other_keys_are_matched_by_their_files() -> None:
    """Two copies of one file: the first with the first, the second with the second; a file
    without a hash with none."""
    a = [
        CaseSummary(name, "failed", file_sha256=sha)
        for name, sha in (("b", "1"), ("a", "1"), ("c", "2"), ("d", None))
    ]
    b = [
        CaseSummary(name, "failed", file_sha256=sha)
        for name, sha in (("z", "1"), ("y", "1"), ("x", "3"), ("d", None))
    ]
    assert [(pair.a.case_id, pair.b.case_id) for pair in match(a, b, False)] == [
        ("b", "z"),
        ("a", "y"),
    ]
    assert [(pair.a.case_id, pair.b.case_id) for pair in match(a, b, True)] == [("d", "d")]


def test_what_the_runs_were_made_with_is_listed() -> None:
    cases = [a_case("1", "P", 0.9)]
    config = {"run": {"name": "b", "output": "x", "seed": 1}, "explain": {"methods": ["hirescam"]}}
    other = replace(
        SAME,
        config=config,
        model=replace(MODEL, sha256="9" * 64),
        software=Software({"keras": "3.16"}, segmenter_sha256="7"),
    )
    found = compare((SAME, "", cases), (other, "", cases), {}, 200, 1)
    assert [(d.part, d.name, d.a, d.b) for d in found.differences] == [
        ("config", "run.seed", 0, 1),
        ("config", "explain.methods", None, ["hirescam"]),
        ("model", "sha256", "0" * 64, "9" * 64),
        ("software", "lung segmenter", None, "7"),
        ("software", "keras", None, "3.16"),
    ]


def test_where_it_ran_is_no_difference_and_a_hidden_path_is_one() -> None:
    cases = [a_case("1", "P", 0.9)]
    hidden = {"source": "see private/config.json"}
    one, two = (
        replace(
            SAME,
            config={
                "engine": {"name": name, "workers": n},
                "privacy": {"key_file": name},
                "ingest": hidden,
            },
            config_sha256=name * 64,
        )
        for n, name in enumerate("ab")
    )
    same = compare((one, "", cases), (replace(two, config_sha256="a" * 64), "", cases), {}, 200, 1)
    assert same.differences == ()
    (found,) = compare((one, "", cases), (two, "", cases), {}, 200, 1).differences
    assert (found.part, found.a, found.b) == ("config", "a" * 64, "b" * 64)
    assert "path" in found.name


def test_runs_that_cannot_be_compared_are_refused() -> None:
    one = a_case("1", "P", 0.9)
    with pytest.raises(ConfigError, match="share no radiograph"):
        compared([one], [a_case("2", "P", 0.9)])
    other = replace(one, prediction=replace(one.prediction, target_class="N"))
    with pytest.raises(ConfigError, match="they explain N and P"):
        compared([one], [other])
    with pytest.raises(ConfigError, match="no case was audited in both"):
        compared([one], [a_failure("1")])
