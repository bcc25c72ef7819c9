"""`Explained` -> record, pictures and PDF in the run folder, in a light process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxr_audit import evidence, regions, report, verdict
from cxr_audit import preprocess as geometry
from cxr_audit.audit.clock import Clock, peak_mib
from cxr_audit.audit.measuring import budget, controls, measure, round_up, scale_key
from cxr_audit.audit.prepare import Prepared, with_lungs
from cxr_audit.config import AuditConfig
from cxr_audit.evidence import RunFolder
from cxr_audit.records import (
    CaseRecord,
    ClassActivationMap,
    Floats,
    Mask,
    Masking,
    Prediction,
    Region,
    RunRecord,
    Trust,
    from_json,
    to_json,
)
from cxr_audit.vocabulary import Text

if TYPE_CHECKING:
    from cxr_audit.regions import Lungs

Pictures = dict[str, npt.NDArray[np.uint8]]

# Pictures for print: three pages with six of them, fonts and attachments in 0.6 MB.
MOST_BYTES, REGIONS_PX = 120_000, 600


@dataclass(frozen=True, slots=True)
class Explained:
    """A case with the classifier's answer, its maps and where its lungs may be, ready to be written down."""

    prepared: Prepared
    prediction: Prediction | None = None
    maps: tuple[ClassActivationMap, ...] = ()
    controls: dict[str, Floats] = field(default_factory=dict)
    trust: Trust | None = None
    lungs: Lungs | None = None
    exposure: dict[str, float] = field(default_factory=dict)
    as_usual: dict[str, float] = field(default_factory=dict)
    masking: tuple[Masking, ...] = ()
    masking_missing: dict[str, Text] = field(default_factory=dict)


def warm_up(documents: bool) -> None:
    """In a worker, while the classifier loads: what its first case would wait for."""
    if documents:
        renderer()


def document(
    case: Explained, run: RunRecord, path: Path, config: AuditConfig
) -> tuple[CaseRecord, dict[str, float], float]:
    """Stages 5, 6, 8 and 9 of one case, in a worker: regions, metrics, pictures, PDF, record.

    Beside the record: CPU seconds by stage, and the worker's largest resident size so far in MiB.
    """
    clock = Clock()
    folder = RunFolder(path)
    folder.clear_case(case.prepared.source.case_id)
    where = folder.case(case.prepared.source.case_id)
    record, pictures, maps, masks = describe(case, run, config)
    record = replace(record, told_hmac=case.prepared.source.told_hmac)
    for name, image in pictures.items():
        evidence.write(where / name, report.encode_jpeg(image, MOST_BYTES))
    if maps:
        evidence.write(where / "map.npz", npz(maps))
        evidence.write(where / "regions.npz", npz(masks))
    clock.mark("regions, focus and pictures")
    data = to_json(record)
    if config.report.documents:
        # From the record as `render` will read it, whose dicts are in another order: the same bytes.
        evidence.write(
            where / "report.pdf", renderer().case_pdf(from_json(data, CaseRecord), run, where)
        )
    evidence.write(where / "case.json", data)
    clock.mark("documents")
    return record, clock.cpu_s, peak_mib()


def render_case(path: Path, case_id: str, template_dir: Path | None, language: str | None) -> str:
    """The PDF of one case again, from its record and pictures, in a worker."""
    folder = RunFolder(path)
    record = folder.read_case(case_id)
    assert record is not None
    where = folder.case(case_id)
    pdf = renderer(template_dir).case_pdf(record, folder.read_run(), where, language)
    evidence.write(where / "report.pdf", pdf)
    return case_id


