"""Section 3: what was audited, and with what; and the cases that were not audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cxr_audit.records import AuditedCase, CaseRecord, RunRecord, stopped
from cxr_audit.report.language import N_, _, grouped, said
from cxr_audit.report.names import method_name
from cxr_audit.report.runtime import runtime_rows
from cxr_audit.report.words import (
    DASH,
    STATUSES,
    TIMES,
    Rows,
    View,
    counted,
    number,
    percent,
    quoted,
    sentence,
    times,
    unit_words,
)
from cxr_audit.vocabulary import OUTPUT_FILES, PURPOSES

MOST_ROWS = 10
# `preprocess.scaling` in words
SCALINGS = {
    "unit": N_("from 0 to 1"),
    "minus_one_one": N_("from \N{MINUS SIGN}1 to 1"),
    "imagenet": N_("minus ImageNet's mean, divided by its standard deviation"),
    "caffe": N_("from 0 to 255, BGR, minus ImageNet's mean"),
    "raw_255": N_("from 0 to 255"),
    "txv": N_("from \N{MINUS SIGN}1024 to 1024"),
}


def artefacts(cases: Sequence[AuditedCase], run: RunRecord) -> list[View]:
    """Model, run and passes through the network as titled rows."""
    blocks: list[View] = [
        {"title": _("Model"), "rows": _model(cases, run)},
        {"title": _("Run"), "rows": _run(run)},
    ]
    if run.costs.passes:
        blocks.append({"title": _("Passes through the network"), "rows": _passes(run)})
    return blocks


def _passes(run: RunRecord) -> Rows:
    """What the network was asked, by purpose, and the unit of cost."""
    rows: Rows = []
    depth = run.config.get("run", {}).get("depth")
    if depth is not None:
        rows.append((_("Depth"), depth))
    plain = run.calibration.plain
    if plain is not None:
        text = _(
            "{wall} ms, {cpu} ms of CPU time, in batches of {size}",
            wall=number(plain.wall_ms),
            cpu=number(plain.cpu_ms),
            size=plain.batch_size,
        )
        rows.append((_("Plain pass"), text))
    total_s = sum(count.cpu_s for count in run.costs.passes.values())
    for purpose, count in sorted(run.costs.passes.items()):
        row = PURPOSES.get(purpose)
        name = sentence(_(row.label)) if row else purpose
        text = _(
            "{asked} asked, {computed} computed; {a_case} a case; {ms} ms each; {share} of the time",
            asked=grouped(count.asked),
            computed=grouped(count.computed),
            a_case=number(count.asked / max(run.cases.num_cases, 1)),
            ms=number(1000 * count.cpu_s / max(count.computed, 1)),
            share=percent(count.cpu_s / total_s if total_s else 0.0),
        )
        rows.append((name, text))
    return rows


def _model(cases: Sequence[AuditedCase], run: RunRecord) -> Rows:
    model = run.model
    maps = [case.first_map.facts for case in cases if case.first_map]
    first = f"{method_name(maps[0].method)}, {unit_words(maps[0].unit)}" if maps else _("none")
    classes = ", ".join(quoted(name) for name in model.class_names)
    grid = _("{size} cells", size=times(*model.grid))
    rows = [
        (_("Name"), model.name),
        ("SHA-256", model.sha256),
        (_("Parameters"), counted(model.parameters)),
        (_("Input"), f" {TIMES} ".join(map(str, model.input_shape))),
        (_("Preprocessing"), _preprocessing(run)),
        (
            _("Output"),
            _("{output}; classes {classes}", output=model.output_activation, classes=classes),
        ),
        (
            _("Head"),
            _("{head}, layer {layer}", head=said(model.head), layer=model.target_layer)
            + f", {grid}",
        ),
        (_("First map"), first),
    ]
    rows += runtime_rows(run)
    if model.unavailable is not None:
        rows.append((_("Not available for this model"), said(model.unavailable)))
    return rows


def _preprocessing(run: RunRecord) -> str:
    config = run.config.get("preprocess", {})
    size = f"{config.get('rows')} {TIMES} {config.get('columns')}"
    scaling = config.get("scaling")
    if scaling is None:
        words = _(
            "{scale} {times} pixel + {offset}",
            scale=config.get("scale"),
            times=TIMES,
            offset=config.get("offset"),
        )
    else:
        words = _(SCALINGS[scaling]) if scaling in SCALINGS else str(scaling)
    source = config.get("scaling_source") or _("source not stated")
    steps = [
        _("{resize} to {size}", resize=config.get("resize"), size=size),
        _("values {range} ({source})", range=words, source=source),
    ]
    return "; ".join(steps)


def _run(run: RunRecord) -> Rows:
    engine = [
        f"{key.replace('_', ' ')} {value}" for key, value in sorted(run.software.engine.items())
    ]
    versions = [f"{name} {version}" for name, version in sorted(run.software.versions.items())]
    return [
        (_("Config SHA-256"), run.config_sha256),
        (_("Crosswalk SHA-256"), run.cases.crosswalk_sha256 or _("not kept")),
        (_("Lung segmenter"), run.software.segmenter_sha256 or _("not used")),
        (_("Seed"), str(run.seed)),
        (_("Engine"), ", ".join(engine)),
        (_("Versions"), ", ".join(versions)),
    ]


def output_files() -> Rows:
    """The files of the run folder, but for those that are never handed on."""
    return [
        (row.key, _(row.definition).rstrip(".")) for row in OUTPUT_FILES if row.place != "private"
    ]


def stopped_rows(cases: Sequence[CaseRecord]) -> View:
    """Cases without an audit by kind of error and reason; file names never."""
    counts = Counter(
        (case.status, case.error or DASH, said(case.reason)) for case in stopped(cases)
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        {
            "status": _(STATUSES[status]),
            "error": error,
            "reason": sentence(reason),
            "count": grouped(count),
        }
        for (status, error, reason), count in ordered
    ]
    return capped(rows)


def capped(rows: list[View], most: int = MOST_ROWS) -> View:
    """The first rows, and how many more there are."""
    return {"rows": rows[:most], "more": max(0, len(rows) - most)}
