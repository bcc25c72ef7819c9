"""Inputs beside the image: where their values come from, what they contribute, what never changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.audit.further_inputs import Further, further_of, with_references
from cxr_audit.classifier import Classifier, Split, check_parity
from cxr_audit.config import Trust
from cxr_audit.config.model import FurtherInput
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer
from cxr_audit.explain.probing import repacked
from cxr_audit.records import CaseSource
from cxr_audit.trust.checks import Checks
from cxr_audit.vocabulary import METHODS
from pydantic import ValidationError

from tests.audit.runs import rows_of, run, write_image
from tests.classifier.models import images, layers, small_backbone

SHAPE = (32, 32, 3)
AGE, SEX = 0.7, (-0.4, 1.1)  # weights of the logit


def model() -> keras.Model:
    """logit = image + 0.7 age + (-0.4, 1.1) . sex; its inputs are sex, image, age."""
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE, name="image")
    sex, age = keras.Input((2,), name="sex"), keras.Input((1,), name="age")
    pooled = layers.GlobalAveragePooling2D()(small_backbone()(image))
    dense = layers.Dense(1, "sigmoid", name="output")
    network = keras.Model([sex, image, age], dense(layers.Concatenate()([pooled, age, sex])))
    kernel = dense.kernel.numpy()
    kernel[-3:, 0] = AGE, *SEX
    dense.kernel.assign(kernel)
    return network


def inputs() -> tuple[FurtherInput, ...]:
    age = FurtherInput(name="age", column="years", scale=0.01, reference="50")
    sex = FurtherInput(
        name="sex", column="sex", values={"F": (1.0, 0.0), "M": (0.0, 1.0)}, reference="F"
    )
    return age, sex


def packed(num: int = 4) -> np.ndarray:
    further = [(0.3, 1.0, 0.0), (0.8, 0.0, 1.0)] * (num // 2)
    return np.concatenate(
        [
            repacked(image[None], np.asarray(numbers, np.float32))
            for image, numbers in zip(images(num, SHAPE), further, strict=True)
        ]
    )


def test_the_network_is_the_model_whatever_the_order_of_its_inputs() -> None:
    network = model()
    classifier = Classifier(network, SHAPE, further=("age", "sex"))
    assert classifier.input_shape == SHAPE
    assert classifier.packed_shape == (32, 32, 6)
    batch = packed()
    assert check_parity(classifier, batch).largest_output_difference <= 1e-6
    logits = classifier.split().forward(batch, None)[2][:, 0]
    given = [batch[:, 0, 0, 4:], batch[..., :3], batch[:, 0, 0, 3:4]]
    answers = network.predict(given, verbose=0)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), answers, atol=1e-6)


def test_the_map_lies_on_the_image_alone() -> None:
    classifier = Classifier(model(), SHAPE, further=("age", "sex"))
    assert classifier.split().layer.name == "backbone/conv3"
    assert {len(candidate.grid) for candidate in classifier.candidates} == {2}
    explainer = Explainer(classifier)
    facts = explainer.explain(packed(2), [None, None]).maps[0][0].facts
    assert not facts.is_exact  # a part of the logit comes from beside the image
    assert facts.how is not None
    assert facts.how.code == "explain.other_paths"


class Spy:
    """Remembers every batch that a classifier is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[np.ndarray] = []
        forward = Split.forward

        def spying(split: Split, batch: np.ndarray, selectors: Any) -> Any:
            self.batches.append(np.asarray(batch))
            return forward(split, batch, selectors)

        monkeypatch.setattr(Split, "forward", spying)

    def assert_kept(self, allowed: np.ndarray) -> None:
        """Each input has the even numbers of some case, or is an empty place."""
        assert self.batches
        known = {tuple(row) for row in np.round(allowed.astype(float), 5)} | {(0.0, 0.0, 0.0)}
        for x in np.concatenate(self.batches):
            planes = x[..., 3:]
            assert np.ptp(planes, (0, 1)).max() < 1e-6
            assert tuple(np.round(planes[0, 0].astype(float), 5)) in known


