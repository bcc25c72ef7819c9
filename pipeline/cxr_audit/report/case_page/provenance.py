"""Where everything came from: page 3 of the case PDF."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    Check,
    Decision,
    ModelCard,
    Placement,
    RunRecord,
)
from cxr_audit.report.case_page.alerts import find_cautions
from cxr_audit.report.language import _, joined, said
from cxr_audit.report.names import check_label, region_title
from cxr_audit.report.runtime import runtime_rows
from cxr_audit.report.words import (
    DASH,
    TIMES,
    Rows,
    View,
    counted,
    number,
    quoted,
    sentence,
    spacing,
    times,
    utc,
)

FOUND = ("lungs", "outside_body", "marker", "annotation")
"""Kinds of regions that are found and not defined."""

# check of the input that is no share -> decimals and unit of its value
MEASURED_IN = {"rotation": (1, "\N{DEGREE SIGN}"), "burned_in_annotation": (0, "")}


def provenance(case: CaseRecord, run: RunRecord) -> View:
    """What page 3 prints."""
    card = run.model.card
    return {
        "hashes": _hashes(case, run),
        "groups": _case_groups(case) + _run_groups(case, run),
        "found": _regions(case),
        "card": _card(card) if card else [],
        "checks": check_rows(case.quality),
        "decisions": _decisions(case),
        "cautions": find_cautions(case),
    }


def _hashes(case: CaseRecord, run: RunRecord) -> Rows:
    source = case.radiograph.source if case.radiograph else None
    has_regions = isinstance(case, AuditedCase) and case.regions.found
    hashes = [
        (_("File, keyed hash"), case.hashes.file_hmac),
        (_("File"), case.hashes.file_sha256),
        (_("Pixels, keyed hash"), source.pixel_hmac if source else None),
        (_("Pixels"), source.pixel_sha256 if source else None),
        (_("Model"), run.model.sha256),
        (_("Lung segmenter"), run.software.segmenter_sha256 if has_regions else None),
        (_("Config"), run.config_sha256),
        (_("Code"), run.software.code.sha256 if run.software.code else None),
    ]
    return [(name, value) for name, value in hashes if value]


def _case_groups(case: CaseRecord) -> list[View]:
    """What is known of the radiograph, as titled rows of (name, value)."""
    facts, groups = case.radiograph, []
    if facts:
        source = facts.source
        kind = " · ".join(filter(None, (source.format, source.transfer_syntax)))
        orientation = _("not stated")
        if facts.patient_orientation:
            orientation = "\\".join(facts.patient_orientation)
        rows = [
            (_("Format"), kind),
            (_("Decoder"), source.decoder),
            (_("Size"), _("{size} px", size=times(facts.rows, facts.columns))),
            (_("Pixel spacing"), spacing(facts)),
            (_("Orientation"), orientation),
        ]
        groups.append({"title": _("Source"), "rows": rows})
        if isinstance(case, AuditedCase):
            rows += _placement(case.input.placement)
    if facts and facts.attributes:
        rows = sorted(facts.attributes.items())
        groups.append({"title": _("DICOM attributes used"), "rows": rows})
    return groups


def _run_groups(case: CaseRecord, run: RunRecord) -> list[View]:
    model = run.model
    repeated = {True: _("yes"), False: _("no"), None: _("not checked")}
    size = f" {TIMES} ".join(map(str, model.input_shape))
    grid = _("{size} cells", size=times(*model.grid))
    model_rows = [
        (_("Name"), model.name),
        (_("Input"), _("{size} (rows, columns, channels)", size=size)),
        (_("Target layer"), f"{model.target_layer}, {grid}"),
        (_("Head"), said(model.head)),
        (_("Output"), " ".join(filter(None, (model.parts.output_name, model.output_activation)))),
        (_("Parameters"), counted(model.parameters)),
        (_("Repeated inference gives identical results"), repeated[model.is_deterministic]),
    ]
    model_rows += runtime_rows(run)
    if model.unavailable is not None:
        model_rows.append((_("Not available for this model"), said(model.unavailable)))
    if model.parts.preprocess_sha256 is not None:
        model_rows.append((_("Preprocessing model"), f"SHA-256 {model.parts.preprocess_sha256}"))
    if model.parts.packages:
        model_rows.append((_("Layers of other packages"), "; ".join(model.parts.packages)))
    versions = [f"{name} {version}" for name, version in sorted(run.software.versions.items())]
    run_rows = [
        (_("Name"), run.name),
        (_("Started"), utc(run.started)),
        (_("Seed"), str(run.seed)),
        (_("Record schema"), str(case.schema_version)),
        (_("Versions"), ", ".join(versions)),
    ]
    return [{"title": _("Model"), "rows": model_rows}, {"title": _("Run"), "rows": run_rows}]


def _regions(case: CaseRecord) -> Rows:
    """How the regions that are no definition were found."""
    if not isinstance(case, AuditedCase):
        return []
    rows = []
    for region in case.regions.found:
        if region.kind not in FOUND:
            continue
        found_by = said(region.found_by)
        if region.confidence is not None:
            certainty = number(region.confidence)
            found_by = _("{found_by} ({certainty})", found_by=found_by, certainty=certainty)
        rows.append((region_title(region, case.radiograph), found_by))
    return rows


def _card(card: ModelCard) -> Rows:
    """What the model is for; what it was measured at stands in the run report."""
    rows = [
        (_("Intended use"), quoted(card.intended_use)),
        (_("Population"), quoted(card.population.description)),
    ]
    if card.limits:
        rows.append((_("Limits"), " ".join(quoted(text) for text in card.limits)))
    return rows


def _placement(placement: Placement) -> Rows:
    size = times(placement.radiograph_rows, placement.radiograph_columns)
    input_size = times(placement.input_rows, placement.input_columns)
    scale = _(
        "{rows} rows, {columns} columns",
        rows=number(placement.scale_rows, 5),
        columns=number(placement.scale_columns, 5),
    )
    offset = _(
        "{rows} rows, {columns} columns (positive = padding)",
        rows=_pixels(placement.offset_rows),
        columns=_pixels(placement.offset_columns),
    )
    return [
        (
            _("Radiograph to input"),
            _("{size} px to {input_size} px", size=size, input_size=input_size),
        ),
        (_("Scale"), scale),
        (_("Offset"), offset),
    ]


def _pixels(offset: float) -> str:
    """A number of pixels, with decimals only where it is not whole."""
    return number(offset, 0 if offset == round(offset) else 2)


def _decisions(case: CaseRecord) -> list[str]:
    """Of ingestion, then of preprocessing."""
    decisions: list[Decision] = []
    if case.radiograph:
        decisions += case.radiograph.decisions
    if isinstance(case, AuditedCase):
        decisions += case.input.preprocessing
    return [_decision(decision) for decision in decisions]


def _decision(decision: Decision) -> str:
    text = joined(": ", (sentence(said(decision.what)), said(decision.how)))
    if not decision.why:
        return text
    return joined("", (text, " (", said(decision.why), ")"))


def check_rows(checks: Sequence[Check]) -> Rows:
    """The checks of the input by state: number and limit, or the reason why not checked."""
    rows: Rows = []
    for state, name in (("failed", _("Checks not passed")), ("passed", _("Checks passed"))):
        texts = [_measured(check) for check in checks if check.state == state]
        if texts:
            rows.append((name, joined(", ", texts)))
    texts = []
    for check in checks:
        if check.state == "not_run":
            reason = said(check.reason) or DASH
            texts.append(joined("", (check_label(check.name), " (", reason, ")")))
    if texts:
        rows.append((_("Not checked"), joined(", ", texts)))
    return rows


def _measured(check: Check) -> str:
    """For example "contrast 0.61 (at least 0.15)"."""
    name = check_label(check.name)
    if check.value is None:
        return name
    decimals, unit = MEASURED_IN.get(check.name, (2, ""))
    value = f" {number(check.value, decimals)}{unit} ("
    return joined("", (name, value, said(check.limit) or DASH, ")"))
