"""CaseRecord, RunRecord -> the plain words and finished numbers that `case.html.j2` sets; page 3 is `provenance`.

All arithmetic and all rounding happen here; the templates only place text. What is undefined keeps its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.glossary import FLAG_WORDS
from pipeline.records import (
    CaseRecord,
    Check,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    Masking,
    Placement,
    Prediction,
    RadiographFacts,
    RunRecord,
)
from pipeline.report.pictures import colour_bar_stops
from pipeline.report.provenance import provenance
from pipeline.report.words import (
    BANNER,
    CHECK_STATES,
    DASH,
    MAP_STATES,
    MASKED_WORDS,
    METRICS,
    STOPPED_WORDS,
    TRUST_STATES,
    UNIT_WORDS,
    Rows,
    View,
    clipped,
    number,
    patient_side,
    percent,
    place,
    quoted,
    score,
    sentence,
    short_hash,
    signed,
    spacing,
    times,
    utc,
    w3c,
)

PICTURE_MM = 56.0
MAP_MM = 76.0
SMALL_MAP_MM = 54.0
REGIONS_MM = 44.0
MAPS_IN_A_ROW = 3
MARKERS_IN_WORDS = 3


def case_view(record: CaseRecord, run: RunRecord, pictures: Mapping[str, str]) -> View:
    """Everything that `case.html.j2` prints. `pictures` maps the roles that exist to their URL."""
    facts, prediction = record.radiograph, record.prediction
    maps = [_map(record, one, pictures) for one in record.maps]
    debug = _debug(prediction, maps)
    shown = [side["map"]["key"] for side in debug["sides"] if side["map"]] if debug else []
    others = [one for one in maps if one["small"] and one["key"] not in shown]
    return {
        "banner": BANNER,
        "title": f"Model audit of case {record.case_id}",
        "case_id": record.case_id,
        "status": record.status,
        "stopped": STOPPED_WORDS.get(record.status),
        "is_long": len(record.case_id) > 40,
        "label": quoted(record.label),
        "reason": sentence(record.reason),
        "error": record.error,
        "hint": sentence(record.hint),
        "run": run_facts(run),
        "radiograph": _picture(pictures.get("radiograph"), _shape(facts), PICTURE_MM),
        "model_input": _picture(pictures.get("model_input"), _input_shape(record.placement), PICTURE_MM),
        "facts": _facts(facts, record.placement),
        "prediction": None if prediction is None else _prediction(prediction),
        "maps": maps,
        "primary": maps[0] if maps else None,
        "trust": _trust(record, run),
        "sheets": _sheets(others, maps),
        "budget": None if record.budget is None else _budget(record.budget),
        "debug": debug,
        "regions": _regions(record, pictures),
        "masking": _masking(record),
        "scale": scale_view(run, record.scales.get(record.maps[0].key) if record.maps else None),
        "flags": _flags(record),
        "fitness": _fitness(record),
        "checks": _checks(record.quality),
        "limits": _limits(run),
        **provenance(record, run),
        "warnings": cautions(record),
    }


# ---- page 1


def run_facts(run: RunRecord) -> View:
    return {
        "name": run.name,
        "started": utc(run.started),
        "created": w3c(run.started),
        "finished": utc(run.finished),
        "status": run.status,
        "model": run.model.name,
        "model_hash": short_hash(run.model.sha256),
        "layer": run.model.target_layer,
        "num_cases": run.num_cases,
    }


def _shape(facts: RadiographFacts | None) -> tuple[int, int] | None:
    return None if facts is None else (facts.rows, facts.columns)


def _input_shape(placement: Placement | None) -> tuple[int, int] | None:
    return None if placement is None else (placement.input_rows, placement.input_columns)


def _picture(url: str | None, shape: tuple[int, int] | None, box_mm: float) -> View | None:
    """The picture's size on paper: as large as the box allows, the aspect kept."""
    if url is None:
        return None
    rows, columns = shape or (1, 1)
    longest = max(rows, columns)
    width, height = max(4.0, box_mm * columns / longest), max(4.0, box_mm * rows / longest)
    return {
        "url": url,
        "width_mm": f"{width:.2f}",
        "height_mm": f"{height:.2f}",
        "bar_mm": f"{width + 2.4:.2f}",
        "bar_height_mm": f"{min(56.0, max(36.0, height - 6)):.2f}",
    }


