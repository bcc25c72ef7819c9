"""Files and folders -> a lung mask for each radiograph and `lungs.jsonl`: the composer of `cxr-audit lungs`.

Refused: an output folder that has a `lungs.jsonl` already. A file that cannot be read gets a line with the reason
and the others go on. Unlike the records of an audit, these lines name the files as the user gave them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Literal

import cv2
import numpy as np

from cxr_audit.errors import CaseError, ConfigError
from cxr_audit.ingest import discover, read
from cxr_audit.records import CaseSource, Floats
from cxr_audit.reference import WEIGHTS
from cxr_audit.regions.lungs import (
    BATCH,
    Lungs,
    LungSegmenter,
    find_lungs,
    on_radiograph,
    segmenter_input,
)


@dataclass(frozen=True, slots=True)
class LungLine:
    """A line of `lungs.jsonl`. `mask` names the PNG beside it; areas are shares of the radiograph."""

    file: str
    status: Literal["found", "not found", "failed"]
    reason: str | None = None
    mask: str | None = None
    confidence: float | None = None
    right_area_fraction: float | None = None
    left_area_fraction: float | None = None


def write_lung_masks(
    paths: list[Path], output: Path, progress: Callable[[str, int, int], None]
) -> list[LungLine]:
    """Find the lungs of all radiographs in `paths`; write the masks and `lungs.jsonl` into `output`.

    A mask is an 8-bit PNG on the radiograph's own pixels: 0 background, 1 right lung, 2 left lung, on a
    picture that is not mirrored. It is named after
    its file; the second file of a name gets "-2". There is none where the lungs were not found.

    Raises
    ------
    ConfigError : a path that is missing or empty, or an output folder that was used before.
    ModelError : the segmenter's weights are missing or altered.
    """
    sources = [source for path in paths for source in discover(path)]
    names = _mask_names(sources)
    import cxr_audit.classifier  # noqa: F401  it imports TensorFlow without its start-up notices

    segmenter = LungSegmenter(WEIGHTS / "lungs.keras")
    lines: list[LungLine] = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        listing = (output / "lungs.jsonl").open("x", encoding="utf-8")
    except OSError as error:
        reason = "exists already" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError(
            f"cannot write {error.filename}: {reason}", "give another folder with --output"
        ) from error
    with listing:
        for start in range(0, len(sources), BATCH):
            batch = slice(start, start + BATCH)
            for line in _segment(segmenter, sources[batch], names[batch], output):
                listing.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
                lines.append(line)
            progress("lungs", len(lines), len(sources))
    return lines


def _segment(
    segmenter: LungSegmenter, sources: list[CaseSource], names: list[str], output: Path
) -> list[LungLine]:
    """The lines of one batch, in order, after its masks were written."""
    lines: dict[int, LungLine] = {}
    sizes: dict[int, tuple[int, ...]] = {}
    inputs: list[Floats] = []
    for k, source in enumerate(sources):
        try:
            pixels = read(source).pixels
        except CaseError as error:
            lines[k] = LungLine(_name(source), "failed", str(error))
            continue
        sizes[k] = pixels.shape
        inputs.append(segmenter_input(pixels))
    probabilities = segmenter.probabilities(np.stack(inputs)) if inputs else ()
    for (k, size), probability in zip(sizes.items(), probabilities, strict=True):
        lines[k] = _write(find_lungs(probability), size, _name(sources[k]), output / names[k])
    return [lines[k] for k in range(len(sources))]


def _name(source: CaseSource) -> str:
    """The file as the user gave it; of a file in an archive its name there."""
    return str(source.location) if isinstance(source.location, Path) else source.relative_path


def _write(lungs: Lungs, size: tuple[int, ...], file: str, mask: Path) -> LungLine:
    if lungs.reason is not None:
        return LungLine(file, "not found", lungs.reason, confidence=round(lungs.confidence, 4))
    _, png = cv2.imencode(".png", on_radiograph(lungs, size[0], size[1]))
    mask.write_bytes(png.tobytes())
    figures = (lungs.confidence, float(lungs.right.mean()), float(lungs.left.mean()))
    return LungLine(file, "found", None, mask.name, *(round(value, 4) for value in figures))


def _mask_names(sources: list[CaseSource]) -> list[str]:
    """A PNG name for each source, no two alike (nor where upper and lower case are one)."""
    taken: set[str] = set()
    names = []
    for source in sources:
        tries = (
            f"{PurePath(source.relative_path).stem}{suffix}.png"
            for suffix in ("", *(f"-{n}" for n in range(2, len(sources) + 2)))
        )
        name = next(name for name in tries if name.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names
