"""Lungs and contour -> Segmentation on the pixels of the radiograph (PS3.3 A.51)."""

from __future__ import annotations

import cv2
import highdicom
import numpy as np
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cxr_audit.export.codes import FOCUS_AREA, LUNGS, own
from cxr_audit.export.modules import Making, algorithm, finish
from cxr_audit.export.uids import uid_of
from cxr_audit.records import Mask

KIND = "segmentation"
EVIDENCE = own("evidence", "Evidence of a model")


def masks_of(making: Making) -> dict[str, Mask]:
    """The segments that there are, bool (rows, columns) of the radiograph."""
    header = making.subject.header
    rows, columns = int(header.Rows), int(header.Columns)
    masks = {}
    focus = making.result.focus_mask(rows, columns)
    if focus is not None:
        masks["focus"] = focus
    if making.result.lungs is not None:
        small = making.result.lungs.astype(np.float32)
        drawn = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR)
        masks["lungs"] = np.asarray(drawn >= 0.5)
    return {name: mask for name, mask in masks.items() if mask.any()}


def segmentation(making: Making, masks: dict[str, Mask]) -> Dataset:
    """The object, BINARY, one frame a segment.

    Parameters
    ----------
    masks : as `masks_of` gives them, at least one.
    """
    source = _source(making)
    descriptions = []
    for number, name in enumerate(masks, 1):
        descriptions.append(_description(making, number, name))
    stacked = np.stack([mask.astype(np.uint8) for mask in masks.values()], axis=-1)[None]
    dataset = highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=stacked,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        content_label="MODEL_AUDIT",
        content_description="Evidence of a classifier, and the lungs",
        **making.series(KIND, 3, "Model audit: evidence and lungs (segmentation)"),
    )
    dataset.PatientOrientation = source.get("PatientOrientation")
    _name_dimensions(dataset, uid_of("dimensions", making.instance_uid(KIND)))
    return finish(dataset, making)


def _source(making: Making) -> Dataset:
    """The radiograph as highdicom wants it: its header, with a spacing that is positive."""
    header = making.subject.header
    source = Dataset()
    source.update(header)
    assert making.subject.pixel_spacing_mm is not None
    source.PixelSpacing = list(making.subject.pixel_spacing_mm)
    return source


def _description(making: Making, number: int, name: str) -> SegmentDescription:
    if name == "lungs":
        label, category, kind = "Lungs", codes.SCT.AnatomicalStructure, LUNGS
    else:
        label, category, kind = "Strongest evidence of the model", EVIDENCE, FOCUS_AREA
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(making),
        tracking_uid=uid_of("segment", making.instance_uid(KIND), name),
        tracking_id=f"cxr-audit {name}",
    )


def _name_dimensions(dataset: Dataset, uid: str) -> None:
    """The organisation of the dimensions by a UID that follows from the evidence."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
