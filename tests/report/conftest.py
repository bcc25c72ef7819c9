"""A case with synthetic pictures: two soft lungs on a grey chest, a map with one warm place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.records import (
    CaseRecord,
    Decision,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    Measured,
    ModelCard,
    ModelFacts,
    OutputBin,
    Placement,
    Prediction,
    RadiographFacts,
    RunRecord,
    SourceFile,
    Validation,
)
from cxr_audit.report import Renderer, display, encode_jpeg, overlay

GRID = 14
SCALE = 0.4


CARD = ModelCard(
    name="reference-pneumonia-1",
    weights="weights.keras",
    sha256="a" * 64,
    parameters=1_612_345,
    input="224x224x1",
    intended_use="to try the tool",
    population="children of 1 to 5 years",
    data="a hospital's",
    data_licence="CC BY 4.0",
    data_sha256={"train": "c" * 64},
    num_cases={"train": 4667},
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
        num_cases=3,
        versions={"python": "3.11.9", "keras": "3.15.1"},
        engine={"name": "local"},
        scale=SCALE,
        scale_source="99th percentile of the positive cells",
    )


Make = Callable[..., tuple[CaseRecord, Path]]


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
    ) -> tuple[CaseRecord, Path]:
        folder = tmp_path / case_id
        folder.mkdir()
        pixels = chest(*shape)
        picture = display(pixels)
        model_input = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
        pictures = {"radiograph": "radiograph.jpg", "model_input": "model_input.jpg"}
        (folder / "radiograph.jpg").write_bytes(encode_jpeg(picture))
        (folder / "model_input.jpg").write_bytes(encode_jpeg(display(model_input)))
        facts, focus, arrays = [], {}, {}
        for number, (method, class_name) in enumerate(maps):
            key = f"{method}-{number}"
            arrays[key] = heat(place[0], place[1] - 0.2 * number)
            upsampled = cv2.resize(arrays[key], picture.shape[::-1], interpolation=cv2.INTER_LINEAR)
            drawn = overlay(picture, upsampled, np.ones(picture.shape, bool), SCALE)
            pictures[key] = f"overlay-{number}.jpg"
            (folder / pictures[key]).write_bytes(encode_jpeg(drawn))
            facts.append(
                MapFacts(
                    key, method, "stage4/relu", class_name, "ok", GRID, GRID, -0.31, 1e-6, True
                )
            )
            focus[key] = FocusMetrics(
                0.5, 0.118, "focal", 0.58, 0.61, 0.62, 0.68, 0.71, 0.29, 0.19, 0.0, 0.6, 1, 0.25
            )
        np.savez(folder / "map.npz", **arrays)
        scores = {name: round(1 - 0.71 / (1 + n), 4) for n, name in enumerate(classes)}
        record = CaseRecord(
            case_id,
            "ok",
            label=expected,
            file_sha256=hashed("c"),
            radiograph=RadiographFacts(
                *shape,
                source=SourceFile(
                    hashed("c"), hashed("d"), "DICOM", "JPEG Baseline", "pylibjpeg 2.1"
                ),
                pixel_spacing_mm=(0.139, 0.139),
                view_position="PA",
                patient_orientation=("L", "F"),
                attributes={"Modality": "CR", "PhotometricInterpretation": "MONOCHROME2"},
                decisions=(Decision("window", "centre 128, width 256", "PS3.3 C.11.2.1.2"),),
                warnings=warnings,
            ),
            placement=Placement(*shape, 224, 224, 224 / shape[0], 224 / shape[1]),
            preprocessing=(Decision("resize", "stretched to 224 x 224"),),
            prediction=Prediction(
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
            maps=tuple(facts),
            focus=focus,
            budget=LogitBudget(
                "grad-cam-0",
                0.9,
                (("inside the border", 1.02), ("outer border (5 %)", 0.19), ("bias", -0.31)),
                True,
            ),
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
