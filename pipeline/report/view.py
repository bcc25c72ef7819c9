"""CaseRecord, RunRecord -> the plain words and finished numbers that the templates set.

All arithmetic and all rounding happen here; the templates only place text. Scores have two decimals
at most; a class name stands in double quotes; what is undefined keeps its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload
from urllib.parse import quote

from pipeline.records import (
    CaseRecord,
    Check,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    Masking,
    ModelCard,
    Placement,
    Prediction,
    RadiographFacts,
    RunRecord,
)
from pipeline.report.pictures import colour_bar_stops

View = dict[str, Any]
Rows = list[tuple[str, str]]

BANNER = "Model audit - not a diagnosis - not for clinical decisions"
PICTURE_MM = 56.0
MAP_MM = 76.0
SMALL_MAP_MM = 54.0
REGIONS_MM = 44.0
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
MAPS_IN_A_ROW = 3
REGION_COLUMNS = ("Evidence", "Controls", "Ratio", "Peak")
MARKERS_IN_WORDS = 3
MASKED_WORDS = {"lungs": "the lungs", "border": "the border"}

STATUS_WORDS = {"ok": "audited", "excluded": "excluded", "failed": "failed"}

STOPPED_WORDS = {
    "excluded": "This case was excluded; no output of the model is given for it.",
    "failed": "This case failed; the model gave no output for it.",
}

# status -> (shape, words, what it means)
MAP_STATES = {
    "ok": ("circle", "Map computed", "The map has positive evidence and finite values."),
    "dead": ("square", "Map is empty", "No cell of the map has positive evidence. Nothing is drawn."),
    "negative_only": (
        "triangle",
        "Evidence against only",
        "Every cell of the map argues against this class. Nothing is drawn.",
    ),
    "saturated": (
        "triangle",
        "Gradient saturated",
        "The last activation has lost the gradient; the map may be smaller than it should be.",
    ),
    "not_finite": ("square", "Map not usable", "The map holds values that are not finite. Nothing is drawn."),
}

TRUST_WORDS = {
    "passed": "passed",
    "caution": "caution",
    "not_interpretable": "not interpretable",
    "none": "not checked",
}
TRUST_STATES = {
    "passed": ("circle", "Explanation checks passed"),
    "caution": ("triangle", "Explanation checks: caution"),
    "not_interpretable": ("square", "Explanation not interpretable"),
}
CHECK_STATES = {
    "passed": ("circle", "passed"),
    "failed": ("square", "failed"),
    "not_run": ("triangle", "not run"),
}

UNIT_WORDS = {"logit": "log-odds per cell", "logit, positive gradients only": "log-odds per cell, positive gradients"}

FLAG_WORDS = {
    "outside_lungs": "Evidence outside the lungs",
    "marker": "A marker counts",
    "border": "The border counts",
    "exposure": "The exposure counts",
    "diffuse": "Diffuse map",
    "near_threshold": "Near the threshold",
    "low_contrast_input": "Low contrast",
    "out_of_population": "Outside the model's population",
}

# metric -> (name, definition)
METRICS = {
    "high_focus_fraction": ("High-focus area", "Where the map reaches {threshold} of its maximum: the contour."),
    "focus_band": ("Focus band", "Focal below 30 % of the area, regional to 70 %, then diffuse."),
    "centroid": ("Centre of the evidence", "Mean position of the positive evidence."),
    "peak": ("Highest point", "Position of the map's maximum."),
    "entropy": ("Spread (entropy)", "0 = all evidence in one cell, 1 = the same everywhere."),
    "gini": ("Concentration (Gini)", "0 = the same everywhere, nearly 1 = all evidence in one cell."),
    "num_components": ("Separate areas", "How many areas the contour encloses."),
    "left_right_balance": ("Left and right", "\N{MINUS SIGN}1 = all in the image's left half, +1 = all in its right."),
    "border_fraction": ("Evidence in the border", "Share in the outer 5 % ring. By area alone: {border_chance}."),
    "padding_fraction": ("Evidence in padding", "Share outside the radiograph, in padding added for the model."),
}


def case_view(record: CaseRecord, run: RunRecord, pictures: Mapping[str, str]) -> View:
    """Everything that `case.html.j2` prints. `pictures` maps the roles that exist to their URL."""
    facts, prediction = record.radiograph, record.prediction
    maps = [_map(record, one, pictures) for one in record.maps]
    scale = _scale(run, record.scales.get(record.maps[0].key) if record.maps else None)
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
        "run": _run(run),
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
        "scale": scale,
        "bar": _bar(scale, maps[0]["picture"]) if maps else None,
        "flags": _flags(record),
        "fitness": _fitness(record),
        "checks": _checks(record.quality),
        "limits": _limits(run),
        "card": _card(run.model.card),
        "hashes": _hashes(record, run),
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items())),
        "provenance": _groups(record, run),
        "decisions": _decisions(record),
        "warnings": _cautions(record),
    }


def index_view(records: Sequence[CaseRecord], run: RunRecord) -> View:
    """Everything that `index.html.j2` prints; links are relative to the run folder."""
    has_documents = bool(run.config.get("report", {}).get("documents", True))
    cases = [_index_row(record, has_documents) for record in records]
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    correct = [r.prediction.is_correct for r in records if r.prediction and r.prediction.is_correct is not None]
    return {
        "banner": BANNER,
        "run": _run(run),
        "scale": _scale(run),
        "unit": next((_unit(record.maps[0]) for record in records if record.maps), None),
        "cases": cases,
        "num_cases": len(cases),
        "counts": [(STATUS_WORDS[status], counts.get(status, 0)) for status in ("ok", "excluded", "failed")],
        "agreement": f"{sum(correct)} of {len(correct)}" if correct else None,
        "statuses": sorted({case["status"] for case in cases}),
        "labels": sorted({case["label"] for case in cases if case["label"]}),
        "predicted": sorted({case["predicted"] for case in cases if case["predicted"]}),
        "flags": sorted({name for case in cases for name in case["flags"].split()}),
    }


# ---- words and numbers


def quoted(name: str | None) -> str | None:
    return None if name is None else f'"{name}"'


@overload
def sentence(text: str) -> str: ...
@overload
def sentence(text: None) -> None: ...
def sentence(text: str | None) -> str | None:
    """The text with a capital first letter; a first word that looks like a name (a.dcm, dtype_x) stays."""
    first = (text or "").split(" ", 1)[0].rstrip(".,:;")
    return text[:1].upper() + text[1:] if text and first.isalpha() and first.islower() else text


def number(value: float, decimals: int = 2) -> str:
    """Fixed decimals with a true minus sign; never "-0.00"."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Two decimals with either sign; 0.00 has none."""
    return ("+" if round(value, 2) > 0 else "") + number(value)


