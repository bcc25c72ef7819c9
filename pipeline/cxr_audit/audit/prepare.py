"""One source -> `Prepared`, in a light process.

Here, and nowhere else, a `CaseError` is caught and becomes a record.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxr_audit import ingest, quality, reference, regions, report
from cxr_audit import preprocess as geometry
from cxr_audit.audit.opening import reading
from cxr_audit.config import REFERENCE, AuditConfig
from cxr_audit.errors import CaseError, UnfitRadiograph
from cxr_audit.evidence import CaseIdKey
from cxr_audit.records import (
    CaseSource,
    Check,
    Decision,
    Floats,
    ModelInput,
    RadiographFacts,
    Region,
    StoppedCase,
)
from cxr_audit.vocabulary import Text

if TYPE_CHECKING:
    from cxr_audit.regions import Lungs


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case ready for the classifier, or why the classifier is not asked: its `failure`, which may be an exclusion."""

    source: CaseSource
    failure: StoppedCase | None = None
    facts: RadiographFacts | None = None
    model_input: ModelInput | None = None
    preprocessing: tuple[Decision, ...] = ()
    lung_input: Floats | None = None
    regions: tuple[Region, ...] = ()
    annotation_missing: Text | None = None
    quality: tuple[Check, ...] = ()
    sop_instance_uid: str | None = field(default=None, repr=False)
    pictures: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    cpu_s: float = 0.0


def prepare(source: CaseSource, config: AuditConfig) -> Prepared:
    """Stages 1 and 2 of one case, in a worker. Here, and for an annotation, a `CaseError` is caught."""
    start = time.process_time()
    try:
        radiograph = ingest.read(source, **reading(config))
    except CaseError as error:
        failure = StoppedCase(
            case_id=source.case_id,
            status="failed",
            reason=error.message,
            error=type(error).__name__,
            hint=error.hint,
            label=source.label,
            file_sha256=source.file_sha256,
        )
        return Prepared(source, failure, cpu_s=time.process_time() - start)
    source = replace(
        source, file_sha256=radiograph.facts.source.file_sha256
    )  # known only now if a server sent it
    annotation, annotation_missing = read_annotation(source, radiograph.facts, config)
    model_input, grey, decisions = geometry.preprocess(radiograph, config.preprocess)
    markers = tuple(regions.find_markers(radiograph.pixels)) if config.regions.markers else None
    card = reference.card_of("classifier") if config.classifier.path == REFERENCE else None
    views = config.quality.views or (card.views if card else ())
    ages = config.quality.age_years or (card.age_years if card else None)
    texts = (
        None if markers is None else sum(marker.facts.name.startswith("text") for marker in markers)
    )
    prepared = Prepared(
        source,
        None,
        radiograph.facts,
        model_input,
        decisions,
        regions.segmenter_input(radiograph.pixels) if config.regions.lungs == REFERENCE else None,
        (*(markers or ()), *annotation),
        annotation_missing,
        quality.check_picture(radiograph.pixels, config.quality)
        + quality.check_header(radiograph.facts, views, ages, texts),
        radiograph.sop_instance_uid,
        {"radiograph": report.display(radiograph.pixels), "model_input": report.display(grey)},
    )
    return replace(judged(prepared, config), cpu_s=time.process_time() - start)


def mark_duplicates(
    case: Prepared, duplicates: quality.Duplicates, key: CaseIdKey, config: AuditConfig
) -> Prepared:
    """The case with the checks whether it came before, in the run's order.

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


def judged(case: Prepared, config: AuditConfig) -> Prepared:
    """The case, excluded or failed where the config asks for that by its checks so far."""
    asked = quality.action(quality.in_order(case.quality), config.quality)
    if asked is None:
        return case
    status, reason, hint = asked
    failure = StoppedCase(
        case_id=case.source.case_id,
        status=status,
        reason=reason,
        error=UnfitRadiograph.__name__ if status == "failed" else None,
        hint=hint,
        label=case.source.label,
        file_sha256=case.source.file_sha256,
        radiograph=case.facts,
    )
    return replace(
        case,
        failure=failure,
        model_input=None,
        pictures={"radiograph": case.pictures["radiograph"]},
    )


def read_annotation(
    source: CaseSource, facts: RadiographFacts, config: AuditConfig
) -> tuple[tuple[Region, ...], Text | None]:
    """What a manifest annotates on a radiograph, or why that cannot be used: no reason not to audit the case."""
    try:
        found = ingest.read_annotation(source, facts.rows, facts.columns, config.ingest.max_pixels)
    except CaseError as error:
        return (), error.message
    return ((regions.annotation(*found),) if found else ()), None


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
