"""One source -> `Prepared`, in a light process; its display pictures stand in its folder then.

Only the paths, facts and small arrays of a case travel between processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit import evidence, factors, ingest, quality, reference, regions, report
from cxr_audit import preprocess as geometry
from cxr_audit.audit.further_inputs import Further, further_of
from cxr_audit.config import REFERENCE, AuditConfig
from cxr_audit.errors import CaseError, UnfitRadiograph
from cxr_audit.evidence import CaseIdKey, RunFolder
from cxr_audit.records import (
    CaseSource,
    Check,
    Decision,
    Floats,
    ModelInput,
    Radiograph,
    RadiographFacts,
    Region,
    StoppedCase,
    StoppedStatus,
    TabularValue,
)
from cxr_audit.vocabulary import Text, message

if TYPE_CHECKING:
    from cxr_audit.regions import Lungs

Picture = npt.NDArray[np.uint8]
# Pictures for print: three pages with six of them, fonts and attachments in 0.6 MB.
MOST_BYTES = 150_000
ROLES = ("radiograph", "model_input")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case ready for the networks, or stopped before them.

    Parameters
    ----------
    failure : the record of a case that failed or was excluded.
    thumbnail : uint8, the radiograph on the grid of the regions.
    measured, low_level : of the model input, see `InputRecord`.
    pictures : by role; empty while a case travels, see `read_pictures`.
    """

    source: CaseSource
    failure: StoppedCase | None = None
    facts: RadiographFacts | None = None
    model_input: ModelInput | None = None
    preprocessing: tuple[Decision, ...] = ()
    further: tuple[TabularValue, ...] = ()
    lung_input: Floats | None = None
    regions: tuple[Region, ...] = ()
    annotation_missing: Text | None = None
    quality: tuple[Check, ...] = ()
    measured: dict[str, float] = field(default_factory=dict)
    low_level: tuple[float, ...] = ()
    sop_instance_uid: str | None = field(default=None, repr=False)
    thumbnail: Picture | None = None
    pictures: dict[str, Picture] = field(default_factory=dict)
    cpu_s: float = 0.0


Batch = list[Prepared | None]
"""Cases in their places of a batch; None where a place is empty."""


def prepare(source: CaseSource, config: AuditConfig, folder: Path | None) -> Prepared:
    """Read one radiograph, check it, and make what the networks see of it.

    Parameters
    ----------
    folder : of the run. The case's own folder is emptied and gets its display pictures. None = no
        picture is written.

    Returns
    -------
    The case; one that cannot be read has its `failure`.
    """
    start = time.process_time()
    if folder is not None:
        RunFolder(folder).clear_case(source.case_id)
    try:
        radiograph = ingest.read(source, **reading(config))
    except CaseError as error:
        failure = stopped(source, "failed", error.message, type(error).__name__, error.hint)
        return Prepared(source, failure, cpu_s=time.process_time() - start)
    # The hash of a file that a server sent is known only now.
    source = replace(source, file_sha256=radiograph.facts.source.file_sha256)
    case = _prepared(source, radiograph, config)
    if folder is not None:
        write_pictures(RunFolder(folder).case(source.case_id), case.pictures)
    return replace(case, pictures={}, cpu_s=time.process_time() - start)


def _prepared(source: CaseSource, radiograph: Radiograph, config: AuditConfig) -> Prepared:
    annotation, annotation_missing = read_annotation(source, radiograph.facts, config)
    further = further_of(source, radiograph.facts, config.classifier.inputs)
    if not isinstance(further, Further):
        hint = message("audit.state_input")
        failure = stopped(source, "failed", further, "ModelError", hint, radiograph.facts)
        return Prepared(source, failure, radiograph.facts)
    model_input, grey, decisions = geometry.preprocess(radiograph, config.preprocess)
    model_input = replace(model_input, further=further.numbers)
    markers = tuple(regions.find_markers(radiograph.pixels)) if config.regions.markers else None
    lung_input = None
    if config.regions.lungs == REFERENCE:
        lung_input = regions.segmenter_input(radiograph.pixels)
    shown = report.display(radiograph.pixels)
    seen, _ = geometry.grey_of(model_input, config.preprocess)
    case = Prepared(
        source,
        facts=radiograph.facts,
        model_input=model_input,
        preprocessing=decisions,
        further=further.values,
        lung_input=lung_input,
        regions=(*(markers or ()), *annotation),
        annotation_missing=annotation_missing,
        quality=_checks(radiograph, markers, config),
        measured=factors.measure(
            seen, radiograph.pixels, None if markers is None else len(markers)
        ),
        low_level=tuple(round(float(value), 5) for value in factors.low_level(seen)),
        sop_instance_uid=radiograph.sop_instance_uid,
        thumbnail=regions.on_grid(shown),
        pictures={"radiograph": shown, "model_input": report.display(grey)},
    )
    return judged(case, config)