def score(probability: float) -> str:
    """A probability in two decimals; neither 0.00 nor 1.00 unless it is exactly that."""
    if 0 < probability < 0.005:
        return "<0.01"
    if 0.995 <= probability < 1:
        return ">0.99"
    return number(probability)


def percent(fraction: float) -> str:
    if 0 < fraction < 0.005:
        return "<1 %"
    return f"{100 * fraction:.0f} %"


def place(row_fraction: float, column_fraction: float, facts: RadiographFacts | None) -> str:
    """Thirds in words; the side of the patient only where the file states the orientation."""
    rows = ("upper", "middle", "lower")[min(2, int(3 * max(0.0, row_fraction)))]
    third = min(2, int(3 * max(0.0, column_fraction)))
    columns = ("left", "centre", "right")[third]
    side = _patient_side(facts, third)
    return f"{rows} third, image {columns}" + (f" (patient's {side})" if side else "")


def utc(timestamp: str | None) -> str | None:
    """An ISO 8601 time as "2026-11-22 02:25 UTC"."""
    return None if timestamp is None else f"{_moment(timestamp):%Y-%m-%d %H:%M} UTC"


def w3c(timestamp: str) -> str:
    """An ISO 8601 time as PDF metadata wants it."""
    return f"{_moment(timestamp):%Y-%m-%dT%H:%M:%SZ}"


