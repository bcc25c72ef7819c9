"""Checks of a model and of a case, their limits, and the state by rule."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.config import Trust as Asked
from cxr_audit.explain import Explainer, Probing
from cxr_audit.records import Check, MapStatus
from cxr_audit.trust.checks import FAITHFULNESS, Checks
from cxr_audit.trust.stability import CHANGES
from cxr_audit.trust.state import judge
from cxr_audit.vocabulary import Message, Text, message
from cxr_audit.vocabulary.depths import DEPTHS

from tests.classifier.models import corner_detector, nested
from tests.trust.test_randomisation import SHAPE, chests

QUIET = {"randomisation": False, "faithfulness": "none", "stability": "none"}


def checks_of(explainer: Explainer, **asked: object) -> Checks:
    return Checks(explainer, Asked(**{**QUIET, **asked}), 4, seed=0)


def of_cases(checks: Checks, inputs: np.ndarray) -> list[dict[str, Check]]:
    maps = checks.explainer.explain(inputs, [None] * len(inputs)).maps
    return [{check.name: check for check in case} for case in checks.of_cases(inputs, maps)]


def corners(num: int) -> np.ndarray:
    """Bright in the corner that the corner detector sees, a little of everything elsewhere."""
    inputs = np.random.default_rng(0).random((num, 16, 16, 1), np.float32) / 4
    inputs[:, :4, :4] += 0.7
    return inputs


def test_a_classifier_of_one_corner_is_faithful_stable_and_complete() -> None:
    checks = checks_of(
        Explainer(Classifier(corner_detector(), (16, 16, 1))), faithfulness="all", stability="all"
    )
    for found in of_cases(checks, corners(3)):
        assert found.pop("brightness_stability").state == "not_run"
        states = {name: check.state for name, check in found.items()}
        assert states == {**dict.fromkeys(states, "passed"), "agreement": "failed"}
        # HiResCAM names the one cell, Grad-CAM spreads its weight over all: they do disagree.
        assert found["worst_stability"].value <= found["stability"].value <= 1


def test_the_control_at_random_places_wins_nothing_on_the_whole() -> None:
    """`random` knows nothing of the classifier: its mean does not beat chance by two standard
    errors."""
    explainer = Explainer(Classifier(corner_detector(), (16, 16, 1)), ("random",))
    found = {
        check.name: check
        for check in checks_of(explainer, faithfulness="sample").of_model(corners(24))[0]
    }
    assert {found[name].state for name in ("deletion", "insertion", "road")} == {"failed"}
    honest = Explainer(Classifier(corner_detector(), (16, 16, 1)))
    found = {
        check.name: check
        for check in checks_of(honest, faithfulness="sample").of_model(corners(24))[0]
    }
    assert {found[name].state for name in ("deletion", "insertion", "road")} == {"passed"}
    assert isinstance(found["deletion"].limit, Message)
    assert found["deletion"].limit.values["num"] == 24


def test_a_map_that_knows_nothing_of_the_input_is_stable_and_one_of_noise_is_not() -> None:
    classifier = Classifier(nested(), SHAPE)
    (centre,) = of_cases(checks_of(Explainer(classifier, ("centre",)), stability="all"), chests(1))
    assert centre["worst_stability"].value == pytest.approx(1)
    (noise,) = of_cases(checks_of(Explainer(classifier, ("random",)), stability="all"), chests(1))
    assert noise["stability"].state == noise["worst_stability"].state == "failed"
    assert noise["stability"].limit == message("trust.at_least", limit=0.9)


def test_a_case_is_checked_alike_alone_and_in_any_batch() -> None:
    inputs = chests(4)
    checks = checks_of(Explainer(Classifier(nested(), SHAPE)), faithfulness="all", stability="all")
    together, alone = of_cases(checks, inputs), of_cases(checks, inputs[2:3])
    for name, check in alone[0].items():
        assert check.state == together[2][name].state
        assert check.value == pytest.approx(together[2][name].value, abs=1e-4)


def test_small_samples_are_not_run_with_the_reason() -> None:
    checks = checks_of(
        Explainer(Classifier(nested(), SHAPE)), faithfulness="sample", stability="sample"
    )
    found = {check.name: check for check in checks.of_model(chests(3))[0]}
    assert found["randomisation"].reason == message("trust.not_requested")
    for name, needed in (("deletion", 16), ("stability", 4)):
        assert found[name].reason == message("trust.too_few", num=3, total=3, needed=needed)


def test_a_constant_classifier_gets_a_state_and_no_crash() -> None:
    model = nested()
    model.get_layer("output").set_weights([np.zeros((8, 1)), np.asarray([2.0])])
    checks = checks_of(
        Explainer(Classifier(model, SHAPE)), randomisation=True, faithfulness="all", stability="all"
    )
    of_model, stages = checks.of_model(chests(4))
    assert stages == ()
    (case,) = of_cases(checks, chests(1))
    assert {case[name].state for name in ("deletion", "road", "stability")} == {"not_run"}
    trust = judge("saturated", of_model, tuple(case.values()))
    assert trust.state == "not_interpretable"
    assert trust.reasons[0] == message("trust.gradient_lost")


def test_methods_that_are_one_for_a_head_are_no_agreement() -> None:
    inputs = chests(2)
    pooled = checks_of(
        Explainer(Classifier(nested(head="gap"), SHAPE), ("grad-cam", "hirescam", "xgrad-cam"))
    )
    for case in of_cases(pooled, inputs):
        assert case["agreement"].state == "not_run"
        assert case["agreement"].reason == message("trust.no_different_method")
    flat = checks_of(
        Explainer(Classifier(nested(head="flatten"), SHAPE), ("hirescam", "grad-cam", "eigen-cam"))
    )
    for case, maps in zip(
        of_cases(flat, inputs), flat.explainer.explain(inputs, [None] * 2).maps, strict=True
    ):
        ranks = [np.argsort(np.argsort(one.values.ravel())) for one in maps[:2]]
        assert case["agreement"].value == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-6)
        # eigen-cam is blind to the class
        assert case["agreement"].detail == message("trust.with_method", method="grad-cam")


@pytest.mark.parametrize(
    ("head", "method", "state"),
    [
        ("gap", "grad-cam", "passed"),
        ("flatten", "hirescam", "passed"),
        ("mlp", "hirescam", "not_run"),
        ("flatten", "eigen-cam", "not_run"),
        ("gap", "integrated-gradients", "passed"),
    ],
)
def test_completeness_is_asked_of_methods_that_promise_it(
    head: str, method: str, state: str
) -> None:
    explainer = Explainer(
        Classifier(nested(head=head), SHAPE), (method,), probing=Probing(steps=64)
    )
    (case,) = of_cases(checks_of(explainer), chests(1))
    assert case["completeness"].state == state


def test_too_few_steps_of_integrated_gradients_do_not_add_up() -> None:
    explainer = Explainer(
        Classifier(nested(head="gap"), SHAPE), ("integrated-gradients",), probing=Probing(steps=1)
    )
    (case,) = of_cases(checks_of(explainer), chests(1))
    assert case["completeness"].state == "failed"


def test_the_stated_cost_is_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter counts what `num_inputs` states, at each depth."""
    explainer = Explainer(Classifier(nested(), SHAPE))
    inputs = chests(32, common=1, places=3)
    for depth, first_look, stable in (("full", 32, 32), ("standard", 16, 8)):
        asked = Asked(randomisation=True, faithfulness="sample", stability="sample")
        checks = Checks(explainer, asked, 4, seed=0, depth=DEPTHS[depth])
        stated = checks.num_inputs(100)
        assert stated["stability"] == stable * len(CHANGES)
        explainer.classifier.passes.take()
        made, cascade = checks.of_model(inputs)
        found = {check.name: check for check in made}
        counts = explainer.classifier.passes.take()
        assert counts["calibration"].asked == 32
        # Five layers have weights: six stages are five.
        assert len(cascade) == min(5, DEPTHS[depth].stages)
        assert stated["randomisation"] == first_look * DEPTHS[depth].stages
        assert counts["randomisation"].asked == first_look * len(cascade)
        assert counts["stability"].asked == stated["stability"]
        # What is open after the first look is asked of all.
        is_open = any(found[name].limit.values["num"] == 32 for name in FAITHFULNESS)
        num = 32 if is_open else first_look
        assert counts["faithfulness"].asked == num * checks.series.num_inputs


