"""CaseRecord, RunRecord -> where everything came from: page 3 of the case PDF."""

from __future__ import annotations

from cxr_audit.records import CaseRecord, ModelCard, Placement, RunRecord
from cxr_audit.report.language import _, grouped, said
from cxr_audit.report.words import (
    TIMES,
    Rows,
    View,
    in_brackets,
    number,
    score,
    sentence,
    spacing,
    times,
    utc,
)


def provenance(record: CaseRecord, run: RunRecord) -> View:
    return {
        "hashes": _hashes(record, run),
        "versions": ", ".join(
            f"{name} {version}" for name, version in sorted(run.versions.items())
        ),
        "groups": _groups(record, run),
        "card": _card(run.model.card),
        "decisions": _decisions(record),
    }


def _hashes(record: CaseRecord, run: RunRecord) -> Rows:
    source = record.radiograph.source if record.radiograph else None
    hashes = [
        (_("File"), source.file_sha256 if source else record.file_sha256),
        (_("Pixels"), source.pixel_sha256 if source else None),
        (_("Model"), run.model.sha256),
        (_("Lung segmenter"), run.segmenter_sha256 if record.regions else None),
        (_("Config"), run.config_sha256),
    ]
    return [(name, value) for name, value in hashes if value]


def _case_groups(record: CaseRecord) -> list[View]:
    """What is known of the radiograph, as titled rows of (name, value)."""
    facts, groups = record.radiograph, []
    if facts:
        kind = " · ".join(filter(None, (facts.source.format, facts.source.transfer_syntax)))
        orientation = (
            "\\".join(facts.patient_orientation) if facts.patient_orientation else _("not stated")
        )
        rows = [
            (_("Format"), kind),
            (_("Decoder"), facts.source.decoder),
            (_("Size"), f"{times(facts.rows, facts.columns)} px"),
            (_("Pixel spacing"), spacing(facts)),
            (_("Orientation"), orientation),
        ]
        groups.append({"title": _("Source"), "rows": rows})
    if record.placement:
        groups.append(
            {"title": _("Placement in the model input"), "rows": _placement(record.placement)}
        )
    if facts and facts.attributes:
        groups.append(
            {"title": _("DICOM attributes used"), "rows": sorted(facts.attributes.items())}
        )
    return groups


def _found_by(record: CaseRecord) -> Rows:
    """How the regions that are no definition were found."""
    rows = []
    for region in record.regions:
        if region.kind in ("lungs", "outside_body", "marker", "annotation"):
            found_by = said(region.found_by)
            if region.confidence is not None:
                found_by = _(
                    "{found_by} ({certainty})",
                    found_by=found_by,
                    certainty=number(region.confidence),
                )
            rows.append((sentence(said(region.name)), found_by))
    return rows


def _groups(record: CaseRecord, run: RunRecord) -> list[View]:
    """What is known of radiograph, model and run, as titled rows of (name, value)."""
    groups = _case_groups(record) + _run_groups(run, record.schema_version)
    found = _found_by(record)
    return groups + ([{"title": _("How regions were found"), "rows": found}] if found else [])


def _run_groups(run: RunRecord, schema_version: int) -> list[View]:
    model = run.model
    model_rows = [
        (_("Name"), model.name),
        (
            _("Input"),
            _(
                "{size} (rows, columns, channels)",
                size=f" {TIMES} ".join(map(str, model.input_shape)),
            ),
        ),
        (_("Target layer"), f"{model.target_layer}, {_('{size} cells', size=times(*model.grid))}"),
        (_("Head"), said(model.head)),
        (_("Output"), model.output_activation),
        (_("Parameters"), grouped(model.parameters)),
        (
            _("Two calls equal"),
            {True: _("yes"), False: _("no"), None: _("not checked")}[model.is_deterministic],
        ),
    ]
    run_rows = [
        (_("Name"), run.name),
        (_("Started"), utc(run.started) or ""),
        (_("Seed"), str(run.seed)),
        (_("Record schema"), str(schema_version)),
    ]
    return [{"title": _("Model"), "rows": model_rows}, {"title": _("Run"), "rows": run_rows}]


def _card(card: ModelCard | None) -> Rows:
    """What the model card states, in its own words, and what it was measured at, a row for each set of data."""
    if card is None:
        return []
    measured: dict[str, list[str]] = {}
    for one in card.measured:
        of = _("{data}, {num} cases", data=one.data, num=grouped(one.num_cases))
        measured.setdefault(of, []).append(
            f"{one.what} {score(one.value)}{in_brackets(one.interval_95)}"
        )
    stated = [
        (_("Intended use"), f'"{card.intended_use}"'),
        (_("Population"), f'"{card.population}"'),
    ]
    return stated + [(of, "; ".join(figures)) for of, figures in measured.items()]


def _placement(placement: Placement) -> Rows:
    size = times(placement.radiograph_rows, placement.radiograph_columns)
    input_size = times(placement.input_rows, placement.input_columns)
    return [
        (
            _("Radiograph to input"),
            _("{size} px to {input_size} px", size=size, input_size=input_size),
        ),
        (
            _("Scale"),
            _(
                "{rows} rows, {columns} columns",
                rows=number(placement.scale_rows, 5),
                columns=number(placement.scale_columns, 5),
            ),
        ),
        (
            _("Offset"),
            _(
                "{rows} rows, {columns} columns (positive = padding)",
                rows=placement.offset_rows,
                columns=placement.offset_columns,
            ),
        ),
    ]


def _decisions(record: CaseRecord) -> list[View]:
    steps = {
        _("Decisions of ingestion"): record.radiograph.decisions if record.radiograph else (),
        _("Decisions of preprocessing"): record.preprocessing,
    }
    return [
        {
            "title": title,
            "rows": [
                {"what": sentence(said(d.what)), "how": said(d.how), "why": said(d.why)}
                for d in made
            ],
        }
        for title, made in steps.items()
        if made
    ]
