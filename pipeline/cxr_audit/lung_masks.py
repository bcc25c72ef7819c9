"""Files and folders -> a lung mask for each radiograph and `lungs.jsonl`; for `cxr-audit lungs`.

An output folder that has a `lungs.jsonl` is refused. A file that cannot be read gets a line with
the reason, and the others continue. Unlike the records of an audit, these lines name the files as
the user gave them.
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
    """A line of `lungs.jsonl`.

    Parameters
    ----------
    file : as the user gave it.
    status : found, not found or failed.
    reason : why it is not found.
    mask : name of the PNG beside the line's file.
    confidence : of the segmenter, in [0, 1].
    right_area_fraction, left_area_fraction : share of the radiograph.
    warning : that one lung may be cut.
    """

    file: str
    status: Literal["found", "not found", "failed"]
    reason: str | None = None
    mask: str | None = None
    confidence: float | None = None
    right_area_fraction: float | None = None
    left_area_fraction: float | None = None
    warning: str | None = None


def write_lung_masks(
    paths: list[Path], output: Path, progress: Callable[[str, int, int], None]
) -> list[LungLine]:
    """Find the lungs of all radiographs; write the masks and `lungs.jsonl`.

    A mask is an 8-bit PNG on the radiograph's own pixels: 0 background, 1 right lung, 2 left
    lung, on an image that is not mirrored. It is named after its file; the second file of a name
    gets "-2". There is none where the lungs were not found.

    Parameters
    ----------
    paths : files and folders.
    output : a folder without `lungs.jsonl`.
    progress : called with the stage, the number done and the number of all.

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
    for place, source in enumerate(sources):
        try:
            pixels = read(source).pixels
        except CaseError as error:
            lines[place] = LungLine(_name(source), "failed", str(error))
            continue
        sizes[place] = pixels.shape
        inputs.append(segmenter_input(pixels))
    probabilities = segmenter.probabilities(np.stack(inputs)) if inputs else ()
    for (place, size), probability in zip(sizes.items(), probabilities, strict=True):
        lungs, file = find_lungs(probability), _name(sources[place])
        lines[place] = _write(lungs, size, file, output / names[place])
    return [lines[place] for place in range(len(sources))]


def _name(source: CaseSource) -> str:
    """The file as the user gave it; of a file in an archive its name there."""
    return str(source.location) if isinstance(source.location, Path) else source.relative_path


def _write(lungs: Lungs, size: tuple[int, ...], file: str, mask: Path) -> LungLine:
    if lungs.reason is not None:
        confidence = round(lungs.confidence, 4)
        return LungLine(file, "not found", str(lungs.reason), confidence=confidence)
    _, png = cv2.imencode(".png", on_radiograph(lungs, size[0], size[1]))
    mask.write_bytes(png.tobytes())
    confidence = round(lungs.confidence, 4)
    right, left = round(float(lungs.right.mean()), 4), round(float(lungs.left.mean()), 4)
    warning = None if lungs.warning is None else str(lungs.warning)
    return LungLine(file, "found", None, mask.name, confidence, right, left, warning)


def _mask_names(sources: list[CaseSource]) -> list[str]:
    """A PNG name for each source, no two alike (nor where upper and lower case are one)."""
    taken: set[str] = set()
    names = []
    for source in sources:
        stem = PurePath(source.relative_path).stem
        name, number = f"{stem}.png", 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}.png"
        taken.add(name.casefold())
        names.append(name)
    return names
