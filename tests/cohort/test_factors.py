"""Verdicts on made-up logits whose dependence is known."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.cohort.association import (
    discoveries,
    explained,
    p_value,
    rank_terms,
    within_label,
    word_terms,
)
from cxr_audit.cohort.factors import Panel, factor_verdicts
from cxr_audit.config import Acceptance
from cxr_audit.records.factors import FactorVerdict
from cxr_audit.vocabulary.factors import low_level_names

NUM = 120
KEYS = {
    *("factor", "kind", "verdict", "effect", "unit", "interval_95"),
    *("num_cases", "num_patients", "reason"),
}


def panel_of(
    logit: np.ndarray, values: dict[str, np.ndarray] | None = None, **parts: object
) -> Panel:
    labels = np.arange(NUM) % 2
    return Panel(logit, labels, np.arange(NUM), values or {}, **parts)  # type: ignore[arg-type]


def verdict_of(panel: Panel, factor: str) -> FactorVerdict:
    found = factor_verdicts(panel, Acceptance(), 300, 0)
    return next(verdict for verdict in found if verdict.factor == factor)


def test_within_label_by_hand() -> None:
    values, labels = np.array([1.0, 3.0, 10.0, 14.0]), np.array([0, 0, 1, 1])
    assert within_label(values, labels) == pytest.approx([-1, 1, -2, 2])


def test_a_u_shape_is_explained() -> None:
    values = np.linspace(-1, 1, 200)
    labels = np.zeros(200, int)
    residual = within_label(np.abs(values), labels)
    assert explained(rank_terms(values, labels), residual) > 0.9
    # |x| against x alone explains nothing: the correlation is 0 by symmetry.
    assert explained(rank_terms(values, labels)[:, :1], residual) == pytest.approx(0, abs=1e-6)


def test_permutation_exchanges_patients() -> None:
    rng = np.random.default_rng(0)
    value_of_patient, logit_of_patient = rng.normal(size=6), rng.normal(size=6)
    patients = np.repeat(np.arange(6), 20)
    labels = np.zeros(120, int)
    terms = rank_terms(value_of_patient[patients], labels)
    residual = within_label(logit_of_patient[patients], labels)
    # Six patients cannot show an association, however many images each has.
    assert p_value(terms, residual, patients, 0) > 0.01


def test_p_values_are_uniform_without_an_association() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.zeros(60, int)
        terms = rank_terms(rng.normal(size=60), labels)
        residual = within_label(rng.normal(size=60), labels)
        found.append(p_value(terms, residual, np.arange(60), seed))
    assert np.mean(np.array(found) < 0.2) == pytest.approx(0.2, abs=0.12)


def test_false_discoveries_by_hand() -> None:
    # Benjamini and Hochberg: p_(i) m / i, made monotone from the largest.
    assert discoveries([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_rare_words_are_no_group() -> None:
    labels = np.zeros(12, int)
    assert word_terms(["a"] * 11 + ["b"], labels) is None
    terms = word_terms(["a"] * 6 + ["b"] * 6, labels)
    assert terms is not None
    assert terms[:, 0] == pytest.approx([-0.5] * 6 + [0.5] * 6)


def test_a_factor_that_moves_and_explains_is_used() -> None:
    rng = np.random.default_rng(1)
    brightness = rng.normal(size=NUM)
    logit = 2 * brightness + 0.5 * rng.normal(size=NUM)
    ranges = np.full(NUM, 6.0)
    found = verdict_of(
        panel_of(logit, {"brightness": brightness}, ranges={"brightness": ranges}), "brightness"
    )
    assert found.verdict == "uses"
    # Change of 6 over a spread of about 2.06, nearly all explained.
    assert found.effect == pytest.approx(6 / logit.std() * 0.96, rel=0.08)
    assert found.num_cases == found.num_patients == NUM
    assert set(FactorVerdict.__dataclass_fields__) == KEYS


def test_a_reaction_that_makes_no_difference_in_the_set_is_not_used() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(size=NUM)
    panel = panel_of(
        logit, {"sharpness": rng.normal(size=NUM)}, ranges={"sharpness": np.full(NUM, 3.0)}
    )
    assert verdict_of(panel, "sharpness").verdict in ("not_used", "undecided")


def test_what_the_file_states_is_an_association_only() -> None:
    rng = np.random.default_rng(3)
    devices = tuple("AB"[n] for n in rng.integers(0, 2, NUM))
    logit = np.array([2.0 * (name == "A") for name in devices]) + 0.2 * rng.normal(size=NUM)
    found = verdict_of(panel_of(logit, words={"device": devices}), "device")
    assert found.verdict == "undecided"
    assert found.effect == pytest.approx(0.96, abs=0.03)


def test_a_place_brings_its_share() -> None:
    rng = np.random.default_rng(4)
    cue = 3.0 * (rng.random(NUM) < 0.5)
    logit = cue + 0.5 * rng.normal(size=NUM)
    places = {"row 4": cue.mean() - cue, "row 1": 0.05 * rng.normal(size=NUM)}
    panel = panel_of(logit, places=places)
    found = verdict_of(panel, "place_row_4")
    assert found.verdict == "uses"
    assert found.effect == pytest.approx(0.9, abs=0.06)
    other = verdict_of(panel, "place_row_1")
    assert other.verdict == "not_used"
    assert other.effect == pytest.approx(0, abs=0.02)


def test_two_cues_that_cancel_are_seen() -> None:
    rng = np.random.default_rng(5)
    cue = 3.0 * (rng.random(NUM) < 0.5)
    logit = 0.8 * rng.normal(size=NUM)  # both always together: nothing is left of them
    panel = panel_of(logit, places={"row 1": -cue, "row 8": cue})
    assert verdict_of(panel, "place_row_1").verdict == "uses"
    assert verdict_of(panel, "place_row_8").verdict == "uses"


def test_a_marker_counts_where_there_is_one() -> None:
    rng = np.random.default_rng(6)
    logit = rng.normal(size=NUM)
    change = np.full(NUM, np.nan)
    change[:20] = 2.0
    few = verdict_of(panel_of(logit, marker=change), "marker")
    change[:60] = 2.0
    many = verdict_of(panel_of(logit, marker=change), "marker")
    assert few.verdict == many.verdict == "uses"
    assert few.effect == pytest.approx(many.effect or 0, rel=1e-6)
    assert few.num_cases == 20


def test_factors_that_are_alike_name_each_other() -> None:
    rng = np.random.default_rng(7)
    zoom = rng.normal(size=NUM)
    contrast = zoom + 0.1 * rng.normal(size=NUM)
    logit = 2 * zoom + 0.3 * rng.normal(size=NUM)
    ranges = {"zoom": np.full(NUM, 6.0), "contrast": np.full(NUM, 6.0)}
    panel = panel_of(logit, {"zoom": zoom, "contrast": contrast}, ranges=ranges)
    assert "contrast" in str(verdict_of(panel, "zoom").reason)
    assert "zoom" in str(verdict_of(panel, "contrast").reason)


def test_an_unnamed_low_level_property_is_likely() -> None:
    rng = np.random.default_rng(8)
    statistics = rng.normal(size=(NUM, len(low_level_names())))
    names = low_level_names()
    detail = rng.normal(size=NUM)
    for level in range(1, 5):
        for orientation in ("horizontal", "vertical", "diagonal"):
            place = names.index(f"detail level {level}:{orientation}")
            statistics[:, place] = detail + 0.05 * rng.normal(size=NUM)
    logit = 2 * detail + 0.3 * rng.normal(size=NUM)
    found = verdict_of(panel_of(logit, statistics=statistics), "low_level")
    assert found.verdict == "uses"
    assert "detail level" in str(found.reason)
    without = panel_of(rng.normal(size=NUM), statistics=statistics)
    assert verdict_of(without, "low_level").verdict == "not_used"


def test_a_constant_output_is_not_examined() -> None:
    panel = panel_of(np.full(NUM, 0.3), {"brightness": np.arange(NUM, dtype=float)})
    found = factor_verdicts(panel, Acceptance(), 300, 0)
    assert {verdict.verdict for verdict in found} == {"not_examined"}
    assert "nearly constant" in str(found[0].reason)


def test_what_was_not_examined_is_named() -> None:
    logit = np.random.default_rng(9).normal(size=NUM)
    found = {
        verdict.factor: verdict
        for verdict in factor_verdicts(panel_of(logit), Acceptance(), 300, 0)
    }
    for name in ("brightness", "device", "marker", "border", "place", "low_level", "objects"):
        assert found[name].verdict == "not_examined"
        assert str(found[name].reason)