@pytest.mark.parametrize("method", [row.key for row in METHODS if row.key != "layercam-fused"])
def test_no_method_changes_a_further_input(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(model(), SHAPE, further=("age", "sex"))
    batch = packed(2)
    spy = Spy(monkeypatch)
    result = Explainer(classifier, (method,)).explain(batch, [None, None])
    spy.assert_kept(batch[:, 0, 0, 3:])
    assert all(np.isfinite(case[0].values).all() for case in result.maps)


def test_no_check_changes_a_further_input(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(model(), SHAPE, further=("age", "sex"))
    explainer, batch = Explainer(classifier), packed(2)
    maps = explainer.explain(batch, [None, None]).maps
    spy = Spy(monkeypatch)
    limits = Trust(randomisation=False, faithfulness="all", stability="all")
    Checks(explainer, limits, 2, 0).of_cases(batch, maps)
    spy.assert_kept(batch[:, 0, 0, 3:])


def test_inputs_have_to_be_named_and_to_be_there() -> None:
    with pytest.raises(ModelError, match=r"3 inputs \(sex, image, age\)") as caught:
        Classifier(model(), SHAPE)
    assert "classifier.inputs" in str(caught.value.hint)
    with pytest.raises(ModelError, match="no input 'weight'"):
        Classifier(model(), SHAPE, further=("age", "sex", "weight"))
    with pytest.raises(ModelError, match="expected one image"):
        Classifier(model(), SHAPE, further=("age",))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"column": "a", "attribute": "PatientSex"}, "either column or attribute"),
        ({}, "either column or attribute"),
        ({"column": "a", "reference": "x"}, "no number"),
        ({"column": "a", "values": {"F": (1,), "M": (0, 1)}, "reference": "F"}, "as many numbers"),
        ({"column": "a", "values": {"F": (1,)}, "reference": "M"}, "none of values"),
        ({"column": "a", "missing": "unknown"}, "no number"),
    ],
)
def test_a_wrong_input_is_refused_in_the_config(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FurtherInput.model_validate({"name": "age", "reference": "50"} | wrong)


def test_values_by_hand() -> None:
    source = CaseSource("a", Path("a"), "a", metadata={"years": " 30 ", "sex": "M"})
    facts: Any = None  # no attribute is asked for
    found = further_of(source, facts, inputs())
    assert isinstance(found, Further)
    assert found.numbers == pytest.approx((0.3, 0.0, 1.0))
    assert [value.category for value in found.values] == [None, "M"]  # a number is not recorded
    x = repacked(np.zeros((1, 2, 2, 3), np.float32), np.asarray(found.numbers, np.float32))[0]
    age, sex = with_references(x, inputs())
    np.testing.assert_allclose(age[0, 0, 3:], [0.5, 0, 1])
    np.testing.assert_allclose(sex[0, 0, 3:], np.float32([0.3, 1, 0]))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    model().save(tmp_path / "model.keras")
    rows = ["path,label,years,sex"]
    cells = [("30", "F"), ("80", "M"), ("", "F"), ("50", "X")]
    for n, (years, sex) in enumerate(cells):
        write_image(tmp_path / f"{n}.png", n)
        rows.append(f"{n}.png,NORMAL,{years},{sex}")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    path = tmp_path / "audit.yaml"
    path.write_text(
        """\
run: {name: test}
ingest: {source: cases.csv, labels: label}
quality: {exclude: []}
preprocess: {rows: 32, columns: 32, scaling: unit}
classifier:
  path: model.keras
  class_names: [NORMAL, PNEUMONIA]
  inputs:
    - {name: age, column: years, scale: 0.01, reference: 50}
    - {name: sex, column: sex, values: {F: [1, 0], M: [0, 1]}, reference: F}
trust: {randomisation: false, faithfulness: none, stability: none}
regions: {lungs: none}
engine: {batch_size: 3, workers: 1}
"""
    )
    return path


def test_a_run_prints_what_each_input_contributes_and_imputes_nothing(config_file: Path) -> None:
    from pypdf import PdfReader

    folder = run(config_file)
    records = [folder.read_case(row["case_id"]) for row in rows_of(folder)]
    young, old, without, unknown = records
    assert [record.status for record in records] == ["ok", "ok", "failed", "failed"]
    for record, age, sex in ((young, 0.3, None), (old, 0.8, "M")):
        first, second = record.input.further
        assert first.contribution == pytest.approx(AGE * (age - 0.5), abs=1e-5)
        expected = 0 if sex is None else SEX[1] - SEX[0]
        assert second.contribution == pytest.approx(expected, abs=1e-5)
    assert "has no value" in str(without.reason)
    assert "not among its categories" in str(unknown.reason)
    pages = PdfReader(folder.case(old.case_id) / "report.pdf").pages
    text = " ".join("".join(page.extract_text() for page in pages).split())
    assert "+0.21 log-odds against its reference value" in text
    assert "+1.50 log-odds against its reference value" in text
    assert "column years of the manifest" in text
    written = b"".join(path.read_bytes() for path in folder.cases.rglob("case.json"))
    assert b'"80"' not in written  # an age may identify a person


def test_what_stands_for_a_missing_value_is_stated_and_recorded(config_file: Path) -> None:
    text = config_file.read_text()
    config_file.write_text(text.replace("reference: 50}", "reference: 50, missing: 60}"))
    folder = run(config_file, "report.documents=false")
    third = folder.read_case(rows_of(folder)[2]["case_id"])
    assert third.status == "ok"
    value = third.input.further[0]
    assert "missing; the value stated in the config stands for it" in str(value.origin)
    assert value.contribution == pytest.approx(AGE * 0.1, abs=1e-5)
