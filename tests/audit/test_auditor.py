"""What the networks say, against Keras and by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit import load_config
from cxr_audit.audit import cohort_of
from cxr_audit.errors import ConfigError
from cxr_audit.records import Population
from cxr_audit.vocabulary.checks import criteria_of_model

from tests.audit.runs import rows_of, run


def test_masking_asks_a_sample_again_spread_over_the_run(config_file: Path) -> None:
    folder = run(config_file, "masking.cases=3")
    records = {case_id: folder.read_case(case_id) for case_id in folder.case_ids()}
    rows = rows_of(folder)
    asked = [bool(records[row["case_id"]].probes.masking) for row in rows]
    assert asked == [n in (0, 2, 5) for n in range(8)]  # 0, 8/3, 16/3 of 8
    for row, is_asked in zip(rows, asked, strict=True):
        record = records[row["case_id"]]
        # Noise shows no lungs; the border is always there.
        if is_asked:
            assert set(record.probes.masking_missing) >= {"lungs", "all but the lungs"}
            (blurred,) = (
                m for m in record.probes.masking if (m.removed, m.fill) == ("border", "blurred")
            )
            assert blurred.logit - blurred.change == pytest.approx(
                record.prediction.logit, abs=1e-6
            )
            assert float(row["masking_border_change"]) == blurred.change != 0
        assert bool(row["masking_border_change"]) is is_asked
        assert row["masking_lungs_change"] == ""
    everywhere = run(config_file, "masking.cases=all", "run.name=all")
    assert all(row["masking_border_change"] for row in rows_of(everywhere))
    nowhere = run(config_file, "masking.cases=none", "run.name=none")
    assert not any(row["masking_border_change"] for row in rows_of(nowhere))
    # What is asked beside it, or resumed, changes nothing.
    for row in rows_of(folder):
        if row["masking_border_change"]:
            assert row in rows_of(everywhere)
    (folder.case(rows[2]["case_id"]) / "case.json").unlink()
    (folder.path / "SHA256SUMS").unlink()
    resumed = run(config_file, "masking.cases=3", resume=True)
    assert resumed.read_case(rows[2]["case_id"]) == records[rows[2]["case_id"]]


def test_flags_follow_the_limits_of_the_run_and_those_of_another_config(config_file: Path) -> None:
    def count(limit: float) -> tuple[str, str]:
        return f"acceptance.flag_near_threshold_log_odds={limit}", (
            "acceptance.criteria=[{metric: flag_near_threshold, share_at_most: 0.0}]"
        )

    folder = run(config_file, *count(1000), limit=2)
    for row in rows_of(folder):
        assert "near_threshold" in row["flags"].split()
        assert row["flag_near_threshold"] == "True"
        record = folder.read_case(row["case_id"])
        assert record is not None
        assert set(record.probes.exposure) == {"darker", "brighter"}
    assert '<option value="near_threshold">' in (folder.path / "index.html").read_text()
    (found,) = cohort_of(folder.path).acceptance
    assert found.found.value == 1
    (again,) = cohort_of(folder.path, load_config(config_file, count(0))).acceptance
    assert again.found.value == 0


def test_the_border_is_tried_as_it_usually_is_in_the_run(
    config_file: Path, model_file: Path
) -> None:
    import keras

    folder = run(config_file)
    model = keras.saving.load_model(model_file)
    with (folder.private / "crosswalk.csv").open() as file:
        paths = {
            row["case_id"]: config_file.parent / "images" / row["path"]
            for row in csv.DictReader(file)
        }
    pictures = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        for path in paths.values()
    ]
    seen = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in pictures])
    changed = np.repeat(seen.mean(0)[None], len(seen), 0)  # all eight: the sample could be larger
    changed[:, 2:-2, 2:-2] = seen[
        :, 2:-2, 2:-2
    ]  # a twentieth of 32 is 1.6: the second pixel is touched
    probability = model.predict(
        np.repeat(np.concatenate([seen, changed])[..., None], 3, -1), verbose=0
    )[:, 0]
    before, after = np.log(probability / (1 - probability)).astype(float).reshape(2, -1)
    for case_id, change in zip(paths, after - before, strict=True):
        record = folder.read_case(case_id)
        assert record is not None
        assert record.probes.mean_replaced["border"] == pytest.approx(change, abs=1e-3)
    assert np.abs(after - before).max() > 0.01  # it does something
    assert folder.read_run().calibration.logit_spread == pytest.approx(before.std(), abs=1e-3)
    described = folder.read_cohort()
    assert described is not None
    assert {check.name for check in described.dependence} < set(criteria_of_model())
    assert len(described.dependence) == 3


def test_probabilities_are_those_of_the_model_itself(config_file: Path, model_file: Path) -> None:
    """Against Keras and OpenCV directly, without our rooms."""
    import keras

    folder = run(config_file)
    model = keras.saving.load_model(model_file)
    with (folder.private / "crosswalk.csv").open() as file:
        paths = {row["case_id"]: row["path"] for row in csv.DictReader(file)}
    for row in rows_of(folder):
        grey = cv2.imread(
            str(config_file.parent / "images" / paths[row["case_id"]]), cv2.IMREAD_GRAYSCALE
        )
        resized = cv2.resize(grey.astype(np.float32) / 255, (32, 32), interpolation=cv2.INTER_AREA)
        expected = model.predict(np.repeat(resized[None, ..., None], 3, -1), verbose=0)[0, 0]
        assert float(row["probability"]) == pytest.approx(expected, abs=1e-5)


def test_a_wrong_prediction_shows_both_classes(config_file: Path) -> None:
    folder = run(config_file)
    records = [folder.read_case(case_id) for case_id in folder.case_ids()]
    wrong = [r for r in records if r.prediction.is_correct is False]
    assert wrong
    assert all({m.facts.class_name for m in r.maps} == {"NORMAL", "PNEUMONIA"} for r in wrong)
    assert all(len(r.maps) == 1 for r in records if r.prediction.is_correct)


def test_an_own_models_card_is_recorded_and_bound_to_it(config_file: Path) -> None:
    """The interval is Wilson's for 9 of 10: 0.596 to 0.982 (Newcombe 1998, by hand)."""
    validation = "validation: {data: ours, bins: [[0, 0.5, 0, 0], [0.5, 1, 10, 9]]}"
    given = f"classifier.card={{intended_use: a second look, population: adults, {validation}}}"
    model = run(config_file, given, limit=1).read_run().model
    assert model.card is not None
    assert (model.card.sha256, model.card.limits) == (model.sha256, ())
    assert model.card.population == Population("adults")
    assert model.card.validation is not None
    assert model.card.validation.class_name == "PNEUMONIA"
    (one,) = model.card.validation.bins  # no case, no bin
    assert (one.num_cases, one.num_labelled) == (10, 9)
    assert one.interval_95 == pytest.approx((0.5958, 0.9821), abs=1e-4)
    with pytest.raises(ConfigError, match="changed since it was made: config"):
        run(config_file, given.replace("adults", "children"), resume=True, limit=1)
    with pytest.raises(ConfigError, match="has its own model card"):
        run(config_file, given, "classifier.path=reference", "run.name=other", limit=1)


