"""A case -> its DICOM objects, those that the config asks for and that can be made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pydicom.dataset import Dataset

from cxr_audit.config import Export
from cxr_audit.export import document, picture, report, segments
from cxr_audit.export.modules import Making
from cxr_audit.export.results import CaseResult
from cxr_audit.export.subject import Subject, quiet
from cxr_audit.export.uids import uid_of
from cxr_audit.vocabulary import Message, message

FORM = 1
"""Raised when objects of the same evidence get another content: their UIDs change with it."""


@dataclass(frozen=True)
class MadeObject:
    """One object, ready to be written or sent.

    Parameters
    ----------
    case_id : whose object it is.
    kind : pdf, report, picture or segmentation.
    """

    case_id: str
    kind: str
    dataset: Dataset

    @property
    def uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)


@dataclass(frozen=True)
class MadeCase:
    """The objects of a case.

    Parameters
    ----------
    left_out : kind -> why there is no such object, of those that the config asks for.
    """

    objects: tuple[MadeObject, ...]
    left_out: dict[str, Message]


def evidence_of(result: CaseResult, settings: Export) -> str:
    """What the UIDs follow from: evidence, model and coded words; SHA-256, hexadecimal.

    When the run was made is no part of it: two runs with the same evidence have the same UIDs.
    """
    parts = (
        FORM,
        result.evidence_sha256,
        result.device.sha256,
        result.segmenter.sha256 if result.segmenter else "",
        settings.model_dump(mode="json", include={"findings", "manufacturer"}),
    )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def asked_kinds(settings: Export) -> tuple[str, ...]:
    """The kinds of objects that the config asks for, in the order in which they are made."""
    switches = {
        document.KIND: settings.pdf,
        report.KIND: settings.report,
        picture.KIND: settings.picture,
        segments.KIND: settings.segmentation,
    }
    return tuple(kind for kind, is_asked in switches.items() if is_asked)


def generation_of(evidence: str, superseded: str | None) -> str:
    """The name of a generation of a case's objects: its evidence and the generation before it."""
    return evidence if superseded is None else uid_of(evidence, superseded)


def make_objects(
    result: CaseResult,
    subject: Subject,
    settings: Export,
    generation: str,
    predecessors: list[Dataset],
) -> MadeCase:
    """All objects of a case.

    Parameters
    ----------
    result, subject : what the objects say, and whom they are about.
    settings : which objects are asked for.
    generation : see `generation_of`.
    predecessors : structured reports that these objects supersede.
    """
    making = Making(result, subject, settings, generation)
    objects: list[MadeObject] = []
    left_out: dict[str, Message] = {}
    for kind in asked_kinds(settings):
        with quiet():
            made = _object(kind, making, predecessors)
        if isinstance(made, Message):
            left_out[kind] = made
        else:
            objects.append(MadeObject(result.case_id, kind, made))
    return MadeCase(tuple(objects), left_out)


def _object(kind: str, making: Making, predecessors: list[Dataset]) -> Dataset | Message:
    """An object, or why there is none."""
    result = making.result
    if kind == document.KIND:
        if result.pdf is None:
            return message("export.no_pdf")
        return document.encapsulated_pdf(making)
    if result.answer is None:
        return message("export.stopped")
    if kind == report.KIND:
        return report.structured_report(making, predecessors)
    if kind == picture.KIND:
        if result.picture is None:
            return message("export.no_picture")
        return picture.secondary_capture(making)
    if making.subject.pixel_spacing_mm is None:
        return message("export.no_spacing")
    masks = segments.masks_of(making)
    if not masks:
        return message("export.no_segments")
    return segments.segmentation(making, masks)
