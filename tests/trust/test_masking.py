"""Causal masking on classifiers whose answer is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.explain import Explainer
from cxr_audit.preprocess import cell_shares, place, region_shares
from cxr_audit.records import Placement, Prediction, Region
from cxr_audit.trust.masking import FILLS, Subject, all_fills, fill, is_bad_news, read_answers
from cxr_audit.vocabulary import MASKING_NUMBERS, message
from scipy.ndimage import gaussian_filter

from tests.classifier.models import corner_detector

FULL = place(16, 16, 16, 16, "stretch")


def ask_again(explainer, subjects, at_once):
    """The answers to every part of every subject, replaced by every fill."""
    return read_answers(explainer, subjects, explainer.ask(all_fills(subjects), at_once))


def region(name: str, kind: Any, rows: slice, columns: slice) -> Region:
    mask = np.zeros((16, 16), np.bool_)
    mask[rows, columns] = True
    return Region.of(mask, name, kind, "drawn by hand")


LUNGS = region("lungs", "lungs", slice(6, 12), slice(4, 12))
LETTER = region("letter 1", "marker", slice(0, 4), slice(0, 4))


def subject(
    x: np.ndarray,
    *found: Region,
    before: Prediction | None = None,
    placement: Placement = FULL,
    why: str | None = None,
) -> Subject:
    shares = region_shares(placement, *x.shape[:2], np.stack([one.mask for one in found]))
    on_radiograph = cell_shares(placement, *x.shape[:2])[0]
    return Subject.of(x, before or answer(0.0), on_radiograph, found, shares, why)


def answer(logit: float, predicted: str | None = None) -> Prediction:
    p = float(1 / (1 + np.exp(-logit)))
    called = predicted or ("P" if p >= 0.5 else "N")
    return Prediction("P", "z", logit, p, {"N": 1 - p, "P": p}, 0.5, "by hand", called)


def lit_corner(level: float) -> np.ndarray:
    x = np.zeros((16, 16, 1), np.float32)
    x[:4, :4] = level
    return x


def test_property_9_masking_the_corner_that_the_classifier_sees_moves_the_logit_to_its_bias() -> (
    None
):
    """y = 3 x the mean of the top left 4 x 4 pixels - 1, on a picture that is black elsewhere."""
    explainer = Explainer(Classifier(corner_detector(), (16, 16, 1), ("N", "P")))
    cases = [
        subject(lit_corner(level), LUNGS, LETTER, before=answer(3 * level - 1))
        for level in (0.9, 0.2)
    ]
    for (masked, missing), level in zip(
        ask_again(explainer, cases, at_once=4), (0.9, 0.2), strict=True
    ):
        assert missing == {}
        found = {(one.removed, one.fill): one for one in masked}
        assert len(found) == 6
        for seen in ("letter 1", "all but the lungs"):
            assert found[seen, "mean"].logit == pytest.approx(-1, abs=1e-6)
            assert found[seen, "mean"].change == pytest.approx(-3 * level, abs=1e-6)
        for how in ("blurred", "mean"):
            assert found["lungs", how].change == pytest.approx(0, abs=1e-6)
        # Answered P because of the corner: without it, or from the lungs alone, N; without the
        # lungs, still P.
        bad = {
            name: found[name, "mean"].is_bad_news
            for name in ("letter 1", "all but the lungs", "lungs")
        }
        is_called = level == 0.9
        assert bad == {
            "letter 1": is_called,
            "all but the lungs": is_called,
            "lungs": True if is_called else None,
        }


def test_answers_do_not_depend_on_how_many_are_asked_at_once() -> None:
    explainer = Explainer(Classifier(corner_detector(), (16, 16, 1), ("N", "P")))
    rng = np.random.default_rng(1)
    cases = [subject(rng.random((16, 16, 1), np.float32), LUNGS, LETTER) for _ in range(3)]
    whole, parts = ask_again(explainer, cases, 32), ask_again(explainer, cases[::-1], 5)[::-1]
    for (one, _), (two, _) in zip(whole, parts, strict=True):
        assert [m.logit for m in one] == pytest.approx([m.logit for m in two], abs=1e-6)
    assert ask_again(explainer, [], 5) == []


def test_the_fills() -> None:
    x = np.random.default_rng(0).random((16, 16, 2), np.float32)
    blurred, mean = fill(subject(x, LETTER))
    kept = np.ones((16, 16), bool)
    kept[:4, :4] = False
    assert np.array_equal(blurred[kept], x[kept])
    assert np.array_equal(mean[kept], x[kept])
    for channel in range(2):
        # A sixteenth of 16 pixels.
        smooth = gaussian_filter(x[..., channel].astype(float), 1, mode="nearest")
        np.testing.assert_allclose(blurred[~kept][:, channel], smooth[~kept], atol=1e-5)
        np.testing.assert_allclose(
            mean[~kept][:, channel], x[kept][:, channel].mean(dtype=float), rtol=1e-6
        )


def test_a_case_with_one_marker_is_asked_again_eight_times() -> None:
    border = region("border", "border", slice(14, 16), slice(None))
    made = list(fill(subject(lit_corner(1.0), LUNGS, LETTER, border)))
    assert len(made) == len(MASKING_NUMBERS) * len(FILLS) == 8  # what `cxr-audit check` counts


def test_padding_is_neither_replaced_nor_counted() -> None:
    # 8 x 16 letterboxed into 16 x 16: four rows of padding above and below, all of them 9.
    placement = place(8, 16, 16, 16, "letterbox")
    x = np.full((16, 16, 1), 9, np.float32)
    x[4:12] = np.linspace(0, 1, 16, dtype=np.float32)[None, :, None]
    left = Region.of(
        np.repeat(np.arange(16) < 8, 8).reshape(16, 8).T, "lungs", "lungs", "drawn by hand"
    )
    case = subject(x, left, placement=placement)
    assert set(case.parts) == {"lungs", "all but the lungs"}
    assert not any(part[:4].any() or part[12:].any() for part in case.parts.values())
    lungs, rest = list(fill(case))[1::2]
    assert lungs[6, 3, 0] == pytest.approx(x[6, 8:, 0].mean())
    assert rest[6, 12, 0] == pytest.approx(x[6, :8, 0].mean())
    assert (lungs[0] == 9).all()


def test_a_pixel_that_touches_the_part_is_replaced_whole() -> None:
    # The mask's pixels are 10/16 of the input's: columns 0 to 3 of 16 reach 1.875 of 10.
    x = np.ones((10, 10, 1), np.float32)
    part = subject(x, LETTER, placement=place(16, 16, 10, 10, "stretch")).parts["letter 1"]
    assert np.array_equal(np.flatnonzero(part.any(0)), [0, 1, 2])  # 4 x 10 / 16 = 2.5


def test_what_cannot_be_replaced_has_its_reason() -> None:
    x = np.ones((16, 16, 1), np.float32)
    case = subject(
        x,
        region("border", "border", slice(0, 2), slice(None)),
        why="lungs not found: nothing looks like lung",
    )
    assert set(case.parts) == {"border"}
    assert case.missing == {
        "lungs": "lungs not found: nothing looks like lung",
        "all but the lungs": "lungs not found: nothing looks like lung",
        "marker": message("trust.no_marker"),
    }
    everything, nothing = (
        region("lungs", "lungs", slice(None), slice(None)),
        region("x", "marker", slice(0), slice(0)),
    )
    case = subject(x, everything, nothing)
    assert case.parts == {}
    assert case.missing == {
        "lungs": message("trust.nothing_left"),
        "all but the lungs": message("trust.part_not_seen"),
        "x": message("trust.part_not_seen"),
    }
    without = subject(x, region("border", "border", slice(0, 2), slice(0)))
    assert without.missing["lungs"] == message("regions.lungs_not_looked_for")


def test_an_answer_that_is_not_finite_is_missing_never_nan() -> None:
    import keras

    model = corner_detector()
    model.get_layer("output").set_weights([np.full((16, 1), 1e38), np.asarray([0.0])])
    x = np.full((16, 16, 1), 1e3, np.float32)
    ((masked, missing),) = ask_again(
        Explainer(Classifier(model, (16, 16, 1))), [subject(x, LETTER)], 2
    )
    assert masked == ()
    assert missing["letter 1"] == message("trust.output_not_finite")
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("removed", "before", "after", "expected"),
    [
        ("lungs", 2.0, 1.0, True),  # still P without lungs
        ("lungs", 2.0, -1.0, False),
        ("lungs", -2.0, -3.0, None),  # was N: says nothing
        ("lungs", -2.0, 3.0, None),
        ("all but the lungs", 2.0, 0.1, False),  # the lungs alone give the same answer
        ("all but the lungs", 2.0, -0.1, True),
        ("all but the lungs", -2.0, 0.1, True),
        ("letter 1", 3.0, 1.9, False),  # as firmly or not: the flags judge that
        ("letter 1", 3.0, 5.0, False),  # speaks more for P without it
        ("letter 1", 0.2, -0.1, True),  # the answer changes
        ("border", -3.0, 0.1, True),
        ("border", -3.0, -4.5, False),
    ],
)
def test_which_change_is_bad_news(
    removed: str, before: float, after: float, expected: bool | None
) -> None:
    assert is_bad_news(removed, answer(before), answer(after)) is expected