def _facts(facts: RadiographFacts | None, placement: Placement | None) -> Rows:
    """What stands beside the pictures."""
    rows: Rows = []
    if facts:
        rows += [
            ("View", facts.view_position or "not stated"),
            ("Side", _side(facts)),
            ("Radiograph", f"{times(facts.rows, facts.columns)} px"),
            ("Pixel spacing", spacing(facts)),
        ]
    if placement:
        rows.append(("Model input", f"{times(placement.input_rows, placement.input_columns)} px"))
    return rows


def _side(facts: RadiographFacts) -> str:
    side = patient_side(facts, 0)
    return f"image left is the patient's {side}" if side else "not stated by the file"


def _prediction(prediction: Prediction) -> View:
    output, source = score(prediction.probability), clipped(prediction.threshold_source, 80)
    sentence = f"Model output for {quoted(prediction.target_class)}: {output}"
    if prediction.threshold is None:
        reached = f"No threshold applies: {source}"
        sentence += "."
    else:
        threshold, reached = score(prediction.threshold), _reached(prediction.probability, prediction.threshold)
        join = f", {reached} of" if output == threshold else "; threshold"
        sentence += f"{join} {threshold} ({source})."
        reached = f"The output is {reached}" + (f": both are printed as {output}" if output == threshold else "")
    return {
        "sentence": sentence,
        "reached": reached,
        "predicted": quoted(prediction.predicted),
        "expected": quoted(prediction.expected),
        "is_correct": prediction.is_correct,
        "target": quoted(prediction.target_class),
        "scalar": prediction.scalar,
        "logit": number(prediction.logit),
        "scores": [
            {
                "name": quoted(name),
                "is_target": name == prediction.target_class,
                "value": score(value),
                "width": f"{100 * min(1.0, max(0.0, value)):.1f}",
                "marks": [
                    mark
                    for mark, marked in (
                        ("predicted", prediction.predicted),
                        ("expected", prediction.expected),
                        ("explained", prediction.target_class),
                    )
                    if marked == name
                ],
            }
            for name, value in prediction.class_scores.items()
        ],
        "threshold_left": None
        if prediction.threshold is None
        else f"{100 * min(1.0, max(0.0, prediction.threshold)):.1f}",
    }


def _reached(probability: float, threshold: float) -> str:
    """Where the output lies. "Just", where two decimals cannot tell the two apart."""
    if probability == threshold:
        return "at the threshold"
    just = "just " if score(probability) == score(threshold) else ""
    return f"{just}{'above' if probability > threshold else 'below'} the threshold"


def _map(record: CaseRecord, facts: MapFacts, pictures: Mapping[str, str]) -> View:
    shape, word, meaning = MAP_STATES[facts.status]
    focus = record.focus.get(facts.key)
    picture_shape = _shape(record.radiograph)
    return {
        "key": facts.key,
        "method": facts.method,
        "layer": facts.layer,
        "class": f"{quoted(facts.class_name)} against {quoted(facts.against)}"
        if facts.against
        else quoted(facts.class_name),
        "unit": unit(facts),
        "notes": _notes(facts),
        "status": facts.status,
        "shape": shape,
        "word": word,
        "meaning": meaning,
        "grid": f"{times(facts.grid_rows, facts.grid_columns)} cells",
        "cell": _cell(facts, record.placement, record.radiograph),
        "picture": _picture(pictures.get(facts.key), picture_shape, MAP_MM),
        "small": _picture(pictures.get(facts.key), picture_shape, SMALL_MAP_MM),
        "focus": []
        if focus is None
        else focus_sentences(focus, record.radiograph) + region_sentences(record, facts.key),
        "metrics": [] if focus is None else _metrics(focus, record.radiograph),
        "columns": _metric_columns(focus),
        "is_drawn": facts.status in ("ok", "saturated"),
        "threshold": "half" if focus is None or focus.threshold == 0.5 else percent(focus.threshold),
        "_names": (facts.class_name, facts.method, facts.layer),
        "_facts": facts,
    }


