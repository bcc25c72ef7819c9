"""CaseRecord, RunRecord -> where everything came from: page 3 of the case PDF."""

from __future__ import annotations

from pipeline.records import CaseRecord, ModelCard, Placement, RunRecord
from pipeline.report.words import TIMES, Rows, View, in_brackets, number, score, sentence, spacing, times, utc


def provenance(record: CaseRecord, run: RunRecord) -> View:
    return {
        "hashes": _hashes(record, run),
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items())),
        **_groups(record, run),
        "card": _card(run.model.card),
        "decisions": _decisions(record),
    }


def _hashes(record: CaseRecord, run: RunRecord) -> Rows:
    source = record.radiograph.source if record.radiograph else None
    hashes = [
        ("File", source.file_sha256 if source else record.file_sha256),
        ("Pixels", source.pixel_sha256 if source else None),
        ("Model", run.model.sha256),
        ("Lung segmenter", run.segmenter_sha256 if record.regions else None),
        ("Config", run.config_sha256),
    ]
    return [(name, value) for name, value in hashes if value]


def _case_groups(record: CaseRecord) -> list[View]:
    """What is known of the radiograph, as titled rows of (name, value)."""
    facts, groups = record.radiograph, []
    if facts:
        kind = " · ".join(filter(None, (facts.source.format, facts.source.transfer_syntax)))
        orientation = "\\".join(facts.patient_orientation) if facts.patient_orientation else "not stated"
        rows = [
            ("Format", kind),
            ("Decoder", facts.source.decoder),
            ("Size", f"{times(facts.rows, facts.columns)} px"),
            ("Pixel spacing", spacing(facts)),
            ("Orientation", orientation),
        ]
        groups.append({"title": "Source", "rows": rows})
    if record.placement:
        groups.append({"title": "Placement in the model input", "rows": _placement(record.placement)})
    if facts and facts.attributes:
        groups.append({"title": "DICOM attributes used", "rows": sorted(facts.attributes.items())})
    return groups


def _found_by(record: CaseRecord) -> Rows:
    """How the regions that are no definition were found."""
    rows = []
    for region in record.regions:
        if region.kind in ("lungs", "outside_body", "marker", "annotation"):
            certainty = "" if region.confidence is None else f" ({number(region.confidence)})"
            rows.append((sentence(region.name), region.found_by + certainty))
    return rows


def _groups(record: CaseRecord, run: RunRecord) -> View:
    """The two columns of page 3; without a radiograph, model and run take one each."""
    left, right = _case_groups(record), _run_groups(run, record.schema_version)
    if found := _found_by(record):  # in the shorter column
        has_attributes = record.radiograph is not None and bool(record.radiograph.attributes)
        (right if has_attributes else left).append({"title": "How regions were found", "rows": found})
    return {"provenance_left": left or right[:1], "provenance_right": right if left else right[1:]}


def _run_groups(run: RunRecord, schema_version: int) -> list[View]:
    model = run.model
    model_rows = [
        ("Name", model.name),
        ("Input", f" {TIMES} ".join(map(str, model.input_shape)) + " (rows, columns, channels)"),
        ("Target layer", f"{model.target_layer}, {times(*model.grid)} cells"),
        ("Head", model.head),
        ("Output", model.output_activation),
        ("Parameters", f"{model.parameters:,}"),
        ("Two calls equal", {True: "yes", False: "no", None: "not checked"}[model.is_deterministic]),
    ]
    run_rows = [
        ("Name", run.name),
        ("Started", utc(run.started) or ""),
        ("Seed", str(run.seed)),
        ("Record schema", str(schema_version)),
    ]
    return [{"title": "Model", "rows": model_rows}, {"title": "Run", "rows": run_rows}]


def _card(card: ModelCard | None) -> Rows:
    """What the model card states, in its own words, and what it was measured at, a row for each set of data."""
    if card is None:
        return []
    measured: dict[str, list[str]] = {}
    for one in card.measured:
        of = f"{one.data}, {one.num_cases:,} cases"
        measured.setdefault(of, []).append(f"{one.what} {score(one.value)}{in_brackets(one.interval_95)}")
    stated = [("Intended use", f'"{card.intended_use}"'), ("Population", f'"{card.population}"')]
    return stated + [(of, "; ".join(figures)) for of, figures in measured.items()]


def _placement(placement: Placement) -> Rows:
    size = times(placement.radiograph_rows, placement.radiograph_columns)
    return [
        ("Radiograph to input", f"{size} px to {times(placement.input_rows, placement.input_columns)} px"),
        ("Scale", f"{placement.scale_rows:.5f} rows, {placement.scale_columns:.5f} columns"),
        ("Offset", f"{placement.offset_rows} rows, {placement.offset_columns} columns (positive = padding)"),
    ]


def _decisions(record: CaseRecord) -> list[View]:
    steps = [("Ingestion", d) for d in (record.radiograph.decisions if record.radiograph else ())]
    steps += [("Preprocessing", d) for d in record.preprocessing]
    return [{"step": step, "what": sentence(d.what), "how": d.how, "why": d.why} for step, d in steps]
