"""The run folder -> what the objects of a case say. The one module here that knows the records.

The objects are built from `CaseResult`, so that a record that changes its form is one edit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit import preprocess
from cxr_audit.evidence import RunFolder
from cxr_audit.records import AuditedCase, CaseRecord, MapRecord, Mask, RunRecord, Value
from cxr_audit.vocabulary import FLAGS, MAP_METRICS, REGION_METRICS, Metric
from cxr_audit.vocabulary.registry import OWN_PACKAGE

MEASURED_IN = "lungs"
"""The kind of region whose metrics the structured report has."""


@dataclass(frozen=True, slots=True)
class Device:
    """The model that answered, as a device.

    Parameters
    ----------
    name : of the model.
    sha256 : of its weights, hexadecimal.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of a map.

    Parameters
    ----------
    key, label : of the metric, and of the region where it is of one.
    kind : of the value, see `cxr_audit.vocabulary.metrics.Kind`.
    value : None = not assessed.
    """

    key: str
    label: str
    kind: str
    value: float | int | bool | str | None


@dataclass(frozen=True, slots=True)
class Flagged:
    """One flag; `state` is True, False, or None = not assessed."""

    key: str
    label: str
    state: bool | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the classifier answered, and what was measured of it.

    Parameters
    ----------
    class_name : the class that is explained.
    output : of the classifier for it, in [0, 1].
    logit : the explained scalar, in log-odds.
    threshold : None where the highest output decides.
    predicted : the class that is above the threshold, or has the highest output.
    method, layer : of the first map; None where there is none.
    map_state : passed, caution or not_interpretable; None = the map was not checked.
    metrics : of the first map, and of it in the lungs.
    flags : in the order of the vocabulary.
    """

    class_name: str
    output: float
    logit: float
    threshold: float | None
    predicted: str
    method: str | None = None
    layer: str | None = None
    map_state: str | None = None
    metrics: tuple[Measured, ...] = ()
    flags: tuple[Flagged, ...] = ()


@dataclass(frozen=True)
class CaseResult:
    """A case as its objects have it.

    Parameters
    ----------
    evidence_sha256 : of the names and bytes of the case's files in the run folder.
    started : when the run began, UTC.
    device, segmenter : the classifier; the network that outlined the lungs, if any.
    answer : None where the case was stopped before the classifier's answer was explained.
    pdf : the case report; None where the run writes no documents.
    picture : page 1's marked picture as JPEG.
    lungs : mask at any resolution that covers the radiograph, None where there is none.
    focus : map, threshold and placement, from which `focus_mask` is drawn.
    """

    case_id: str
    evidence_sha256: str
    started: datetime
    device: Device
    segmenter: Device | None = None
    answer: Answer | None = None
    pdf: bytes | None = None
    picture: bytes | None = None
    lungs: Mask | None = None
    focus: _Focus | None = field(default=None, repr=False)

    def focus_mask(self, rows: int, columns: int) -> Mask | None:
        """What the contour of page 1 encloses, bool (rows, columns); None where none is drawn."""
        if self.focus is None:
            return None
        heatmap = self.focus.heatmap(rows, columns)
        inside = (heatmap >= self.focus.threshold * heatmap.max()) & (heatmap > 0)
        return np.asarray(inside) if inside.any() else None


@dataclass(frozen=True)
class _Focus:
    values: npt.NDArray[np.float32]
    record: AuditedCase
    threshold: float

    def heatmap(self, rows: int, columns: int) -> npt.NDArray[np.float32]:
        """The map over the radiograph; 0 where the model did not see it."""
        placement = self.record.input.placement
        first = self.record.first_map
        assert first is not None
        grid = first.facts.geometry
        heatmap = preprocess.restore(self.values, placement, rows, columns, grid)
        covered = preprocess.seen(placement, rows, columns, grid)
        return np.where(covered, heatmap, np.float32(0))


