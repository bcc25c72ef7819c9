"""One case as found, before it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from cxr_audit.records.base import require


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file in a zip, by its place in the archive's directory."""

    archive: Path
    index: int


@dataclass(frozen=True, slots=True)
class ServerInstance:
    """A SOP instance on a DICOMweb server: the address of its WADO-RS resource, its UID."""

    url: str
    uid: str


@dataclass(frozen=True, slots=True)
class Box:
    """An annotated rectangle on the upright radiograph: upper left corner and size, in pixels."""

    row_px: float
    column_px: float
    height_px: float
    width_px: float

    def __post_init__(self) -> None:
        corner, size = (self.row_px, self.column_px), (self.height_px, self.width_px)
        require(all(math.isfinite(v) and v >= 0 for v in corner), f"a box begins at {corner}")
        require(all(math.isfinite(v) and v > 0 for v in size), f"a box of {size} pixels")


@dataclass(frozen=True, slots=True)
class CaseSource:
    """One case as found, before it is read.

    Everything but `case_id`, `label`, `file_sha256` and `metadata_hmac` may name a person: it goes to
    the private crosswalk only, never into a report, a record or a log.

    Parameters
    ----------
    case_id : pseudonym.
    location : where the file lies.
    relative_path : its path below the source, for the crosswalk.
    label : the reference label, as the source has it.
    metadata : further columns of the manifest.
    split : the part of the data that the manifest names.
    boxes, mask : what the manifest annotates.
    metadata_hmac : stands for all that the run is given of the case beside its file, the bytes of its
        mask too.
    file_hmac : keyed hash of the file, once it was read; see `SourceFile`.
    """

    case_id: str
    location: Path | ZipEntry | ServerInstance
    relative_path: str
    file_sha256: str | None = None
    label: str | None = None
    patient_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    split: str | None = None
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    metadata_hmac: str | None = None
    file_hmac: str | None = None
