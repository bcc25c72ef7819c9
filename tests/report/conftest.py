"""A case with synthetic pictures: two soft lungs on a grey chest, a map with one warm place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.records import (
    AuditedCase,
    CardData,
    CaseHashes,
    Decision,
    InputRecord,
    LogitBudget,
    MapFacts,
    MapRecord,
    Measured,
    Measurements,
    ModelCard,
    ModelFacts,
    OutputBin,
    Placement,
    Population,
    Prediction,
    RadiographFacts,
    Region,
    RunCalibration,
    RunCases,
    RunRecord,
    Software,
    SourceFile,
    Validation,
)
from cxr_audit.report import Renderer, display, encode_jpeg, marked, overlay

GRID = 14
SCALE = 0.4


CARD = ModelCard(
    name="reference-pneumonia-1",
    weights="weights.keras",
    sha256="a" * 64,
    parameters=1_612_345,
    input="224x224x1",
    intended_use="to try the tool",
    population=Population("children of 1 to 5 years"),
    data=CardData(
        "a hospital's", "CC BY 4.0", sha256={"train": "c" * 64}, num_cases={"train": 4667}
    ),
    measured=(Measured("AUC", "test split", 0.9812, 624, (0.971, 0.99)),),
    limits=("Trained on children; an adult is out of population.", "Not for diagnosis."),
    training={"seed": 7},
    validation=Validation(
        "a validation split", "PNEUMONIA", (OutputBin(0.5, 1.0, 120, 96, (0.7194, 0.8616)),)
    ),
)


def chest(rows: int, columns: int) -> np.ndarray:
    row, column = np.mgrid[0:rows, 0:columns].astype(np.float32)
    row, column = row / rows, column / columns
    lungs = sum(
        np.exp(-(((row - 0.5) / 0.25) ** 2) - ((column - c) / 0.12) ** 2) for c in (0.3, 0.7)
    )
    return np.clip(0.75 - 0.6 * lungs, 0, 1).astype(np.float32)


def heat(row: float, column: float) -> np.ndarray:
    r, c = (np.mgrid[0:GRID, 0:GRID] + 0.5) / GRID
    return (SCALE * np.exp(-((r - row) ** 2 + (c - column) ** 2) / 0.02) - 0.02).astype(np.float32)


def hashed(digit: str) -> str:
    return digit * 64


@pytest.fixture
def run() -> RunRecord:
    model = ModelFacts(
        name="reference-pneumonia-1",
        sha256=hashed("a"),
        parameters=1_612_345,
        input_shape=(224, 224, 1),
        output_activation="sigmoid",
        class_names=("NORMAL", "PNEUMONIA"),
        target_layer="stage4/relu",
        grid=(GRID, GRID),
        head="global average pooling, then Dense(1)",
        is_exact=True,
        is_deterministic=True,
        card=CARD,
    )
    return RunRecord(
        name="kermany-test",
        status="finished",
        started="2026-11-21T18:42:07.123456+00:00",
        config={"run": {"seed": 7}},
        config_sha256=hashed("b"),
        seed=7,
        model=model,
        cases=RunCases(3),
        software=Software({"python": "3.11.9", "keras": "3.15.1"}, {"name": "local"}),
        calibration=RunCalibration(
            scale=SCALE, scale_source="99th percentile of the positive cells"
        ),
    )


Make = Callable[..., tuple[AuditedCase, Path]]

METRICS = {
    "high_focus_fraction": 0.118,
    "focus_band": "focal",
    "centroid": (0.58, 0.61),
    "peak": (0.62, 0.68),
    "entropy": 0.71,
    "border_fraction": 0.29,
    "border_chance": 0.19,
    "padding_fraction": 0.0,
    "gini": 0.6,
    "num_components": 1,
    "left_right_balance": 0.25,
}


def radiograph_facts(shape: tuple[int, int], warnings: tuple[str, ...] = ()) -> RadiographFacts:
    return RadiographFacts(
        *shape,
        source=SourceFile(hashed("c"), hashed("d"), "DICOM", "JPEG Baseline", "pylibjpeg 2.1"),
        pixel_spacing_mm=(0.139, 0.139),
        view_position="PA",
        patient_orientation=("L", "F"),
        attributes={"Modality": "CR", "PhotometricInterpretation": "MONOCHROME2"},
        decisions=(Decision("window", "centre 128, width 256", "PS3.3 C.11.2.1.2"),),
        warnings=warnings,
    )


def lung_regions(shape: tuple[int, int]) -> tuple[Region, ...]:
    """Two ellipses as lungs, as `chest` has them."""
    row, column = (axis / size for axis, size in zip(np.mgrid[0:64, 0:64], (64, 64), strict=True))
    lungs = [((row - 0.5) / 0.3) ** 2 + ((column - c) / 0.14) ** 2 < 1 for c in (0.3, 0.7)]
    right, left = lungs
    return (
        Region.of(right | left, "lungs", "lungs", "by hand"),
        Region.of(right, "right lung", "lung", "by hand"),
        Region.of(left, "left lung", "lung", "by hand"),
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make(case_id, shape, maps, classes, ...) -> the record and the folder with its pictures."""

    def made(
        case_id: str = "case-7f3a91c2",
        shape: tuple[int, int] = (600, 500),
        maps: tuple[tuple[str, str], ...] = (("grad-cam", "PNEUMONIA"),),
        classes: tuple[str, ...] = ("NORMAL", "PNEUMONIA"),
        place: tuple[float, float] = (0.6, 0.7),
        expected: str | None = "NORMAL",
        warnings: tuple[str, ...] = ("Pixel Spacing is detector spacing.",),
    ) -> tuple[AuditedCase, Path]:
        folder = tmp_path / case_id
        folder.mkdir()
        pixels = chest(*shape)
        picture = display(pixels)
        model_input = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
        pictures = {
            "radiograph": "radiograph.jpg",
            "model_input": "model_input.jpg",
            "marked": "marked.jpg",
        }
        (folder / "radiograph.jpg").write_bytes(encode_jpeg(picture))
        (folder / "model_input.jpg").write_bytes(encode_jpeg(display(model_input, 450)))
        covered, drawn_maps, arrays = np.ones(picture.shape, bool), [], {}
        for number, (method, class_name) in enumerate(maps):
            key = f"{method}-{number}"
            arrays[key] = heat(place[0], place[1] - 0.2 * number)
            upsampled = cv2.resize(arrays[key], picture.shape[::-1], interpolation=cv2.INTER_LINEAR)
            if not number:
                drawn = marked(picture, upsampled, covered, lung_regions(shape))
                (folder / "marked.jpg").write_bytes(encode_jpeg(drawn))
            drawn = overlay(picture, upsampled, covered, SCALE)
            (folder / f"map-{number}.jpg").write_bytes(encode_jpeg(drawn))
            facts = MapFacts(
                key, method, "stage4/relu", class_name, "ok", GRID, GRID, -0.31, 1e-6, True
            )
            metrics = Measurements(dict(METRICS))
            drawn_maps.append(MapRecord(facts, 0.5, metrics, picture=f"map-{number}.jpg"))
        np.savez(folder / "map.npz", **arrays)
        scores = {name: round(1 - 0.71 / (1 + n), 4) for n, name in enumerate(classes)}
        budget = LogitBudget(
            0.9,
            (("inside the border", 1.02), ("outer border (5 %)", 0.19), ("bias", -0.31)),
            True,
        )
        record = AuditedCase(
            case_id,
            radiograph_facts(shape, warnings),
            InputRecord(
                Placement(*shape, 224, 224, 224 / shape[0], 224 / shape[1], 0.0, 0.0),
                (Decision("resize", "stretched to 224 x 224"),),
            ),
            Prediction(
                classes[-1],
                "logit of the sigmoid unit",
                0.9,
                0.7109,
                scores,
                0.5,
                "model card",
                classes[-1],
                expected,
            ),
            label=expected,
            hashes=CaseHashes(file_sha256=hashed("c")),
            maps=(replace(drawn_maps[0], budget=budget), *drawn_maps[1:]),
            pictures=pictures,
        )
        return record, folder

    return made


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture(autouse=True)
def no_weasyprint_warning() -> Iterator[list[str]]:
    """Any warning that WeasyPrint logs fails the test."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda entry: messages.append(entry.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("weasyprint")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
    assert messages == []
