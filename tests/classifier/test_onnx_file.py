"""An ONNX file as a classifier: the same logits, or a refusal by name."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from cxr_audit.classifier import (
    Classifier,
    ClosedClassifier,
    OnnxFile,
    check_closed_parity,
    inspect_model,
)
from cxr_audit.errors import ModelError
from cxr_audit.explain import ClosedExplainer, Explainer, Probing

from tests.classifier.closed_models import tiny, write_onnx
from tests.classifier.models import images, nested

SHAPE = (32, 32, 3)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (3, "softmax")])
def test_logits_and_scores_are_those_of_the_keras_model(
    tmp_path: Path, layout: str, units: int, activation: str
) -> None:
    model = nested(units, activation)
    file = OnnxFile(write_onnx(model, tmp_path / "m.onnx", layout))
    assert file.layout == layout
    assert file.activation == activation
    assert file.shape == SHAPE
    closed, opened = ClosedClassifier(file, SHAPE), Classifier(model, SHAPE)
    batch = images(5) * 20  # probabilities next to 0 and 1
    expected = opened.split().forward(batch, None)[2]
    found = closed.logits(batch)
    selector = opened.selector(opened.target_class)
    np.testing.assert_allclose(found @ selector, expected @ selector, rtol=1e-5, atol=1e-4)
    for ours, theirs in zip(found, expected, strict=True):
        assert closed.predict(ours, None).probability == pytest.approx(
            opened.predict(theirs, None).probability, abs=1e-6
        )
    figures = check_closed_parity(closed, images(6))
    assert figures.largest_output_difference <= 1e-5
    assert figures.largest_probability_difference <= 1e-6
    assert not figures.is_stated


def test_a_file_of_a_fixed_batch_is_asked_in_such_batches(tmp_path: Path) -> None:
    model = nested()
    fixed = ClosedClassifier(OnnxFile(write_onnx(model, tmp_path / "2.onnx", batch=2)), SHAPE)
    free = ClosedClassifier(OnnxFile(write_onnx(model, tmp_path / "n.onnx")), SHAPE)
    np.testing.assert_allclose(fixed.logits(images(5)), free.logits(images(5)), atol=1e-5)


def test_occlusion_of_the_file_is_that_of_the_keras_model(tmp_path: Path) -> None:
    model = nested()
    closed = ClosedClassifier(OnnxFile(write_onnx(model, tmp_path / "m.onnx")), SHAPE)
    settings = Probing(occlusion_cells=4)
    labels = ["class 0", "class 1", None]
    ours = ClosedExplainer(closed, probing=settings).explain(images(3), labels)
    theirs = Explainer(Classifier(model, SHAPE), ("occlusion",), probing=settings).explain(
        images(3), labels
    )
    for mine, other in zip(ours.maps, theirs.maps, strict=True):
        np.testing.assert_allclose(mine[0].values, other[0].values, atol=1e-5)
        assert mine[0].facts.key == "occlusion"
        assert mine[0].facts.status == other[0].facts.status
    # Of a wrong prediction, the maps of both classes; those of two classes are each other's negative.
    wrong = [case for case in ours.maps if len(case) > 1]
    assert len(wrong) == 1
    (first, further), *_ = wrong
    assert further.facts.key.startswith("occlusion:class ")
    np.testing.assert_allclose(first.values, -further.values, atol=1e-6)


def test_methods_that_need_layers_are_refused_by_name(tmp_path: Path) -> None:
    closed = ClosedClassifier(OnnxFile(tiny(tmp_path / "m.onnx")), (4, 4, 1))
    with pytest.raises(ModelError, match="grad-cam is not available for this model"):
        ClosedExplainer(closed, ("grad-cam",))
    assert ClosedExplainer(closed).methods == ("occlusion",)


# ---- what is refused


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(ModelError) as refused:
        OnnxFile(path, **options)
    return f"{refused.value} {refused.value.hint}"


def test_a_custom_operator_is_refused_at_any_depth(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", "Run", "org.example")
    assert "custom operator org.example.Run" in refusal(path)
    model = onnx.load(tiny(tmp_path / "n.onnx"))
    inner = onnx.load(path).graph
    node = model.graph.node[2]
    node.attribute.append(onnx.helper.make_attribute("body", inner))
    onnx.save(model, path)
    assert "custom operator org.example.Run" in refusal(path)


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname", "", "link.bin"])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 64)
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    model = onnx.load(tiny(folder / "m.onnx"))
    _move_weights(model, place)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    assert "outside of its folder" in refusal(folder / "m.onnx")


def _move_weights(model: onnx.ModelProto, place: str, length: int = 64) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def test_weights_beside_the_file_are_read_and_hashed(tmp_path: Path) -> None:
    model = onnx.load(tiny(tmp_path / "m.onnx"))
    (tmp_path / "w.bin").write_bytes(np.full(16, 0.2, np.float32).tobytes())
    _move_weights(model, "w.bin")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    file = OnnxFile(tmp_path / "m.onnx")
    closed = ClosedClassifier(file, (4, 4, 1))
    assert closed.logits(np.ones((1, 4, 4, 1), np.float32))[0, 0] == pytest.approx(3.2, abs=1e-5)
    (tmp_path / "w.bin").write_bytes(np.full(16, 0.3, np.float32).tobytes())
    assert OnnxFile(tmp_path / "m.onnx").sha256 != file.sha256
    _move_weights(model, "w.bin", 65)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert "cut short" in refusal(tmp_path / "m.onnx")


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    assert "No such file" in refusal(missing)
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    assert "no regular file" in refusal(pipe)
    for content in (b"", b"no model", b"\x08\x09" * 40):
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(content)
        assert "no ONNX model" in refusal(damaged)
    path = tiny(tmp_path / "m.onnx")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert OnnxFile(path, found.upper()).sha256 == found
    assert "is not the model of the config" in refusal(path, sha256="0" * 64)


def test_an_input_that_could_be_either_is_asked_about(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", shape=(None, 1, 16, 1))
    assert "set classifier.layout: nchw or nhwc" in refusal(path)
    assert OnnxFile(path, layout="nchw").shape == (16, 1, 1)
    assert OnnxFile(path, layout="nhwc").shape == (1, 16, 1)
    open_shape = tiny(tmp_path / "n.onnx", shape=(None, None, None, None))
    assert "(?, ?, ?, ?)" in refusal(open_shape)


def test_an_input_of_absurd_size_is_refused_before_it_is_made(tmp_path: Path) -> None:
    for shape in ((2**31, 4, 4, 1), (None, 2**40, 4, 1)):
        assert "axes of at most 4096" in refusal(tiny(tmp_path / "m.onnx", shape=shape))


def test_a_softmax_over_one_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its output is 1 for every image"):
        ClosedClassifier(OnnxFile(tiny(tmp_path / "m.onnx", "Softmax")), (4, 4, 1))


def test_what_the_outputs_are_is_asked_about(tmp_path: Path) -> None:
    file = OnnxFile(tiny(tmp_path / "m.onnx", "Tanh"))
    with pytest.raises(ModelError, match="cannot be read from it") as refused:
        ClosedClassifier(file, (4, 4, 1))
    assert "classifier.output" in str(refused.value.hint)
    ones = np.ones((1, 4, 4, 1), np.float32)
    logits = ClosedClassifier(file, (4, 4, 1), stated="logits")
    assert logits.logits(ones)[0, 0] == pytest.approx(np.tanh(1.6), abs=1e-6)
    p = np.tanh(1.6)
    chances = ClosedClassifier(file, (4, 4, 1), stated="probabilities")
    assert chances.logits(ones)[0, 0] == pytest.approx(np.log(p / (1 - p)), abs=1e-4)
    with pytest.raises(ModelError, match="the outputs are none"):
        check_closed_parity(chances, -ones)
    sigmoid = OnnxFile(tiny(tmp_path / "s.onnx"))
    with pytest.raises(ModelError, match="ends in a sigmoid"):
        ClosedClassifier(sigmoid, (4, 4, 1), stated="logits")
    with pytest.raises(ModelError, match="takes 4x4x1") as refused:
        ClosedClassifier(sigmoid, (8, 4, 3))
    assert refused.value.hint == "set preprocess.rows: 4, preprocess.channels: 1"


OURS = (
    "from pathlib import Path; from cxr_audit.classifier import OnnxFile; import numpy as np; "
    "OnnxFile(Path({path!r})).answer(np.zeros((1, 4, 4, 1), np.float32))"
)


def test_the_runtime_reports_nothing_and_keeps_no_identifier(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 with its telemetry leaves .ses, deviceid and onnxruntime.db."""
    path = tiny(tmp_path / "m.onnx")
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("XDG_CACHE_HOME", None)
    words = [sys.executable, "-c", OURS.format(path=str(path))]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    left = {file.name for file in home.rglob("*") if file.is_file()}
    assert not left & {".ses", "deviceid", "onnxruntime.db"}


def test_inspection_names_what_it_cannot_know(tmp_path: Path) -> None:
    facts = inspect_model(tiny(tmp_path / "m.onnx"))
    assert facts["output_units"] == 1
    assert facts["output_activation"] == "sigmoid"
    assert (facts["rows"], facts["columns"], facts["channels"]) == (4, 4, 1)
    assert facts["scaling_guess"] is None
    assert facts["layers"] == []
    assert facts["parameters"] == 16
