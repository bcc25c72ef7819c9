"""`Explained` -> record, pictures and PDF in the run folder, in a light process."""

from __future__ import annotations

import atexit
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxr_audit import evidence, flags, regions, report
from cxr_audit import preprocess as geometry
from cxr_audit.audit.clock import Clock, peak_mib
from cxr_audit.audit.factors import measured
from cxr_audit.audit.measuring import budget, budget_map, controls, measure, round_up, scale_key
from cxr_audit.audit.prepare import MOST_BYTES, Prepared, read_pictures
from cxr_audit.config import AuditConfig
from cxr_audit.evidence import RunFolder
from cxr_audit.records import (
    AuditedCase,
    CaseHashes,
    CaseRecord,
    CaseStatus,
    ClassActivationMap,
    Floats,
    GridGeometry,
    InputRecord,
    MapRecord,
    Mask,
    Masking,
    Placement,
    Prediction,
    Probes,
    Region,
    RegionsRecord,
    RunRecord,
    Trust,
    case_from_json,
    to_json,
)
from cxr_audit.vocabulary import Text, message

if TYPE_CHECKING:
    from cxr_audit.regions import Lungs

Pictures = dict[str, npt.NDArray[np.uint8]]

SMALL_PX = 600
"""Longest side of the pictures of regions and maps, which are printed small."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A case with the classifier's answer, its maps and its lungs, ready to be documented."""

    prepared: Prepared
    prediction: Prediction | None = None
    maps: tuple[ClassActivationMap, ...] = ()
    controls: dict[str, Floats] = field(default_factory=dict)
    trust: Trust | None = None
    lungs: Lungs | None = None
    exposure: dict[str, float] = field(default_factory=dict)
    as_usual: dict[str, float] = field(default_factory=dict)
    factors: dict[str, tuple[float, float]] = field(default_factory=dict)
    bands: dict[str, float] = field(default_factory=dict)
    masking: tuple[Masking, ...] = ()
    masking_missing: dict[str, Text] = field(default_factory=dict)


def warm_up(documents: bool) -> None:
    """In a worker, while the classifier loads: what its first case would wait for."""
    if documents:
        renderer()


@dataclass(frozen=True, slots=True)
class Written:
    """What the composer keeps of a case: its id, status and reason, and what its document cost.

    Parameters
    ----------
    cpu_s : seconds by stage.
    peak_mib : largest resident size of the process so far.
    """

    case_id: str
    status: CaseStatus
    cpu_s: dict[str, float]
    peak_mib: float


def document(case: Explained, run: RunRecord, path: Path, config: AuditConfig) -> Written:
    """Regions, metrics, pictures, PDF and record of one case, in a light process.

    Parameters
    ----------
    path : the run folder, in which `prepare` has left the display pictures.
    """
    clock = Clock()
    where = RunFolder(path).case(case.prepared.source.case_id)
    shown = read_pictures(where, case.prepared.failure is not None)
    case = replace(case, prepared=replace(case.prepared, pictures=shown))
    record, pictures, maps, masks = describe(case, run, config)
    source = case.prepared.source
    record = replace(record, hashes=CaseHashes(source.file_hmac, source.metadata_hmac))
    for name in pictures.keys() - {f"{role}.jpg" for role in shown}:
        evidence.write(where / name, report.encode_jpeg(pictures[name], MOST_BYTES))
    if maps:
        evidence.write(where / "map.npz", npz(maps))
        evidence.write(where / "regions.npz", npz(masks))
    clock.mark("regions, focus and pictures")
    # As `render` will read it: dicts in order, whole numbers of fractional fields as such.
    record = case_from_json(to_json(record))
    if config.report.documents:
        pdf = renderer().case_pdf(record, run, where)
        evidence.write(where / "report.pdf", pdf)
    evidence.write(where / "case.json", to_json(record))
    clock.mark("documents")
    return Written(record.case_id, record.status, clock.cpu_s, peak_mib())


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
    """What a case leaves.

    Returns
    -------
    Its record, its pictures by file name, its maps by key, the masks of its regions by name.
    """
    prepared = case.prepared
    pictures = {f"{role}.jpg": image for role, image in prepared.pictures.items()}
    names = {role: f"{role}.jpg" for role in prepared.pictures}
    if prepared.failure is not None:
        stopped = replace(prepared.failure, quality=prepared.quality, pictures=names)
        return stopped, pictures, {}, {}
    assert prepared.facts is not None
    assert prepared.model_input is not None
    assert case.prediction is not None
    placement = prepared.model_input.placement
    background = prepared.pictures["radiograph"]
    found = find_regions(case)
    names["regions"] = "regions.jpg"
    small = report.display((background / 255).astype(np.float32), SMALL_PX)
    pictures["regions.jpg"] = report.outlines(small, found)
    masks = np.stack([region.mask for region in found])

    @cache
    def region_shares(rows: int, columns: int, grid: GridGeometry | None) -> Floats:
        return geometry.region_shares(placement, rows, columns, masks, grid)

    maps = []
    for number, class_map in enumerate(case.maps):
        map_record, picture = _map(class_map, placement, found, region_shares, small, run, config)
        file_name = f"map-{number}.jpg"
        maps.append(replace(map_record, picture=file_name))
        pictures[file_name] = picture
    if maps:
        names["marked"] = "marked.jpg"
        pictures["marked.jpg"] = _marked(
            case.maps[0], maps[0], placement, found, background, config
        )
    _add_budget(maps, case, placement, found)
    missing: dict[str, Text] = {}
    if case.lungs is not None and case.lungs.reason is not None:
        missing["lungs"] = case.lungs.reason
    if not config.regions.markers:
        missing["marker"] = message("regions.markers_not_looked_for")
    if prepared.annotation_missing is not None:
        missing["annotation"] = prepared.annotation_missing
    record = AuditedCase(
        case_id=prepared.source.case_id,
        label=prepared.source.label,
        radiograph=prepared.facts,
        input=InputRecord(
            placement,
            prepared.preprocessing,
            measured(prepared, case.lungs),
            prepared.low_level,
            prepared.further,
        ),
        quality=prepared.quality,
        prediction=case.prediction,
        maps=tuple(maps),
        regions=RegionsRecord(
            tuple(region.facts for region in found),
            missing,
            controls(case.controls, placement, found, region_shares, case.maps),
        ),
        probes=Probes(
            case.masking,
            case.masking_missing,
            case.exposure,
            case.as_usual,
            case.factors,
            case.bands,
        ),
        trust=case.trust,
        pictures=names,
    )
    record = replace(
        record,
        flags=flags.judge(
            record,
            config.acceptance,
            run.calibration.logit_spread,
            run.calibration.spread_within_label,
        ),
    )
    values = {class_map.facts.key: class_map.values for class_map in case.maps}
    return record, pictures, values, {region.facts.name: region.mask for region in found}