def _moment(timestamp: str) -> datetime:
    moment = datetime.fromisoformat(timestamp)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _patient_side(facts: RadiographFacts | None, third: int) -> str | None:
    """PS3.3 C.7.6.1.1.1: the first value of Patient Orientation is where the rows run to."""
    if facts is None or facts.patient_orientation is None or third == 1:
        return None
    towards = facts.patient_orientation[0][:1].upper()
    if towards not in ("L", "R"):
        return None
    left_is = {"L": "right", "R": "left"}[towards]
    right_is = {"L": "left", "R": "right"}[towards]
    return left_is if third == 0 else right_is


def _times(rows: float, columns: float, decimals: int = 0) -> str:
    return f"{number(rows, decimals)} {TIMES} {number(columns, decimals)}"


def _hash(value: str | None) -> str | None:
    """The first 12 hexadecimal digits, for the eye; the whole hash stands in the provenance."""
    return None if value is None else value[:12]


# ---- page 1


def _run(run: RunRecord) -> View:
    return {
        "name": run.name,
        "started": utc(run.started),
        "created": w3c(run.started),
        "finished": utc(run.finished),
        "status": run.status,
        "model": run.model.name,
        "model_hash": _hash(run.model.sha256),
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
    }


def _facts(facts: RadiographFacts | None, placement: Placement | None) -> Rows:
    """What stands beside the pictures."""
    rows: Rows = []
    if facts:
        rows += [
            ("View", facts.view_position or "not stated"),
            ("Side", _side(facts)),
            ("Radiograph", f"{_times(facts.rows, facts.columns)} px"),
            ("Pixel spacing", _spacing(facts)),
        ]
    if placement:
        rows.append(("Model input", f"{_times(placement.input_rows, placement.input_columns)} px"))
    return rows


def _side(facts: RadiographFacts) -> str:
    side = _patient_side(facts, 0)
    return f"image left is the patient's {side}" if side else "not stated by the file"


def _spacing(facts: RadiographFacts) -> str:
    if facts.pixel_spacing_mm is None:
        return "not known"
    return f"{_times(*facts.pixel_spacing_mm, decimals=3)} mm"


def _prediction(prediction: Prediction) -> View:
    output, source = score(prediction.probability), _clipped(prediction.threshold_source, 80)
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
        "unit": _unit(facts),
        "notes": _notes(facts),
        "status": facts.status,
        "shape": shape,
        "word": word,
        "meaning": meaning,
        "grid": f"{_times(facts.grid_rows, facts.grid_columns)} cells",
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


def _unit(facts: MapFacts) -> str:
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
    words = [f"{_times(rows, columns)} px of the model input"]
    rows, columns = rows / placement.scale_rows, columns / placement.scale_columns
    words.append(f"{_times(rows, columns)} px of the radiograph")
    if radiograph and radiograph.pixel_spacing_mm:
        row_mm, column_mm = radiograph.pixel_spacing_mm
        words.append(f"{_times(rows * row_mm, columns * column_mm)} mm")
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


def _cautions(record: CaseRecord) -> list[str]:
    """Why checks of the input are not passed, then the warnings of reading it that say something else."""
    failed = [check.reason or "" for check in record.quality if check.state == "failed"]
    failed += [record.lungs_missing] if record.lungs_missing else []
    read = record.radiograph.warnings if record.radiograph else ()
    return [sentence(text) for text in (*failed, *(text for text in read if not any(text in one for one in failed)))]