def test_methods_that_ask_again_cost_their_passes() -> None:
    probes = Explainer(
        Classifier(nested(), SHAPE), ("integrated-gradients",), probing=Probing(steps=9)
    )
    assert checks_of(probes, stability="sample", sample=16).num_inputs(8) == {
        "randomisation": 0,
        "faithfulness": 0,
        "stability": 8 * len(CHANGES) * 11,  # the input, the baseline, and nine steps
    }
    checks_of(probes, stability="sample").of_model(chests(4))
    assert probes.classifier.passes.take()["stability"].asked == 4 * len(CHANGES) * 11


def test_a_gain_that_is_certain_at_the_first_look_is_not_asked_again() -> None:
    """Of the corner detector every gain is large: 16 of 24 cases decide. A map at random fails:
    on 16 where it gains nothing there, on all 24 where it seems to."""
    classifier = Classifier(corner_detector(), (16, 16, 1))
    asked = Asked(**{**QUIET, "faithfulness": "sample"})
    nums = set()
    for methods, state in (((), "passed"), (("random",), "failed")):
        checks = Checks(Explainer(classifier, methods), asked, 4, 0, DEPTHS["standard"])
        for check in checks.of_model(corners(24))[0][1:]:
            assert (check.state, check.limit.code) == (state, "trust.above_two_looks")
            num = check.limit.values["num"]
            assert num == 16 or (num == 24 and state == "failed")
            nums.add(num)
    assert 16 in nums