def describe(
    case: Explained, run: RunRecord, config: AuditConfig
) -> tuple[CaseRecord, Pictures, dict[str, Floats], dict[str, Mask]]:
    """A case's record, its pictures by file name, its maps by key and the masks of its regions by name."""
    prepared = with_lungs(case.prepared, case.lungs, config)
    pictures = {f"{role}.jpg": image for role, image in prepared.pictures.items()}
    names = {role: f"{role}.jpg" for role in prepared.pictures}
    if prepared.failure is not None:
        return replace(prepared.failure, quality=prepared.quality, pictures=names), pictures, {}, {}
    assert prepared.facts is not None
    assert prepared.model_input is not None
    assert case.prediction is not None
    placement, background = prepared.model_input.placement, prepared.pictures["radiograph"]
    found = find_regions(case)
    names["regions"] = "regions.jpg"
    pictures["regions.jpg"] = report.outlines(
        report.display((background / 255).astype(np.float32), REGIONS_PX), found
    )
    seen = geometry.seen(placement, *background.shape)
    threshold = config.focus.high_focus_threshold
    masks = np.stack([region.mask for region in found])
    region_shares = cache(partial(geometry.region_shares, placement, masks=masks))
    metrics, region_metrics, scales, faint = {}, {}, {}, []
    for number, class_map in enumerate(case.maps):
        facts = class_map.facts
        grid = facts.grid_rows, facts.grid_columns
        finite = (
            class_map.values if facts.status != "not_finite" else np.zeros_like(class_map.values)
        )
        measured = measure(class_map, finite, placement, found, region_shares(*grid), threshold)
        metrics[facts.key], region_metrics[facts.key] = measured
        heatmap = geometry.restore(finite, placement, *background.shape)
        scale = run.scales.get(scale_key(facts)) or run.scale or 1.0
        if config.report.scale == "case" and facts.status == "ok":
            scale = scales[facts.key] = round_up(float(finite.max()))
        edges = (
            geometry.cell_edges(placement, *grid, *background.shape)
            if config.report.cells
            else None
        )
        names[facts.key] = f"map-{number}.jpg"
        if is_faint := report.is_faint(float(finite.max()), scale):
            faint.append(facts.key)
        pictures[names[facts.key]] = report.overlay(
            background, heatmap, seen, scale, threshold, edges, not is_faint
        )
    record = CaseRecord(
        case_id=prepared.source.case_id,
        status="ok",
        label=prepared.source.label,
        file_sha256=prepared.source.file_sha256,
        radiograph=prepared.facts,
        placement=placement,
        preprocessing=prepared.preprocessing,
        quality=prepared.quality,
        prediction=case.prediction,
        maps=tuple(class_map.facts for class_map in case.maps),
        focus=metrics,
        regions=tuple(region.facts for region in found),
        lungs_missing=case.lungs.reason if case.lungs else None,
        markers_missing=None if config.regions.markers else "the markers were not looked for",
        annotation_missing=prepared.annotation_missing,
        region_focus=region_metrics,
        controls=controls(case.controls, placement, found, region_shares),
        budget=budget(case.maps, case.prediction.target_class, placement, found),
        exposure=case.exposure,
        as_usual=case.as_usual,
        masking=case.masking,
        masking_missing=case.masking_missing,
        trust=case.trust,
        pictures=names,
        scales=scales,
        faint=tuple(faint),
    )
    record = verdict.flagged(record, config.acceptance, run.logit_spread)
    maps = {class_map.facts.key: class_map.values for class_map in case.maps}
    return record, pictures, maps, {region.facts.name: region.mask for region in found}


def find_regions(case: Explained) -> tuple[Region, ...]:
    """All regions; the sides are the patient's, by the file's orientation where it states one."""
    facts = case.prepared.facts
    is_mirrored = facts is not None and facts.image_left == "left"
    return regions.find_regions(
        case.prepared.pictures["radiograph"], case.lungs, case.prepared.regions, is_mirrored
    )


def npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """`.npz` with fixed time stamps, so that the same arrays give the same bytes."""
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for key, array in arrays.items():
            entry = io.BytesIO()
            np.save(entry, array)
            # A ZipInfo brings its own compression, which is none.
            info = zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, entry.getvalue(), zipfile.ZIP_DEFLATED)
    return data.getvalue()


@lru_cache(maxsize=2)
def renderer(template_dir: Path | None = None) -> Any:
    return report.Renderer(template_dir)