def _map(
    class_map: ClassActivationMap,
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Callable[[int, int, GridGeometry | None], Floats],
    background: npt.NDArray[np.uint8],
    run: RunRecord,
    config: AuditConfig,
) -> tuple[MapRecord, npt.NDArray[np.uint8]]:
    """The record of one map, without the name of its picture, and the picture."""
    facts = class_map.facts
    grid = facts.grid_rows, facts.grid_columns
    threshold = config.focus.high_focus_threshold
    finite = class_map.values
    if facts.status == "not_finite":
        finite = np.zeros_like(finite)
    shares = region_shares(*grid, facts.geometry)
    metrics, in_regions = measure(class_map, finite, placement, found, shares, threshold)
    rows, columns = background.shape
    heatmap = geometry.restore(finite, placement, rows, columns, facts.geometry)
    scale = run.calibration.scales.get(scale_key(facts)) or run.calibration.scale or 1.0
    own_scale = None
    if config.report.scale == "case" and facts.status == "ok":
        scale = own_scale = round_up(float(finite.max()))
    edges = None
    if config.report.cells:
        edges = geometry.cell_edges(placement, *grid, rows, columns, facts.geometry)
    is_faint = report.is_faint(float(finite.max()), scale)
    seen = geometry.seen(placement, rows, columns, facts.geometry)
    picture = report.overlay(background, heatmap, seen, scale, threshold, edges, not is_faint)
    record = MapRecord(facts, threshold, metrics, in_regions, own_scale, None, is_faint)
    return record, picture


def _add_budget(
    maps: list[MapRecord], case: Explained, placement: Placement, found: tuple[Region, ...]
) -> None:
    """Give the logit by place to the record of the map that it is split by."""
    assert case.prediction is not None
    chosen = budget_map(case.maps, case.prediction.target_class)
    if chosen is not None:
        split = budget(case.maps[chosen], placement, found)
        maps[chosen] = replace(maps[chosen], budget=split)


def _marked(
    class_map: ClassActivationMap,
    record: MapRecord,
    placement: Placement,
    found: tuple[Region, ...],
    background: npt.NDArray[np.uint8],
    config: AuditConfig,
) -> npt.NDArray[np.uint8]:
    """The radiograph with the contour of the first map and the outline of the lungs."""
    is_drawn = class_map.facts.status in ("ok", "saturated")
    values = class_map.values if is_drawn else np.zeros_like(class_map.values)
    rows, columns = background.shape
    grid = class_map.facts.geometry
    return report.marked(
        background,
        geometry.restore(values, placement, rows, columns, grid),
        geometry.seen(placement, rows, columns, grid),
        found,
        threshold=record.threshold,
        has_contour=is_drawn and not record.is_faint,
        haze=config.report.haze,
    )


def find_regions(case: Explained) -> tuple[Region, ...]:
    """All regions; the sides are the patient's, by the file's orientation where it states one."""
    facts = case.prepared.facts
    is_mirrored = facts is not None and facts.image_left == "left"
    assert case.prepared.thumbnail is not None
    return regions.find_regions(
        case.prepared.thumbnail, case.lungs, case.prepared.regions, is_mirrored
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


# WeasyPrint removes its folder of fonts with the renderer, which has to happen before Python ends.
atexit.register(renderer.cache_clear)
