"""Answer, map and flags -> a structured report (Comprehensive 3D SR, PS3.16 TID 1500).

After IHE AI Results (AIR): each measurement group has a tracking identifier and names the
algorithm; the Device UID of the observer and of Contributing Equipment follows from the weights.
What was not assessed is said, and is never left out as if it were absent.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cxr_audit.export import codes as concepts
from cxr_audit.export.codes import short
from cxr_audit.export.modules import Making, finish
from cxr_audit.export.results import Answer, Measured
from cxr_audit.export.uids import device_uid, uid_of

KIND = "report"
MOST_AREAS = 20
"""Separate areas of the contour that are listed, the largest first."""
Group = sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations
Points = npt.NDArray[np.float64]


def structured_report(making: Making, predecessors: list[Dataset]) -> Dataset:
    """The object, complete but unverified: no person has confirmed it.

    Parameters
    ----------
    predecessors : objects that this one supersedes, with the attributes SOPClassUID,
        SOPInstanceUID, StudyInstanceUID and SeriesInstanceUID.
    """
    answer = making.result.answer
    assert answer is not None
    image = _image(making)
    groups: list[Group] = [_output_group(making, answer)]
    if answer.method is not None:
        groups.append(_map_group(making, answer))
        groups += _area_groups(making, answer)
    content = sr.MeasurementReport(
        observation_context=_context(making),
        procedure_reported=concepts.CHEST_RADIOGRAPHY,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    dataset = sr.Comprehensive3DSR(
        evidence=[image],
        content=content[0],
        is_complete=True,
        is_final=False,
        previous_versions=predecessors or None,
        coding_schemes=[concepts.scheme_item()],
        specific_character_set=None,
        **making.series(KIND, 1, "Model audit: measurements (structured report)"),
    )
    return finish(dataset, making)


def _image(making: Making) -> Dataset:
    """The radiograph as evidence. Its maker is no part of the report."""
    image = Dataset()
    image.update(making.subject.header)
    return image


def _context(making: Making) -> sr.ObservationContext:
    """The observer is the classifier, as a device."""
    device = making.result.device
    attributes = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(device.sha256),
        name=short(device.name, 64),
        manufacturer_name=making.settings.manufacturer,
        model_name=short(device.name, 64),
        serial_number=device.sha256,
    )
    observer = sr.ObserverContext(codes.DCM.Device, attributes)
    return sr.ObservationContext(observer_device_context=observer)


def _algorithm(making: Making) -> sr.AlgorithmIdentification:
    device = making.result.device
    return sr.AlgorithmIdentification(
        name=device.name,
        version=f"sha256:{device.sha256}",
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=making.settings.manufacturer,
    )


def _tracking(making: Making, name: str) -> sr.TrackingIdentifier:
    uid = uid_of("tracking", making.instance_uid(KIND), name)
    return sr.TrackingIdentifier(uid=uid, identifier=f"cxr-audit {name}")


def _output_group(making: Making, answer: Answer) -> sr.MeasurementsAndQualitativeEvaluations:
    """Output, threshold, logit; the class that follows; flags; whether the map is valid."""
    measurements = [
        sr.Measurement(concepts.CLASSIFIER_OUTPUT, answer.output, concepts.NO_UNITS),
        sr.Measurement(concepts.LOGIT, answer.logit, concepts.LOG_ODDS),
    ]
    if answer.threshold is not None:
        threshold = sr.Measurement(concepts.THRESHOLD, answer.threshold, concepts.NO_UNITS)
        measurements.append(threshold)
    given = making.settings.findings
    evaluations = [
        sr.QualitativeEvaluation(
            concepts.PREDICTED_CLASS, concepts.finding(answer.predicted, given)
        ),
        sr.QualitativeEvaluation(concepts.MAP_CHECKS, _map_state(answer)),
    ]
    for flag in answer.flags:
        name = concepts.own(f"flag.{flag.key}", flag.label)
        value = concepts.NOT_ASSESSED
        if flag.state is not None:
            value = concepts.PRESENT if flag.state else concepts.ABSENT
        evaluations.append(sr.QualitativeEvaluation(name, value))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(making, "output"),
        finding_type=concepts.finding(answer.class_name, given),
        algorithm_id=_algorithm(making),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[_source_of_group(making)],
    )


def _map_state(answer: Answer) -> sr.CodedConcept:
    words = {
        "passed": "All checks passed: the map reflects this model",
        "caution": "Caution: a check of the map failed or was not run",
        "not_interpretable": "The map is not interpretable",
    }
    if answer.map_state is None:
        return concepts.NOT_ASSESSED
    return concepts.own(f"trust.{answer.map_state}", words[answer.map_state])


def _map_group(making: Making, answer: Answer) -> sr.MeasurementsAndQualitativeEvaluations:
    """What was measured of the class activation map, on the whole radiograph and in the lungs."""
    assert answer.method is not None
    measurements, evaluations = [], []
    for metric in answer.metrics:
        name = concepts.own(metric.key, metric.label)
        if isinstance(metric.value, bool | str) or metric.value is None:
            evaluations.append(sr.QualitativeEvaluation(name, _word(metric)))
        else:
            measurements.append(sr.Measurement(name, metric.value, _unit(metric)))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(making, "map"),
        finding_type=concepts.finding(answer.class_name, making.settings.findings),
        method=concepts.map_method(answer.method),
        algorithm_id=_algorithm(making),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[_source_of_group(making)],
    )


def _word(metric: Measured) -> sr.CodedConcept:
    if metric.value is None:
        return concepts.NOT_ASSESSED
    if isinstance(metric.value, bool):
        return concepts.YES if metric.value else concepts.NO
    return concepts.own(f"{metric.key}.{metric.value}", str(metric.value))


def _unit(metric: Measured) -> sr.CodedConcept:
    if metric.kind == "integer":
        return sr.CodedConcept("{areas}", "UCUM", "areas")
    return concepts.NO_UNITS


def _area_groups(
    making: Making, answer: Answer
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """One group for each separate area that the contour of page 1 encloses."""
    header = making.subject.header
    rows, columns = int(header.Rows), int(header.Columns)
    mask = making.result.focus_mask(rows, columns)
    if mask is None:
        return []
    assert answer.method is not None
    groups = []
    for number, (outline, share) in enumerate(outlines(mask), 1):
        region = sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, outline, _source_of_region(making))
        area = sr.Measurement(concepts.AREA_FRACTION, share, concepts.NO_UNITS)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(making, f"area {number}"),
            referenced_region=region,
            finding_type=concepts.FOCUS_AREA,
            method=concepts.map_method(answer.method),
            algorithm_id=_algorithm(making),
            measurements=[area],
        )
        groups.append(group)
    return groups


def outlines(mask: npt.NDArray[np.bool_]) -> list[tuple[Points, float]]:
    """The closed outline of each separate area, the largest first, and its share of the mask.

    Coordinates are (column, row) with 0.5 in the centre of the first pixel (PS3.3 C.18.6.1.1);
    holes are left out. An outline is within one pixel of the mask's edge.
    """
    found, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    areas = []
    for label in range(1, found):
        inside = labels == label
        lines, _ = cv2.findContours(
            inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        line = cv2.approxPolyDP(lines[0], 1.0, closed=True)[:, 0].astype(np.float64) + 0.5
        areas.append((np.vstack([line, line[:1]]), float(inside.mean())))
    areas.sort(key=lambda area: -area[1])
    return areas[:MOST_AREAS]


def _source_of_group(making: Making) -> sr.SourceImageForMeasurementGroup:
    subject = making.subject
    return sr.SourceImageForMeasurementGroup(
        subject.class_uid, subject.instance_uid, _frames(making)
    )


def _source_of_region(making: Making) -> sr.SourceImageForRegion:
    subject = making.subject
    return sr.SourceImageForRegion(subject.class_uid, subject.instance_uid, _frames(making))


def _frames(making: Making) -> list[int] | None:
    frame = making.subject.frame
    return None if frame is None else [frame]