def test_several_methods_layers_and_classes(config_file: Path) -> None:
    folder = run(
        config_file,
        "explain.methods=[hirescam, layercam]",
        "explain.layers=[backbone/relu1]",
        "explain.classes=[NORMAL]",
        limit=2,
    )
    record = folder.read_case(folder.case_ids()[0])
    keys = ["hirescam", "layercam", "hirescam@backbone/relu1", "hirescam:NORMAL"]
    assert [m.key for m in record.maps] == keys
    with np.load(folder.case(record.case_id) / "map.npz") as arrays:
        assert set(arrays.files) == set(keys)
        np.testing.assert_array_equal(arrays["hirescam:NORMAL"], -arrays["hirescam"])


def test_a_case_outside_the_sample_is_asked_once_and_says_so(config_file: Path) -> None:
    folder = run(config_file, "run.depth=screening", "masking.probes=2", "masking.cases=2")
    asked = {key: count.asked for key, count in folder.read_run().costs.passes.items()}
    assert asked["maps"] == 8
    assert asked["brightness"] == 2 * 2
    assert asked["replaced"] == 2  # the border; there is no marker
    assert asked["masking"] == 2 * 2  # the border by two fills; noise shows no lungs
    assert "other" not in asked
    plain = folder.read_run().calibration.plain
    assert plain is not None
    assert plain.cpu_ms > 0
    records = [folder.read_case(row["case_id"]) for row in rows_of(folder)]
    is_asked = [bool(record.probes.exposure) for record in records]
    assert is_asked == [n in (0, 4) for n in range(8)]
    for record, in_sample in zip(records, is_asked, strict=True):
        checks = {check.name: check for check in record.trust.checks}
        assert (checks["brightness_stability"].state != "not_run") is in_sample
        undefined = {name: reason.code for name, reason in record.flags.undefined.items()}
        if in_sample:
            assert "exposure" not in undefined
            assert set(record.probes.mean_replaced) == {"border"}
        else:
            assert checks["brightness_stability"].reason.code == "trust.not_asked_of_case"
            assert undefined["exposure"] == "flags.brightness_not_tried"
            # Its evidence may raise the flag; nothing clears it.
            assert "border" in undefined or "border" in record.flags.names
            assert (record.probes.mean_replaced, record.probes.masking) == ({}, ())


def test_what_a_case_is_asked_does_not_depend_on_the_other_cases(config_file: Path) -> None:
    """The stream of changed inputs is filled up otherwise; the case's numbers are the same."""
    few = run(config_file, "masking.probes=2", "masking.cases=none")
    every = run(config_file, "masking.cases=all", "run.name=all")
    for row in rows_of(few):
        one, other = few.read_case(row["case_id"]), every.read_case(row["case_id"])
        if one.probes.exposure:
            assert one.probes.exposure == pytest.approx(other.probes.exposure, abs=1e-5)
            assert one.probes.mean_replaced == pytest.approx(other.probes.mean_replaced, abs=1e-5)