def _checks(
    radiograph: Radiograph, markers: tuple[Region, ...] | None, config: AuditConfig
) -> tuple[Check, ...]:
    """The checks of the picture and of what the file says of itself."""
    card = reference.card_of("classifier") if config.classifier.path == REFERENCE else None
    views = config.quality.views or (card.population.views if card else ())
    ages = config.quality.age_years or (card.population.age_years if card else None)
    num_texts = None
    if markers is not None:
        num_texts = sum(marker.facts.name.startswith("text") for marker in markers)
    of_picture = quality.check_picture(radiograph.pixels, config.quality)
    return of_picture + quality.check_header(radiograph.facts, views, ages, num_texts)


def reading(config: AuditConfig) -> dict[str, Any]:
    """How `ingest` reads the cases of a config."""
    settings = config.ingest
    display = ingest.Display(
        voi_transform=settings.voi_transform,
        window=settings.window,
        frame=settings.frame,
        unreadable_values=settings.unreadable_values,
        damaged_pixels=settings.damaged_pixels,
    )
    return {"max_pixels": settings.max_pixels, "display": display}


def read_annotation(
    source: CaseSource, facts: RadiographFacts, config: AuditConfig
) -> tuple[tuple[Region, ...], Text | None]:
    """What a manifest annotates on a radiograph, or why that cannot be used.

    A case whose annotation cannot be used is audited all the same.
    """
    try:
        found = ingest.read_annotation(source, facts.rows, facts.columns, config.ingest.max_pixels)
    except CaseError as error:
        return (), error.message
    return ((regions.annotation(*found),) if found else ()), None


# ---- pictures


def write_pictures(folder: Path, pictures: dict[str, Picture]) -> None:
    """The display pictures of a case, in its folder."""
    for role, picture in pictures.items():
        evidence.write(folder / f"{role}.jpg", report.encode_jpeg(picture, MOST_BYTES))


def read_pictures(folder: Path, is_stopped: bool) -> dict[str, Picture]:
    """The display pictures that `prepare` wrote.

    Of a stopped case only the radiograph is kept; whatever else stands in its folder is removed.
    """
    if is_stopped and folder.is_dir():
        for path in folder.iterdir():
            if path.name != "radiograph.jpg":
                path.unlink()
    pictures = {}
    for role in ROLES:
        path = folder / f"{role}.jpg"
        if path.is_file():
            data = np.frombuffer(path.read_bytes(), np.uint8)
            pictures[role] = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return pictures


# ---- rules


def mark_duplicates(
    batch: Sequence[Prepared | None],
    duplicates: quality.Duplicates,
    key: CaseIdKey,
    config: AuditConfig,
) -> Batch:
    """A batch with the checks whether a case came before in the run.

    Parameters
    ----------
    duplicates : knows all cases of the batches before; these are added.
    key : of the case ids. A UID leaves memory as a hash with this key.
    """
    return [case and _mark_duplicate(case, duplicates, key, config) for case in batch]


def _mark_duplicate(
    case: Prepared, duplicates: quality.Duplicates, key: CaseIdKey, config: AuditConfig
) -> Prepared:
    """The case with its duplicate checks.

    Its UID and the hashes of its file and pixels leave memory as keyed hashes.
    """
    file_hmac = key.hmac(case.source.file_sha256)
    case = replace(case, source=replace(case.source, file_hmac=file_hmac))
    if case.facts is None:
        return case
    source = replace(
        case.facts.source,
        file_sha256=None,
        pixel_sha256=None,
        file_hmac=file_hmac,
        pixel_hmac=key.hmac(case.facts.source.pixel_sha256),
        instance_hmac=key.hmac(case.sop_instance_uid),
    )
    duplicates.note(case.source.case_id, source)
    checks = (*case.quality, *duplicates.checks(case.source.case_id, source))
    facts = replace(case.facts, source=source)
    return judged(replace(case, facts=facts, quality=checks, sop_instance_uid=None), config)


def with_lungs(case: Prepared, lungs: Lungs | None, config: AuditConfig) -> Prepared:
    """The case with the checks by its lungs, which are the last ones, all in order."""
    if case.facts is None:
        return case
    if lungs is None:
        checks = quality.lungs_not_looked_for()
    else:
        angle = lungs.angle_deg(case.facts.rows, case.facts.columns)
        checks = quality.check_lungs(
            config.quality, lungs.area_fraction, lungs.edge_fraction, angle, lungs.is_negative
        )
    return judged(replace(case, quality=quality.in_order((*case.quality, *checks))), config)


def judged(case: Prepared, config: AuditConfig) -> Prepared:
    """The case, excluded or failed where the config asks for that by its checks so far."""
    action = quality.action(quality.in_order(case.quality), config.quality)
    if action is None:
        return case
    status, reason, hint = action
    error = UnfitRadiograph.__name__ if status == "failed" else None
    failure = stopped(case.source, status, reason, error, hint, case.facts)
    return replace(case, failure=failure, model_input=None)


def stopped(
    source: CaseSource,
    status: StoppedStatus,
    reason: Text,
    error: str | None,
    hint: Text | None,
    facts: RadiographFacts | None = None,
) -> StoppedCase:
    """The record of a case that is not audited.

    Parameters
    ----------
    status : failed or excluded.
    error : name of the exception.
    facts : of the radiograph, where it could be read.
    """
    return StoppedCase(
        case_id=source.case_id,
        status=status,
        reason=reason,
        error=error,
        hint=hint,
        label=source.label,
        radiograph=facts,
    )