def test_a_batch_of_cases_is_stable_case_by_case_whatever_the_depth() -> None:
    """`trust.stability: all` wins over the depth: each of the batch is measured, not eight of it."""
    asked, inputs = Asked(**{**QUIET, "stability": "all"}), chests(12, common=1, places=3)
    checks = Checks(Explainer(Classifier(nested(), SHAPE)), asked, 4, 0, DEPTHS["standard"])
    values = [case["stability"].value for case in of_cases(checks, inputs)]
    assert len(values) == 12
    full = Checks(Explainer(Classifier(nested(), SHAPE)), asked, 4, 0)
    assert values == pytest.approx([c["stability"].value for c in of_cases(full, inputs)], abs=1e-4)


def test_a_map_that_turns_with_brightness_is_not_stable() -> None:
    explainer = Explainer(Classifier(nested(), SHAPE))
    checks, inputs = checks_of(explainer), chests(2)
    maps = explainer.explain(inputs, [None] * 2).maps
    own = maps[0][0].values
    first, second = checks.of_cases(inputs, maps, {0: [own, -own]})
    found = {check.name: check for check in first}["brightness_stability"]
    assert (found.state, found.value) == ("failed", pytest.approx(-1))
    assert found.reason == message("trust.brightness_stability_failed")
    other = {check.name: check for check in second}["brightness_stability"]
    assert (other.state, other.reason) == ("not_run", message("trust.not_asked_of_case"))


PASSED, NOT_RUN = (
    Check("randomisation", "passed", 0.1),
    Check("randomisation", "not_run", reason="few cases"),
)
FAILED = Check("randomisation", "failed", 1.0, reason="the map stays")
UNSTABLE = Check("stability", "failed", 0.1, reason="small changes change it")
SKIPPED = Check("agreement", "not_run", reason="no other method")


@pytest.mark.parametrize(
    ("status", "of_model", "of_case", "state", "reasons"),
    [
        ("ok", (PASSED,), (), "passed", ()),
        ("ok", (PASSED,), (SKIPPED,), "passed", ()),
        ("negative_only", (PASSED,), (), "passed", ()),
        (
            "ok",
            (),
            (),
            "caution",
            (message("trust.dependence_open", reason=message("trust.not_made")),),
        ),
        (
            "ok",
            (NOT_RUN,),
            (),
            "caution",
            (message("trust.dependence_open", reason="few cases"),),
        ),
        ("ok", (PASSED,), (UNSTABLE,), "caution", ("small changes change it",)),
        ("ok", (FAILED,), (), "not_interpretable", ("the map stays",)),
        (
            "ok",
            (FAILED,),
            (UNSTABLE,),
            "not_interpretable",
            ("the map stays", "small changes change it"),
        ),
        ("dead", (PASSED,), (), "not_interpretable", (message("trust.map_is_zero"),)),
        (
            "not_finite",
            (PASSED,),
            (UNSTABLE,),
            "not_interpretable",
            (message("trust.not_finite"), "small changes change it"),
        ),
        (
            "saturated",
            (PASSED,),
            (),
            "not_interpretable",
            (message("trust.gradient_lost"),),
        ),
    ],
)
def test_the_state_follows_from_the_table(
    status: MapStatus,
    of_model: tuple[Check, ...],
    of_case: tuple[Check, ...],
    state: str,
    reasons: tuple[Text, ...],
) -> None:
    trust = judge(status, of_model, of_case)
    assert (trust.state, trust.reasons, trust.checks) == (state, reasons, of_case)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_small_and_the_same_for_the_same_seed(name: str) -> None:
    x = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[:, None, None], (1, 64, 1))
    changed = CHANGES[name](x, 0)
    assert changed.shape == x.shape
    assert changed.dtype == np.float32
    assert 0 < np.abs(changed - x).max() < 0.15
    np.testing.assert_array_equal(changed, CHANGES[name](x, 0))


def test_a_shift_moves_by_a_64th_of_the_side_and_the_edge_goes_on() -> None:
    x = np.arange(128 * 64, dtype=np.float32).reshape(128, 64, 1)
    down, up = CHANGES["shifted down and right"](x, 0), CHANGES["shifted up and left"](x, 0)
    np.testing.assert_array_equal(down[2:, 1:], x[:-2, :-1])
    np.testing.assert_array_equal(up[:-2, :-1], x[2:, 1:])
    assert down[0, 0] == x[0, 0]