def unit(facts: MapFacts) -> str:
    return UNIT_WORDS.get(facts.unit, facts.unit)


def _notes(facts: MapFacts) -> list[str]:
    """What a reader must know of this map beside its status."""
    notes = []
    if facts.is_class_blind:
        notes.append("Class-blind: it would be the same map for any class.")
    if facts.how:
        notes.append(f"{sentence(facts.how)}.")
    return notes


def _sheets(shown: list[View], maps: list[View]) -> list[View]:
    """Maps side by side under a title: methods, layers from shallow to deep, classes. The first map, which stands
    on page 1, is shown again at its place in a comparison."""
    first = maps[0]["_facts"] if maps else None
    kinds: dict[str, list[View]] = {"Methods": [], "Layers, from shallow to deep": [], "Classes": []}
    for one in shown:
        facts = one["_facts"]
        is_subject = first is not None and (facts.class_name, facts.against) == (first.class_name, first.against)
        kind = "Classes" if not is_subject else "Layers, from shallow to deep" if "@" in facts.key else "Methods"
        kinds[kind].append(one)
    methods = kinds["Methods"]
    for kind, sheet in kinds.items():
        target = next((one for one in methods if sheet and one["method"] == sheet[0]["method"]), None)
        if target is not None and kind != "Methods":
            sheet.insert(len(sheet) if kind.startswith("Layers") else 0, target)
    # A sheet of methods with nothing to compare repeats page 1.
    if len(methods) == 1:
        methods.clear()
    return [
        {"title": title, "rows": [sheet[i : i + MAPS_IN_A_ROW] for i in range(0, len(sheet), MAPS_IN_A_ROW)]}
        for title, sheet in kinds.items()
        if sheet
    ]


def _cell(facts: MapFacts, placement: Placement | None, radiograph: RadiographFacts | None) -> str | None:
    """The true size of one cell of the map: model input, radiograph, and mm where the spacing is known."""
    if placement is None:
        return None
    rows, columns = placement.input_rows / facts.grid_rows, placement.input_columns / facts.grid_columns
    words = [f"{times(rows, columns)} px of the model input"]
    rows, columns = rows / placement.scale_rows, columns / placement.scale_columns
    words.append(f"{times(rows, columns)} px of the radiograph")
    if radiograph and radiograph.pixel_spacing_mm:
        row_mm, column_mm = radiograph.pixel_spacing_mm
        words.append(f"{times(rows * row_mm, columns * column_mm)} mm")
    return " = ".join(words)


def focus_sentences(focus: FocusMetrics, facts: RadiographFacts | None) -> list[str]:
    """One to three plain sentences for the clinician."""
    if focus.high_focus_fraction is None:
        return [f"No focus region: {focus.undefined['high_focus_fraction'].rstrip('.')}."]
    band = f" ({focus.focus_band})" if focus.focus_band else ""
    sentences = [f"The contour encloses {percent(focus.high_focus_fraction)} of the radiograph{band}."]
    if focus.centroid_row_fraction is not None and focus.centroid_column_fraction is not None:
        where = place(focus.centroid_row_fraction, focus.centroid_column_fraction, facts)
        sentences.append(f"The evidence is centred in the {where}.")
    if focus.peak_row_fraction is not None and focus.peak_column_fraction is not None:
        sentences.append(f"Its highest point: {place(focus.peak_row_fraction, focus.peak_column_fraction, facts)}.")
    border, chance = focus.border_fraction, focus.border_chance
    if border is not None and chance is not None and border > chance:
        sentences.append(
            f"{percent(border)} of the evidence lies in the outer border ({percent(chance)} by area alone)."
        )
    if focus.padding_fraction:
        sentences.append(
            f"{percent(focus.padding_fraction)} of the evidence fell into padding, outside the radiograph."
        )
    return sentences


