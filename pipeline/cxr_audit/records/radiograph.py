"""A radiograph: its pixels, and what its file says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cxr_audit.records.base import Floats, read_only, require
from cxr_audit.vocabulary import Message, Text

VoiTransform = Literal["if_present", "lut", "window", "required", "off", "percentile"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Where the pixels came from.

    The plain hashes stay in memory and in `private/`: with them anyone who has the file finds its
    case. A record has keyed hashes in their place, HMAC-SHA-256 with the key of the case ids; a record
    of schema 2 and older has the plain ones.

    Parameters
    ----------
    file_sha256, pixel_sha256 : of the file and of the stored pixels; None in a record.
    file_hmac, pixel_hmac : over the hexadecimal digits of these; None before the key is known.
    transfer_syntax : name of the DICOM UID; None for plain images.
    decoder : the library that decoded the pixels.
    instance_hmac : stands for the SOP Instance UID, which names an examination: HMAC-SHA-256 with the
        key of the case ids.
    """

    file_sha256: str | None
    pixel_sha256: str | None
    format: str
    transfer_syntax: str | None
    decoder: str
    instance_hmac: str | None = None
    file_hmac: str | None = None
    pixel_hmac: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One assumption: what was decided, how, and why or by which section of the standard."""

    what: Text
    how: Text
    why: Text = ""


@dataclass(frozen=True, slots=True)
class RadiographFacts:
    """A radiograph without its pixels.

    Parameters
    ----------
    pixel_spacing_mm : (row, column).
    patient_orientation : to which side of the patient rows and columns run.
    attributes : DICOM attributes of the allow-list only.
    decisions : every assumption made while reading.
    warnings : what a reader has to know of the file.
    not_understood : attributes that are present but cannot be read, by keyword, with the kind of
        problem (never the text itself); absent attributes are not listed.
    """

    rows: int
    columns: int
    source: SourceFile
    pixel_spacing_mm: tuple[float, float] | None = None
    view_position: str | None = None
    patient_orientation: tuple[str, str] | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[Text, ...] = ()
    not_understood: dict[str, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.rows > 0 and self.columns > 0, f"a radiograph of {self.rows}x{self.columns} pixels"
        )
        if self.pixel_spacing_mm is not None:
            require(
                all(s > 0 for s in self.pixel_spacing_mm), f"pixel spacing {self.pixel_spacing_mm}"
            )

    @property
    def image_left(self) -> Literal["right", "left"] | None:
        """Which side of the patient lies at the image's left; None where the file does not say.

        The first value of Patient Orientation is where the rows run to (PS3.3 C.7.6.1.1.1).
        """
        sides: dict[str, Literal["right", "left"]] = {"L": "right", "R": "left"}
        return sides.get(self.patient_orientation[0][:1]) if self.patient_orientation else None


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A radiograph.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed.
    sop_instance_uid : names the examination: it stays in memory.
    """

    case_id: str
    pixels: Floats
    facts: RadiographFacts
    sop_instance_uid: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        read_only(self.pixels, 2, "pixels")
        require(
            self.pixels.shape == (self.facts.rows, self.facts.columns),
            f"pixels {self.pixels.shape} do not fit the facts {self.facts.rows}x{self.facts.columns}",
        )
        low, high = float(self.pixels.min()), float(self.pixels.max())
        require(low >= 0 and high <= 1, f"pixels must lie in [0, 1], received [{low}, {high}]")