def _fitness(record: CaseRecord) -> View:
    """The cautions, clipped for page 1; whole in the provenance."""
    cautions, not_made = _cautions(record), [_name(check) for check in record.quality if check.state == "not_run"]
    num_made = len(record.quality) - len(not_made)
    made = f"{num_made} of {len(record.quality)} checks of the input were made, all passed. " if num_made else ""
    made += f"Not made: {', '.join(not_made)}. " if num_made and not_made else ""
    return {
        "warnings": [_clipped(text, 96) for text in cautions[:3]],
        "more": max(0, len(cautions) - 3),
        "none": None if cautions else f"{made}Reading the radiograph raised no warning.",
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
        "stated": [f'"{_clipped(text, 112)}"' for text in texts[:4]],
        "whole": [f'"{text}"' for text in texts] if is_clipped else [],
        "more": max(0, len(texts) - 4),
        "generic": None,
    }


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _scale(run: RunRecord, own: float | None = None) -> View:
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
            {"text": number(at * step, decimals), "level": at * step / end} for at in range(int(end / step + 1e-9) + 1)
        ]
        view["end"] = number(end, 2 if end >= 0.01 else 3)
    if run.scale_source:
        view["source"] = sentence(run.scale_source.rstrip("."))
    if len(set(run.scales.values())) > 1:
        view["others"] = "; ".join(
            f"{key.replace('@', ', ')}: 0 to {number(end)}" for key, end in sorted(run.scales.items())
        )
    return view


def _bar(scale: View, picture: View | None) -> View | None:
    """Where the colour bar stands beside the first map, and its ticks: lines of text as high as a tick lies above the
    one before, the last with its middle at the bar's lower end."""
    if picture is None or not scale["ticks"]:
        return None
    height = min(56.0, max(36.0, float(picture["height_mm"]) - 6))
    steps = len(scale["ticks"]) - 1
    pitch = height * scale["ticks"][-1]["level"] / max(1, steps)
    return {
        "left_mm": f"{float(picture['width_mm']) + 2.4:.2f}",
        "height_mm": f"{height:.2f}",
        "pitch_mm": f"{pitch:.2f}",
        "above_mm": f"{-pitch * (steps + 0.5):.2f}",
        "below_mm": f"{-pitch / 2:.2f}",
    }


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
                "Evidence": percent(one.relevance_mass_accuracy) if one.relevance_mass_accuracy is not None else None,
                "Controls": _controls(record.controls.get(region.name, {})),
                "Ratio": number(one.enrichment, 1) if one.enrichment is not None else None,
                "Peak": "yes" if one.pointing_game_hit else None,
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
    undefined = sentence(reasons.pop()) if len(reasons) == 1 else None
    return {
        "rows": rows,
        "columns": [name for name in REGION_COLUMNS if not undefined and any(row.get(name) for row in rows)],
        "undefined": undefined,
        "picture": _picture(pictures.get("regions"), _shape(record.radiograph), REGIONS_MM),
        "has_annotation": any(region.kind == "annotation" for region in record.regions),
        "missing": sentence((record.lungs_missing or "").removeprefix("lungs not found: ")),
        "has_log_odds": record.budget is not None,
        "are_sides_stated": record.radiograph is not None and _patient_side(record.radiograph, 0) is not None,
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


def _found_by(record: CaseRecord) -> Rows:
    """How the regions that are no definition were found."""
    rows = []
    for region in record.regions:
        if region.kind in ("lungs", "outside_body", "marker", "annotation"):
            certainty = "" if region.confidence is None else f" ({number(region.confidence)})"
            rows.append((sentence(region.name), region.found_by + certainty))
    return rows


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
        "reasons": [_clipped(sentence(reason), 110) for reason in reasons[:2]],
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
                "is_passed": check.state == "passed",
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


# ---- page 3


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
            ("Size", f"{_times(facts.rows, facts.columns)} px"),
            ("Pixel spacing", _spacing(facts)),
            ("Orientation", orientation),
        ]
        groups.append({"title": "Source", "rows": rows})
    if record.placement:
        groups.append({"title": "Placement in the model input", "rows": _placement(record.placement)})
    if facts and facts.attributes:
        groups.append({"title": "DICOM attributes used", "rows": sorted(facts.attributes.items())})
    return groups