def region_sentences(record: CaseRecord, key: str) -> list[str]:
    """How much of the evidence lies in the lungs and at markers, in one or two sentences; or why that is not known."""
    sentences = []
    if record.lungs_missing:
        sentences.append(f"{sentence(record.lungs_missing)}; how much of it lies in them is not known.")
    if record.annotation_missing:
        sentences.append(f"The annotation was not used: {record.annotation_missing}.")
    kinds = {region.name: region.kind for region in record.regions}
    for one in record.region_focus.get(key, ()):
        share, chance = one.relevance_mass_accuracy, one.chance
        if share is None or chance is None:
            continue
        if kinds[one.region] == "annotation":
            where = "inside" if one.pointing_game_hit else "outside"
            sentences.append(
                f"{percent(share)} of it lies in the annotated area ({percent(chance)} by area alone), "
                f"its highest point {where}."
            )
        elif kinds[one.region] == "lungs":
            sentences.append(f"{percent(share)} of the evidence lies in the lungs ({percent(chance)} by area alone).")
        elif kinds[one.region] == "marker" and share >= max(0.01, chance):
            sentences.append(
                f"{percent(share)} of it lies at a marker ({one.region}; {percent(chance)} by area alone)."
            )
    return sentences


def _flags(record: CaseRecord) -> View:
    """What the case is flagged for, each with its reason, and what could not be judged; whole in the record."""
    unjudged = [FLAG_WORDS[name].lower() for name in record.flags_undefined]
    of_part = {name: [one.is_bad_news for one in record.masking if one.removed == name] for name in WITHOUT}
    return {
        "raised": [(FLAG_WORDS[flag.name], sentence(flag.reason)) for flag in record.flags],
        "masking": [WITHOUT[name] for name, bad in of_part.items() if bad and all(bad)],
        "unjudged": ", ".join(unjudged),
    }


# What masking says by both fills of a model that answers without the lungs.
WITHOUT = {
    "lungs": "Without the lungs the predicted class stays the same (page 2).",
    "all but the lungs": "From the lungs alone the predicted class is another (page 2).",
}


def cautions(record: CaseRecord) -> list[str]:
    """Why checks of the input are not passed, then the warnings of reading it that say something else."""
    failed = [check.reason or "" for check in record.quality if check.state == "failed"]
    failed += [record.lungs_missing] if record.lungs_missing else []
    read = record.radiograph.warnings if record.radiograph else ()
    return [sentence(text) for text in (*failed, *(text for text in read if not any(text in one for one in failed)))]


def _fitness(record: CaseRecord) -> View:
    """The cautions, clipped for page 1; whole in the provenance."""
    warnings, not_made = cautions(record), [_name(check) for check in record.quality if check.state == "not_run"]
    num_made = len(record.quality) - len(not_made)
    made = f"{num_made} of {len(record.quality)} checks of the input were made, all passed. " if num_made else ""
    made += f"Not made: {', '.join(not_made)}. " if num_made and not_made else ""
    return {
        "warnings": [clipped(text, 96) for text in warnings[:3]],
        "more": max(0, len(warnings) - 3),
        "none": None if warnings else f"{made}Reading the radiograph raised no warning.",
    }


