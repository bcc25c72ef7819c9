"""A sample of the run -> scales, checks, mean input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxr_audit.errors import VerificationError

from tests.audit.runs import rows_of, run


def test_the_budget_of_a_case_adds_up_and_colours_may_be_its_own(config_file: Path) -> None:
    folder = run(
        config_file,
        "report.scale=case",
        "report.cells=true",
        "preprocess.resize=letterbox",
        limit=2,
    )
    record = folder.read_run()
    assert record.calibration.scale is None
    assert record.calibration.scale_source.code == "audit.scale_of_case"
    assert record.model.is_deterministic is True
    for case_id in folder.case_ids():
        case = folder.read_case(case_id)
        assert case is not None
        assert case.budget is not None
        assert case.prediction is not None
        names = [name for name, _ in case.budget.parts]
        assert names[-4:] == ["border", "padding", "elsewhere", "bias"]
        assert sum(value for _, value in case.budget.parts) == pytest.approx(
            case.prediction.logit, abs=1e-4
        )
        with np.load(folder.case(case_id) / "map.npz") as arrays:
            highest = float(arrays["grad-cam"].max())
        if case.maps[0].facts.status == "ok":
            assert highest <= case.maps[0].scale <= 1.1 * highest
        assert not any(map_record.is_faint for map_record in case.maps)


def test_what_is_usual_is_not_another_for_the_rest_of_a_run(config_file: Path) -> None:
    folder = run(config_file)
    (folder.case(rows_of(folder)[5]["case_id"]) / "case.json").unlink()
    (folder.path / "SHA256SUMS").unlink()
    (folder.path / "mean_input.npz").write_bytes(b"another")
    with pytest.raises(
        VerificationError, match=r"mean_input\.npz is not what the run has begun with"
    ):
        run(config_file, resume=True)


def test_few_radiographs_tell_nothing_usual(config_file: Path) -> None:
    folder = run(config_file, limit=7)
    assert (folder.read_run().cases.num_found, folder.read_run().calibration.mean_input_sha256) == (
        8,
        None,
    )
    assert not (folder.path / "mean_input.npz").exists()
    records = [folder.read_case(case_id) for case_id in folder.case_ids()]
    assert {len(record.probes.mean_replaced) for record in records if record} == {0}


def test_a_model_that_answers_differently_twice_is_recorded(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    class Noise(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 1e-5 * keras.random.normal(keras.ops.shape(x))  # within parity

    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(Noise()(keras.layers.Conv2D(2, 3)(image)))
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(x))
    monkeypatch.setattr("cxr_audit.classifier.load_keras", lambda *_: model)
    record = run(config_file).read_run()
    assert record.model.is_deterministic is False


def test_excluded_copies_have_no_part_in_the_calibration(config_file: Path) -> None:
    alone = run(config_file, "run.name=alone").read_run()
    images = config_file.parent / "images" / "NORMAL"
    for n in range(3):
        (images / f"copy {n}.png").write_bytes((images / "Doe^Jane_0.png").read_bytes())
    record = run(config_file, "quality.exclude=[duplicate_pixels]").read_run()
    assert record.cases.counts == {"ok": 8, "excluded": 3, "failed": 0}
    assert record.calibration.scale_source.values["num"] == 8
    assert record.calibration.logit_spread == pytest.approx(
        alone.calibration.logit_spread, rel=1e-4
    )
    assert record.calibration.scale == alone.calibration.scale
    counted = run(config_file, "run.name=counted").read_run()
    assert counted.calibration.scale_source.values["num"] == 11
    assert counted.calibration.logit_spread != pytest.approx(
        alone.calibration.logit_spread, rel=1e-4
    )