def read_result(folder: RunFolder, run: RunRecord, case_id: str) -> CaseResult:
    """The result of one finished case."""
    record = folder.read_case(case_id)
    assert record is not None
    where = folder.case(case_id)
    pdf = where / "report.pdf"
    result = CaseResult(
        case_id=case_id,
        evidence_sha256=_evidence(folder, case_id),
        started=datetime.fromisoformat(run.started).astimezone(UTC),
        device=Device(run.model.name, run.model.sha256),
        pdf=pdf.read_bytes() if pdf.is_file() else None,
    )
    if not isinstance(record, AuditedCase):
        return result
    picture = where / record.pictures["marked"] if "marked" in record.pictures else None
    masks = _arrays(folder, case_id, "regions.npz")
    lungs = record.regions.first(MEASURED_IN)
    segmenter = None
    if run.software.segmenter_sha256 is not None:
        segmenter = Device("lung segmenter", run.software.segmenter_sha256)
    return CaseResult(
        case_id=case_id,
        evidence_sha256=result.evidence_sha256,
        started=result.started,
        device=result.device,
        segmenter=segmenter,
        answer=_answer(record, run),
        pdf=result.pdf,
        picture=None if picture is None else picture.read_bytes(),
        lungs=None if lungs is None else masks.get(lungs.name),
        focus=_focus(record, _arrays(folder, case_id, "map.npz")),
    )


def case_id_key_of(run: RunRecord) -> str | None:
    """The fingerprint of the key of the case ids."""
    return run.cases.case_id_key


def file_hmac_of(record: CaseRecord) -> str | None:
    """The keyed hash of the file that a case was made from."""
    return record.hashes.file_hmac


def pixel_hmac_of(record: CaseRecord) -> str | None:
    """The keyed hash of the pixels that a case was made from."""
    return None if record.radiograph is None else record.radiograph.source.pixel_hmac


def _evidence(folder: RunFolder, case_id: str) -> str:
    """The SHA-256 over the name and the SHA-256 of each file of the case."""
    digest = hashlib.sha256()
    for path in sorted(folder.case(case_id).iterdir()):
        if path.is_file() and not path.name.startswith("."):
            line = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
            digest.update(line.encode())
    return digest.hexdigest()


def _arrays(folder: RunFolder, case_id: str, name: str) -> dict[str, npt.NDArray[Any]]:
    path = folder.case(case_id) / name
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _answer(record: AuditedCase, run: RunRecord) -> Answer:
    prediction = record.prediction
    first = record.first_map
    return Answer(
        class_name=prediction.target_class,
        output=prediction.probability,
        logit=prediction.logit,
        threshold=prediction.threshold,
        predicted=prediction.predicted,
        method=None if first is None else first.facts.method,
        layer=None if first is None else first.facts.layer,
        map_state=None if record.trust is None else record.trust.state,
        metrics=() if first is None else _metrics(record, first),
        flags=_flags(record, run),
    )


def _metrics(record: AuditedCase, first: MapRecord) -> tuple[Measured, ...]:
    metrics = []
    for row in MAP_METRICS:
        if row.key in first.metrics.values:
            metrics += _measured(row, row.key, row.title, first.metrics.values[row.key])
    lungs = record.in_region(MEASURED_IN)
    for row in REGION_METRICS:
        if lungs is not None and row.key in lungs.values:
            label = row.title.format(region="the lungs")
            metrics += _measured(row, f"{MEASURED_IN}.{row.key}", label, lungs.values[row.key])
    return tuple(metrics)


def _measured(row: Metric, key: str, label: str, value: Value) -> list[Measured]:
    """One metric; a position is two, since a report has one number an item."""
    if row.kind != "position" and not isinstance(value, tuple):
        return [Measured(key, label, row.kind, value)]
    parts = value if isinstance(value, tuple) else (None, None)
    return [
        Measured(f"{key}.{axis}", f"{label}, {axis}", "fraction", part)
        for axis, part in zip(("row", "column"), parts, strict=True)
    ]


def _flags(record: AuditedCase, run: RunRecord) -> tuple[Flagged, ...]:
    """A flag of a package that the run did not have was not assessed."""
    packages = {OWN_PACKAGE, *run.software.packages}
    flags = []
    for row in FLAGS:
        state: bool | None = row.key in record.flags.names
        if row.key in record.flags.undefined or row.package not in packages:
            state = None
        flags.append(Flagged(row.key, row.label, state))
    return tuple(flags)


def _focus(record: AuditedCase, maps: dict[str, npt.NDArray[Any]]) -> _Focus | None:
    """As page 1 draws it: no contour where the map is faint or has no evidence."""
    first = record.first_map
    if first is None or first.is_faint or first.facts.status not in ("ok", "saturated"):
        return None
    values = maps.get(first.key)
    if values is None:
        return None
    return _Focus(np.asarray(values, np.float32), record, first.threshold)