def _checks(checks: Sequence[Check]) -> Rows:
    """The checks of the input by state: those made with number and limit, the others with the reason why not."""
    rows: Rows = []
    reasons: dict[str | None, list[str]] = {}
    for state, name in (("failed", "Checks not passed"), ("passed", "Checks passed")):
        found = [
            _name(check) + ("" if check.value is None else f" {number(check.value)} ({check.limit})")
            for check in checks
            if check.state == state
        ]
        rows += [(name, ", ".join(found))] if found else []
    for check in checks:
        if check.state == "not_run":
            reasons.setdefault(check.reason, []).append(_name(check))
    if reasons:
        rows.append(
            ("Checks that could not be made", "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items()))
        )
    return rows


def _name(check: Check) -> str:
    return check.name.replace("_", " ")


def _limits(run: RunRecord) -> View:
    card, num_classes = run.model.card, len(run.model.class_names)
    if card is None or not card.limits:
        return {
            "stated": [],
            "whole": [],
            "more": 0,
            "generic": (
                f"The model scores {num_classes} class{'' if num_classes == 1 else 'es'} and nothing else. "
                "Its model card states no limits: population, devices and findings outside its training data "
                "are unknown to this report."
            ),
        }
    texts = card.limits
    is_clipped = len(texts) > 4 or any(len(text) > 112 for text in texts)
    return {
        "stated": [f'"{clipped(text, 112)}"' for text in texts[:4]],
        "whole": [f'"{text}"' for text in texts] if is_clipped else [],
        "more": max(0, len(texts) - 4),
        "generic": None,
    }


def scale_view(run: RunRecord, own: float | None = None) -> View:
    """The colour bar, drawn upwards from 0 to the run's fixed end, or to the first map's own."""
    end = run.scale if own is None else own
    stops = colour_bar_stops()
    view: View = {
        "stops": stops,
        "gradient": ", ".join(stops),
        "ticks": [],
        "end": None,
        "source": None,
        "others": None,
        "is_own": own is not None,
    }
    if end is not None:
        step = next(
            (step for power in range(-3, 4) for one in (1, 2, 5) if end / (step := one * 10.0**power) < 5.5),
            end / 4,
        )
        decimals = 2 if 0.01 <= step < 0.1 else 3 if step < 0.01 else 1
        view["ticks"] = [
            {"text": number(at * step, decimals), "bottom": f"{100 * at * step / end:.1f}"}
            for at in range(int(end / step + 1e-9) + 1)
        ]
        view["end"] = number(end, 2 if end >= 0.01 else 3)
    if run.scale_source:
        view["source"] = sentence(run.scale_source.rstrip("."))
    if len(set(run.scales.values())) > 1:
        view["others"] = "; ".join(
            f"{key.replace('@', ', ')}: 0 to {number(end)}" for key, end in sorted(run.scales.items())
        )
    return view


# ---- page 2


def _metrics(focus: FocusMetrics, facts: RadiographFacts | None) -> list[View]:
    """One row a metric: name, value or None, reason, definition; one for all where none is defined for one reason."""
    words = {
        "threshold": percent(focus.threshold),
        "border_chance": "not known" if focus.border_chance is None else percent(focus.border_chance),
    }
    rows: list[View] = []
    for key, (name, definition) in METRICS.items():
        value, reason = _metric(focus, key, facts)
        rows.append({"name": name, "value": value, "reason": reason, "definition": definition.format(**words)})
    reasons = {row["reason"] for row in rows}
    if len(reasons) == 1 and None not in reasons:  # one row says it for all
        return [{"name": "All", "value": None, "reason": reasons.pop(), "definition": ""}]
    return rows


def _metric(focus: FocusMetrics, key: str, facts: RadiographFacts | None) -> tuple[str | None, str | None]:
    if key in ("centroid", "peak"):
        row = getattr(focus, f"{key}_row_fraction")
        column = getattr(focus, f"{key}_column_fraction")
        if row is None or column is None:
            return None, focus.undefined.get(f"{key}_row_fraction") or focus.undefined.get(f"{key}_column_fraction")
        return f"{percent(row)} down, {percent(column)} across: {place(row, column, facts)}", None
    value = getattr(focus, key)
    if value is None:
        return None, focus.undefined[key]
    if isinstance(value, str):
        return value, None
    formats: dict[str, Callable[[Any], str]] = {
        "entropy": number,
        "gini": number,
        "num_components": str,
        "left_right_balance": signed,
    }
    return formats.get(key, percent)(value), None


def _regions(record: CaseRecord, pictures: Mapping[str, str]) -> View | None:
    """How much of the first map's evidence lies in each region, beside the region's part of the logit; then the parts
    that lie in none. Lungs have the sum of their zones; corners and single lungs stand in case.json only."""
    if not record.maps or not (record.regions or record.budget):
        return None
    parts = (
        {} if record.budget is None else {row["name"]: row for row in _budget(record.budget, _zones(record))["rows"]}
    )
    focus = {one.region: one for one in record.region_focus.get(record.maps[0].key, ())}
    rows: list[View] = []
    for region in record.regions:
        if region.kind in ("lung", "corner"):
            continue
        one, name = focus[region.name], sentence(region.name)
        rows.append(
            {
                "name": name,
                "is_part": region.kind == "zone",
                "area": percent(region.area_fraction),
                "reason": next(iter(one.undefined.values()), None),
                "evidence": percent(one.relevance_mass_accuracy) if one.relevance_mass_accuracy is not None else None,
                "controls": _controls(record.controls.get(region.name, {})),
                "enrichment": number(one.enrichment, 1) if one.enrichment is not None else None,
                "has_peak": {True: "yes", False: "no", None: None}[one.pointing_game_hit],
                "log_odds": parts.pop(name, None),
            }
        )
    for is_total in (False, True):
        rows += [
            {"name": name, "is_part": False, "area": None, "log_odds": row}
            for name, row in parts.items()
            if row["is_total"] == is_total
        ]
    reasons = {row["reason"] for row in rows if row["area"] is not None}
    return {
        "rows": rows,
        "undefined": sentence(reasons.pop()) if len(reasons) == 1 else None,
        "picture": _picture(pictures.get("regions"), _shape(record.radiograph), REGIONS_MM),
        "has_annotation": any(region.kind == "annotation" for region in record.regions),
        "missing": sentence((record.lungs_missing or "").removeprefix("lungs not found: ")),
        "has_log_odds": record.budget is not None,
        "are_sides_stated": record.radiograph is not None and patient_side(record.radiograph, 0) is not None,
    }


def _controls(shares: Mapping[str, float]) -> str | None:
    """What edges, random and centre score, in whole per cent: "24, 25, 38"."""
    scores = [f"{100 * shares[name]:.0f}" if name in shares else DASH for name in ("edges", "random", "centre")]
    return ", ".join(scores) + " %" if shares else None


def _masking(record: CaseRecord) -> View | None:
    """What replacing each part does to the logit, in words; of many markers those that change it most."""
    if not record.masking and not record.masking_missing and not record.exposure:
        return None
    kinds = {region.name: region.kind for region in record.regions}
    of_part: dict[str, list[Masking]] = {}
    for one in record.masking:
        of_part.setdefault(one.removed, []).append(one)
    markers = sorted(
        (name for name in of_part if kinds.get(name) == "marker"),
        key=lambda name: -max(abs(one.change) for one in of_part[name]),
    )
    rows = []
    for name, found in of_part.items():
        if name in markers[MARKERS_IN_WORDS:]:
            continue
        bad = [one.is_bad_news for one in found]
        rows.append(
            {
                "text": f"Replacing {MASKED_WORDS.get(name, name)} {_changes(found)}.",
                "is_bad": bool(bad) and all(bad),
                "note": "with one of the two fills" if any(bad) and not all(bad) else None,
            }
        )
    rest = [abs(one.change) for name in markers[MARKERS_IN_WORDS:] for one in of_part[name]]
    exposure = [f"{n} {_moved(record.exposure[n])}" for n in ("darker", "brighter") if n in record.exposure]
    return {
        "rows": rows,
        "exposure": f"The whole radiograph made {', '.join(exposure)}." if exposure else None,
        "rest": f"{len(markers) - MARKERS_IN_WORDS} more markers change it by {number(max(rest))} or less each."
        if rest
        else None,
        "missing": [
            f"{sentence(name)}: not replaced, {reason.removeprefix('lungs not found: ')}."
            for name, reason in record.masking_missing.items()
        ],
    }


def _changes(found: Sequence[Masking]) -> str:
    """For example "lowers the logit by 2.10 (blurred) or 1.80 (mean)"."""
    verb, *others = (_moved(one.change).rpartition(" by ")[0] for one in found)
    is_one = all(other == verb for other in others)
    said = [
        _moved(one.change).removeprefix(f"{verb} by ") if n and is_one else _moved(one.change)
        for n, one in enumerate(found)
    ]
    return " or ".join(f"{words} ({one.fill})" for words, one in zip(said, found, strict=True))


def _moved(change: float) -> str:
    """For example "lowers the logit by 2.10"."""
    if number(change) == "0.00":
        return "leaves the logit as it is"
    return f"{'lowers' if change < 0 else 'raises'} the logit by {number(abs(change))}"


def _metric_columns(focus: FocusMetrics | None) -> list[str]:
    """The short row of the table of all maps: high focus, band, entropy, border, padding."""
    if focus is None:
        return [DASH] * 5
    keys = ("high_focus_fraction", "focus_band", "entropy", "border_fraction", "padding_fraction")
    return [_metric(focus, key, None)[0] or "undefined" for key in keys]


def _zones(record: CaseRecord) -> list[str]:
    return [region.name for region in record.regions if region.kind == "zone"]


def _trust(record: CaseRecord, run: RunRecord) -> View | None:
    """The trust state of page 1 with up to two reasons, and the table of all checks of page 2."""
    if record.trust is None:
        return None
    shape, word = TRUST_STATES[record.trust.state]
    reasons = record.trust.reasons
    made = [("model", check) for check in run.checks] + [("case", check) for check in record.trust.checks]
    counts = {state: sum(check.state == state for _, check in made) for state in CHECK_STATES}
    return {
        "state": record.trust.state,
        "shape": shape,
        "word": word,
        "reasons": [clipped(sentence(reason), 110) for reason in reasons[:2]],
        "more": max(0, len(reasons) - 2),
        "counts": ", ".join(f"{num} {CHECK_STATES[state][1]}" for state, num in counts.items() if num),
        "rows": [
            {
                "of": of,
                "name": sentence(check.name.replace("_", " ")),
                "what": sentence(check.reason if check.state == "not_run" else check.what),
                "value": None if check.value is None else number(check.value),
                "limit": check.limit,
                "shape": CHECK_STATES[check.state][0],
                "word": CHECK_STATES[check.state][1],
            }
            for of, check in made
        ],
    }


def _budget(budget: LogitBudget, zones: Sequence[str] = ()) -> View:
    """The signed parts as bars around zero."""
    rows = [("Logit", budget.logit, True), *((name, value, False) for name, value in budget.parts)]
    if zones:
        rows.append(("lungs", sum(value for name, value in budget.parts if name in zones), False))
    reach = max(1e-9, *(abs(value) for _, value, _ in rows))
    return {
        "is_exact": budget.is_exact,
        "map": budget.map,
        "rows": [
            {
                "name": sentence(name),
                "value": signed(value),
                "left": f"{50 + min(0.0, 50 * value / reach):.1f}",
                "width": f"{abs(50 * value / reach):.1f}",
                "is_total": is_total,
            }
            for name, value, is_total in rows
        ],
    }


def _debug(prediction: Prediction | None, maps: list[View]) -> View | None:
    """Expected against predicted, where they differ; a class without a map says so."""
    if prediction is None or prediction.is_correct is not False:
        return None
    sides: list[View] = []
    for role, name in (("expected", prediction.expected), ("predicted", prediction.predicted)):
        found = next((one for one in maps if one["_names"][0] == name), None)
        value = prediction.class_scores.get(name or "")
        sides.append(
            {
                "role": role,
                "class": quoted(name),
                "score": None if value is None else score(value),
                "map": found,
            }
        )
    scales = {(side["map"]["method"], side["map"]["layer"]) for side in sides if side["map"]}
    return {"sides": sides, "is_one_scale": len(scales) == 1}