def _groups(record: CaseRecord, run: RunRecord) -> list[View]:
    """What page 3 says of radiograph, model and run, as titled rows of (name, value)."""
    groups = _case_groups(record) + _run_groups(run, record.schema_version)
    found = _found_by(record)
    return groups + ([{"title": "How regions were found", "rows": found}] if found else [])


def _run_groups(run: RunRecord, schema_version: int) -> list[View]:
    model = run.model
    model_rows = [
        ("Name", model.name),
        ("Input", f" {TIMES} ".join(map(str, model.input_shape)) + " (rows, columns, channels)"),
        ("Target layer", f"{model.target_layer}, {_times(*model.grid)} cells"),
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
        measured.setdefault(of, []).append(f"{one.what} {number(one.value)}{_interval(one.interval_95)}")
    stated = [("Intended use", f'"{card.intended_use}"'), ("Population", f'"{card.population}"')]
    return stated + [(of, "; ".join(figures)) for of, figures in measured.items()]


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({number(interval[0])} to {number(interval[1])})"


def _placement(placement: Placement) -> Rows:
    size = _times(placement.radiograph_rows, placement.radiograph_columns)
    return [
        ("Radiograph to input", f"{size} px to {_times(placement.input_rows, placement.input_columns)} px"),
        ("Scale", f"{placement.scale_rows:.5f} rows, {placement.scale_columns:.5f} columns"),
        ("Offset", f"{placement.offset_rows} rows, {placement.offset_columns} columns (positive = padding)"),
    ]


def _decisions(record: CaseRecord) -> list[View]:
    steps = {
        "Decisions of ingestion": record.radiograph.decisions if record.radiograph else (),
        "Decisions of preprocessing": record.preprocessing,
    }
    return [
        {"title": title, "rows": [{"what": sentence(d.what), "how": d.how, "why": d.why} for d in made]}
        for title, made in steps.items()
        if made
    ]


# ---- index


def _index_row(record: CaseRecord, has_documents: bool) -> View:
    prediction, folder = record.prediction, f"cases/{quote(record.case_id, safe='')}"
    key = record.maps[0].key if record.maps else ""
    radiograph = record.pictures.get("radiograph")
    thumbnail = record.pictures.get(key) or radiograph
    focus = record.focus.get(key)
    is_correct = prediction.is_correct if prediction else None
    return {
        "case_id": record.case_id,
        "status": STATUS_WORDS[record.status],
        "reason": sentence(record.reason) or "",
        "label": record.label or (prediction.expected if prediction else None) or "",
        "predicted": prediction.predicted if prediction else "",
        "agrees": {True: "same", False: "differs", None: ""}[is_correct],
        "score": score(prediction.probability) if prediction else "",
        "score_key": f"{prediction.probability:.6f}" if prediction else "-1",
        "target": prediction.target_class if prediction else "",
        "map": MAP_STATES[record.maps[0].status][1] if record.maps else "",
        "high_focus": percent(focus.high_focus_fraction) if focus and focus.high_focus_fraction is not None else "",
        "high_focus_key": f"{focus.high_focus_fraction:.6f}"
        if focus and focus.high_focus_fraction is not None
        else "-1",
        "band": (focus.focus_band or "") if focus else "",
        "radiograph": f"{folder}/{quote(radiograph)}" if radiograph else None,
        "thumbnail": f"{folder}/{quote(thumbnail)}" if thumbnail else None,
        "pdf": f"{folder}/report.pdf" if has_documents else None,
        "json": f"{folder}/case.json",
        "num_warnings": len(_cautions(record)),
        "flags": " ".join(flag.name for flag in record.flags),
    }
