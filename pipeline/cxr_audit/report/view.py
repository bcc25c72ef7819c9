"""CaseRecord, RunRecord -> the plain words and finished numbers that `case.html.j2` sets; page 3 is `provenance`.

All arithmetic and all rounding happen here; the templates only place text. What is undefined keeps its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxr_audit.glossary import FLAG_WORDS, check_name
from cxr_audit.records import (
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
    RegionFocus,
    RunRecord,
    Validation,
)
from cxr_audit.report.language import N_, _, current, in_line, joined, plural, said
from cxr_audit.report.pictures import colour_bar_stops
from cxr_audit.report.provenance import provenance
from cxr_audit.report.words import (
    BANNER,
    CHECK_STATES,
    DASH,
    IMAGE_LEFT,
    MAP_STATES,
    MASKED_WORDS,
    METRICS,
    REACHED,
    STOPPED_WORDS,
    TRUST_STATES,
    UNIT_WORDS,
    Rows,
    View,
    calibrated_before,
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
from cxr_audit.vocabulary import Text

PICTURE_MM = 56.0
MAP_MM = 76.0
SMALL_MAP_MM = 54.0
REGIONS_MM = 44.0
BAR_MM = 14.0
MAPS_IN_A_ROW = 3
METHODS, LAYERS, CLASSES = SHEETS = (
    N_("Methods"),
    N_("Layers, from shallow to deep"),
    N_("Classes"),
)
MARKERS_IN_WORDS = 2


def case_view(record: CaseRecord, run: RunRecord, pictures: Mapping[str, str]) -> View:
    """Everything that `case.html.j2` prints. `pictures` maps the roles that exist to their URL."""
    facts, prediction = record.radiograph, record.prediction
    maps = [_map(record, one, pictures) for one in record.maps]
    scale = scale_view(run, record.scales.get(record.maps[0].key) if record.maps else None)
    debug = _debug(prediction, maps)
    shown = [side["map"]["key"] for side in debug["sides"] if side["map"]] if debug else []
    others = [one for one in maps if one["small"] and one["key"] not in shown]
    return {
        "language": current().code,
        "banner": _(BANNER),
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "title": _("Model audit of case {case_id}", case_id=record.case_id),
        "case_id": record.case_id,
        "status": record.status,
        "stopped": _(STOPPED_WORDS[record.status]) if record.status in STOPPED_WORDS else None,
        "is_long": len(record.case_id) > 40,
        "label": quoted(record.label),
        "reason": sentence(said(record.reason)),
        "error": record.error,
        "hint": sentence(said(record.hint)),
        "run": run_facts(run),
        "radiograph": _picture(pictures.get("radiograph"), _shape(facts), PICTURE_MM),
        "model_input": _picture(
            pictures.get("model_input"), _input_shape(record.placement), PICTURE_MM
        ),
        "facts": _facts(facts, record.placement),
        "prediction": None if prediction is None else _prediction(prediction, run.model.card),
        "maps": maps,
        "primary": maps[0] if maps else None,
        "trust": _trust(record, run),
        "sheets": _sheets(others, maps),
        "budget": record.budget,
        "debug": debug,
        "regions": _regions(record, pictures),
        "masking": _masking(record),
        "scale": scale,
        "bar": _bar(scale, maps[0]["picture"]) if maps else None,
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
    }


def _facts(facts: RadiographFacts | None, placement: Placement | None) -> Rows:
    """What stands beside the pictures."""
    rows: Rows = []
    if facts:
        rows += [
            (_("View"), facts.view_position or _("not stated")),
            (_("Side"), _side(facts)),
            (_("Radiograph"), f"{times(facts.rows, facts.columns)} px"),
            (_("Pixel spacing"), spacing(facts)),
        ]
    if placement:
        rows.append(
            (_("Model input"), f"{times(placement.input_rows, placement.input_columns)} px")
        )
    return rows


def _validated(prediction: Prediction, validation: Validation | None) -> str | None:
    """What such an output meant in validation cases, where the model card counts them for this class."""
    if validation is None or validation.class_name != prediction.target_class:
        return None
    output = prediction.probability
    found = next(
        (one for one in validation.bins if one.low <= output < one.high or output == one.high == 1),
        None,
    )
    if found is None:
        return _(
            "In {data}, no case with such an output was counted.", data=quoted(validation.data)
        )
    low, high = found.interval_95
    return plural(
        "In {data}, {num} case had an output from {low} to {high}, of which {labelled} ({share}; 95 % interval "
        "{least} to {most}) have the label {target}.",
        "In {data}, {num} cases had an output from {low} to {high}, of which {labelled} ({share}; 95 % interval "
        "{least} to {most}) have the label {target}.",
        found.num_cases,
        data=quoted(validation.data),
        low=number(found.low),
        high=number(found.high),
        labelled=found.num_labelled,
        share=percent(found.num_labelled / found.num_cases),
        least=percent(low),
        most=percent(high),
        target=quoted(validation.class_name),
    )


def _side(facts: RadiographFacts) -> str:
    side = patient_side(facts, 0)
    return _(IMAGE_LEFT[side]) if side else _("not stated by the file")


def _prediction(prediction: Prediction, card: ModelCard | None) -> View:
    values = {"target": quoted(prediction.target_class), "output": score(prediction.probability)}
    source = clipped(said(prediction.threshold_source), 80)
    if prediction.threshold is None:
        words = _("Model output for {target}: {output}.", **values)
        reached = _("No threshold applies: {source}", source=source)
    else:
        texts = REACHED[_reached(prediction.probability, prediction.threshold)]
        values |= {"threshold": score(prediction.threshold), "source": source}
        words, reached = (_(text, **values) for text in texts)
    return {
        "sentence": words,
        "reached": reached,
        "validated": _validated(prediction, card.validation if card else None),
        "predicted": quoted(prediction.predicted),
        "expected": quoted(prediction.expected),
        "is_correct": prediction.is_correct,
        "target": quoted(prediction.target_class),
        "scalar": said(prediction.scalar),
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
                        (_("predicted"), prediction.predicted),
                        (_("expected"), prediction.expected),
                        (_("explained"), prediction.target_class),
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
    """Where the output lies, see `REACHED`."""
    if probability == threshold:
        return "at"
    just = "just " if score(probability) == score(threshold) else ""
    return f"{just}{'above' if probability > threshold else 'below'}"


def _map(record: CaseRecord, facts: MapFacts, pictures: Mapping[str, str]) -> View:
    shape, word, meaning = MAP_STATES[facts.status]
    focus = record.focus.get(facts.key)
    picture_shape, is_faint = _shape(record.radiograph), facts.key in record.faint
    return {
        "key": facts.key,
        "method": facts.method,
        "layer": facts.layer,
        "class": _(
            "{name} against {other}", name=quoted(facts.class_name), other=quoted(facts.against)
        )
        if facts.against
        else quoted(facts.class_name),
        "unit": unit(facts),
        "notes": _notes(facts),
        "status": facts.status,
        "shape": shape,
        "word": _(word),
        "word_in_line": in_line(_(word)),
        "meaning": _(meaning),
        "grid": _("{size} cells", size=times(facts.grid_rows, facts.grid_columns)),
        "cell": _cell(facts, record.placement, record.radiograph),
        "picture": _picture(pictures.get(facts.key), picture_shape, MAP_MM),
        "small": _picture(pictures.get(facts.key), picture_shape, SMALL_MAP_MM),
        "focus": []
        if focus is None
        else [
            joined(" ", sentences)
            for sentences in (
                focus_sentences(focus, record.radiograph, is_faint),
                region_sentences(record, facts.key),
            )
            if sentences
        ],
        "metrics": [] if focus is None else _metrics(focus, record.radiograph),
        "columns": _metric_columns(focus),
        "is_drawn": facts.status in ("ok", "saturated"),
        "is_faint": is_faint,
        "threshold": _("half")
        if focus is None or focus.threshold == 0.5
        else percent(focus.threshold),
        "_facts": facts,
    }


def unit(facts: MapFacts) -> str:
    return _(UNIT_WORDS.get(facts.unit, facts.unit))


def _notes(facts: MapFacts) -> list[str]:
    """What a reader must know of this map beside its status."""
    notes = []
    if facts.is_class_blind:
        notes.append(_("Class-blind: it would be the same map for any class."))
    if facts.how:
        notes.append(joined("", (sentence(said(facts.how)), ".")))
    return notes


def _sheets(shown: list[View], maps: list[View]) -> list[View]:
    """Maps side by side under a title: methods, layers from shallow to deep, classes. The first map, which stands
    on page 1, is shown again at its place in a comparison."""
    first = maps[0]["_facts"] if maps else None
    kinds: dict[str, list[View]] = {title: [] for title in SHEETS}
    for one in shown:
        facts = one["_facts"]
        is_subject = first is not None and (facts.class_name, facts.against) == (
            first.class_name,
            first.against,
        )
        kind = CLASSES if not is_subject else LAYERS if "@" in facts.key else METHODS
        kinds[kind].append(one)
    methods = kinds[METHODS]
    for kind, sheet in kinds.items():
        target = next(
            (one for one in methods if sheet and one["method"] == sheet[0]["method"]), None
        )
        if target is not None and kind != METHODS:
            sheet.insert(len(sheet) if kind == LAYERS else 0, target)
    # A sheet of methods with nothing to compare repeats page 1.
    if len(methods) == 1:
        methods.clear()
    return [
        {
            "title": _(title),
            "rows": [sheet[i : i + MAPS_IN_A_ROW] for i in range(0, len(sheet), MAPS_IN_A_ROW)],
        }
        for title, sheet in kinds.items()
        if sheet
    ]


def _cell(
    facts: MapFacts, placement: Placement | None, radiograph: RadiographFacts | None
) -> str | None:
    """The true size of one cell of the map: model input, radiograph, and mm where the spacing is known."""
    if placement is None:
        return None
    rows, columns = (
        placement.input_rows / facts.grid_rows,
        placement.input_columns / facts.grid_columns,
    )
    words = [_("{size} px of the model input", size=times(rows, columns))]
    rows, columns = rows / placement.scale_rows, columns / placement.scale_columns
    words.append(_("{size} px of the radiograph", size=times(rows, columns)))
    if radiograph and radiograph.pixel_spacing_mm:
        row_mm, column_mm = radiograph.pixel_spacing_mm
        words.append(f"{times(rows * row_mm, columns * column_mm)} mm")
    return " = ".join(words)


def focus_sentences(
    focus: FocusMetrics, facts: RadiographFacts | None, is_faint: bool = False
) -> list[str]:
    """One to three plain sentences for the clinician."""
    if focus.high_focus_fraction is None:
        reason = str(focus.undefined["high_focus_fraction"]).rstrip(".")
        return [_("No focus region: {reason}.", reason=said(reason))]
    band = f" ({said(focus.focus_band)})" if focus.focus_band else ""
    share = percent(focus.high_focus_fraction)
    words = (
        N_(
            "The evidence is faint: no contour is drawn around the {share} of the radiograph where it is highest{band}."
        )
        if is_faint
        else N_("The contour encloses {share} of the radiograph{band}.")
    )
    sentences = [_(words, share=share, band=band)]
    if focus.centroid_row_fraction is not None and focus.centroid_column_fraction is not None:
        where = place(focus.centroid_row_fraction, focus.centroid_column_fraction, facts)
        sentences.append(_("The evidence is centred in the {place}.", place=where))
    if focus.peak_row_fraction is not None and focus.peak_column_fraction is not None:
        where = place(focus.peak_row_fraction, focus.peak_column_fraction, facts)
        sentences.append(_("Its highest point: {place}.", place=where))
    border, chance = focus.border_fraction, focus.border_chance
    if border is not None and chance is not None and border > chance:
        words = _(
            "{share} of the evidence lies in the outer border ({chance} by area alone).",
            share=percent(border),
            chance=percent(chance),
        )
        sentences.append(words)
    if focus.padding_fraction:
        share = percent(focus.padding_fraction)
        sentences.append(
            _("{share} of the evidence fell into padding, outside the radiograph.", share=share)
        )
    return sentences


def region_sentences(record: CaseRecord, key: str) -> list[str]:
    """How much of the evidence lies in the lungs and at markers, in one or two sentences; or why that is not known."""
    sentences = []
    kinds = {region.name: region.kind for region in record.regions}
    focus = record.region_focus.get(key, ())
    peak = [one.region for one in focus if one.pointing_game_hit and kinds[one.region] in AT_PEAK]
    peak.sort(key=lambda name: kinds[name] == "marker")
    if peak:
        sentences.append(
            _(
                "The highest point lies in or beside: {regions}.",
                regions=joined(", ", map(said, peak[:4])),
            )
        )
    if record.lungs_missing:
        reason = sentence(said(record.lungs_missing))
        sentences.append(_("{reason}; how much of it lies in them is not known.", reason=reason))
    if record.annotation_missing:
        sentences.append(
            _("The annotation was not used: {reason}.", reason=said(record.annotation_missing))
        )
    markers = [one for one in focus if kinds[one.region] == "marker" and _is_at_marker(one)]
    markers.sort(key=lambda one: -(one.relevance_mass_accuracy or 0))
    for one in focus:
        share, chance = one.relevance_mass_accuracy, one.chance
        if share is None or chance is None:
            continue
        values = {"share": percent(share), "chance": percent(chance), "region": said(one.region)}
        if kinds[one.region] == "annotation":
            sentences.append(_(IN_ANNOTATION[bool(one.pointing_game_hit)], **values))
        elif kinds[one.region] == "lungs":
            sentences.append(
                _("{share} of the evidence lies in the lungs ({chance} by area alone).", **values)
            )
        elif one in markers[:MARKERS_IN_WORDS]:
            sentences.append(
                _("{share} of it lies at a marker ({region}; {chance} by area alone).", **values)
            )
    if num := len(markers[MARKERS_IN_WORDS:]):
        sentences.append(
            plural(
                "Evidence also lies at {num} more marker.",
                "Evidence also lies at {num} more markers.",
                num,
            )
        )
    return sentences


def _is_at_marker(one: RegionFocus) -> bool:
    share, chance = one.relevance_mass_accuracy, one.chance
    return share is not None and chance is not None and share >= max(0.01, chance)


# Regions that are named where the map's maximum lies: the lungs by their zones.
AT_PEAK = ("zone", "mediastinum", "outside_body", "border", "marker", "elsewhere")

# Is the map's maximum in it?
IN_ANNOTATION = {
    True: N_(
        "{share} of it lies in the annotated area ({chance} by area alone), its highest point inside."
    ),
    False: N_(
        "{share} of it lies in the annotated area ({chance} by area alone), its highest point outside."
    ),
}


def _flags(record: CaseRecord) -> View:
    """What the case is flagged for, each with its reason, and what could not be judged; whole in the record."""
    unjudged = [in_line(_(FLAG_WORDS[name])) for name in record.flags_undefined]
    of_part = {
        name: [one.is_bad_news for one in record.masking if one.removed == name] for name in WITHOUT
    }
    return {
        "raised": [
            (_(FLAG_WORDS[flag.name]), sentence(said(flag.reason))) for flag in record.flags
        ],
        "masking": [_(WITHOUT[name]) for name, bad in of_part.items() if bad and all(bad)],
        "unjudged": ", ".join(unjudged),
        "why_not": [
            (_(FLAG_WORDS[name]), said(reason)) for name, reason in record.flags_undefined.items()
        ],
    }


# What masking says by both fills of a model that answers without the lungs.
WITHOUT = {
    "lungs": N_("Without the lungs the predicted class stays the same."),
    "all but the lungs": N_("From the lungs alone the predicted class is another."),
}


def cautions(record: CaseRecord) -> list[str]:
    """Why checks of the input are not passed, then the warnings of reading it that say something else."""
    failed = [check.reason or "" for check in record.quality if check.state == "failed"]
    failed += [record.lungs_missing] if record.lungs_missing else []
    read = record.radiograph.warnings if record.radiograph else ()
    return [
        sentence(said(text))
        for text in (
            *failed,
            *(text for text in read if not any(str(text) in str(one) for one in failed)),
        )
    ]


def _fitness(record: CaseRecord) -> View:
    """The cautions, clipped for page 1; whole in the provenance."""
    warnings, not_made = (
        cautions(record),
        [_name(check) for check in record.quality if check.state == "not_run"],
    )
    num, num_made = len(record.quality), len(record.quality) - len(not_made)
    words = [
        _("{made} of {num} checks of the input were made, all passed.", made=num_made, num=num)
    ] * (num_made > 0)
    words += [_("Not made: {names}.", names=", ".join(not_made))] * bool(num_made and not_made)
    words.append(_("Reading the radiograph raised no warning."))
    return {
        "warnings": [clipped(text, 96) for text in warnings[:3]],
        "more": max(0, len(warnings) - 3),
        "none": None if warnings else " ".join(words),
    }


def _checks(checks: Sequence[Check]) -> Rows:
    """The checks of the input by state: those made with number and limit, the others with the reason why not."""
    rows: Rows = []
    reasons: dict[Text, list[str]] = {}
    for state, name in (("failed", _("Checks not passed")), ("passed", _("Checks passed"))):
        found = [_made(check) for check in checks if check.state == state]
        rows += [(name, joined(", ", found))] if found else []
    for check in checks:
        if check.state == "not_run":
            reasons.setdefault(check.reason or DASH, []).append(_name(check))
    if reasons:
        words = [
            joined("", (", ".join(names), " (", said(why), ")")) for why, names in reasons.items()
        ]
        rows.append((_("Checks that could not be made"), joined(", ", words)))
    return rows


def _made(check: Check) -> str:
    """For example "contrast 0.61 (at least 0.15)"."""
    if check.value is None:
        return _name(check)
    return joined("", (_name(check), f" {_measured(check)} (", said(check.limit) or DASH, ")"))


# check of the input that is no share -> decimals and unit of its value
MEASURED_IN = {"rotation": (1, "\N{DEGREE SIGN}"), "burned_in_annotation": (0, "")}


def _measured(check: Check) -> str:
    decimals, unit = MEASURED_IN.get(check.name, (2, ""))
    return number(check.value or 0.0, decimals) + unit


def _name(check: Check) -> str:
    return said(check_name(check.name))


def _limits(run: RunRecord) -> View:
    card = run.model.card
    if card is None or not card.limits:
        return {
            "stated": [],
            "whole": [],
            "more": 0,
            "generic": " ".join(
                (
                    plural(
                        "The model scores {num} class and nothing else.",
                        "The model scores {num} classes and nothing else.",
                        len(run.model.class_names),
                    ),
                    _(
                        "Its model card states no limits: population, devices and findings outside its training data "
                        "are unknown to this report."
                    ),
                )
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
    view: View = {
        "gradient": ", ".join(colour_bar_stops()),
        "ticks": [],
        "end": None,
        "source": None,
        "others": None,
        "is_own": own is not None,
    }
    if end is not None:
        step = next(
            (
                step
                for power in range(-3, 4)
                for one in (1, 2, 5)
                if end / (step := one * 10.0**power) < 5.5
            ),
            end / 4,
        )
        decimals = 2 if 0.01 <= step < 0.1 else 3 if step < 0.01 else 1
        view["ticks"] = [
            {"text": number(at * step, decimals), "level": at * step / end}
            for at in range(int(end / step + 1e-9) + 1)
        ]
        view["end"] = number(end, 2 if end >= 0.01 else 3)
    if run.scale_source:
        before = calibrated_before(run) if run.scale is not None else []
        view["source"] = sentence(joined("; ", (said(str(run.scale_source).rstrip(".")), *before)))
    if len(set(run.scales.values())) > 1:
        view["others"] = "; ".join(
            _("{map}: 0 to {end}", map=key.replace("@", ", "), end=number(end))
            for key, end in sorted(run.scales.items())
        )
    return view


def _bar(scale: View, picture: View | None) -> View | None:
    """Where the colour bar stands beside the first map, and its ticks: lines of text, one a tick, as high as the ticks
    lie apart; the last has its middle at the bar's lower end."""
    if picture is None or not scale["ticks"]:
        return None
    height, steps = min(56.0, max(36.0, float(picture["height_mm"]) - 6)), len(scale["ticks"]) - 1
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
        "border_chance": _("not known")
        if focus.border_chance is None
        else percent(focus.border_chance),
    }
    rows: list[View] = []
    for key, (name, definition) in METRICS.items():
        value, reason = _metric(focus, key, facts)
        rows.append(
            {
                "name": _(name),
                "value": value,
                "reason": reason,
                "definition": _(definition, **words),
            }
        )
    reasons = {row["reason"] for row in rows}
    if len(reasons) == 1 and None not in reasons:  # one row says it for all
        return [{"name": _("All"), "value": None, "reason": reasons.pop(), "definition": ""}]
    return rows


def _metric(
    focus: FocusMetrics, key: str, facts: RadiographFacts | None
) -> tuple[str | None, str | None]:
    if key in ("centroid", "peak"):
        row = getattr(focus, f"{key}_row_fraction")
        column = getattr(focus, f"{key}_column_fraction")
        if row is None or column is None:
            reason = focus.undefined.get(f"{key}_row_fraction") or focus.undefined.get(
                f"{key}_column_fraction"
            )
            return None, said(reason)
        values = {
            "row": percent(row),
            "column": percent(column),
            "place": place(row, column, facts),
        }
        return _("{row} down, {column} across: {place}", **values), None
    value = getattr(focus, key)
    if value is None:
        return None, said(focus.undefined[key])
    if isinstance(value, str):
        return said(value), None
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
    focus = {one.region: one for one in record.region_focus.get(record.maps[0].key, ())}
    kinds = {region.kind for region in record.regions}
    markers = [region.name for region in record.regions if region.kind == "marker"]
    rest = sorted(markers, key=lambda name: -(focus[name].relevance_mass_accuracy or 0))[
        MARKERS_IN_WORDS:
    ]
    rest = rest if record.budget else []
    parts = (
        {}
        if record.budget is None
        else {row["name"]: row for row in _budget(record.budget, _zones(record), rest)}
    )
    rows: list[View] = []
    for region in record.regions:
        if region.kind in ("lung", "corner") or region.name in rest:
            continue
        one, name = focus[region.name], sentence(said(region.name))
        rows.append(
            {
                "name": name,
                "is_part": region.kind == "zone",
                "area": percent(region.area_fraction),
                "reason": said(next(iter(one.undefined.values()), None)),
                "evidence": _evidence(
                    one.relevance_mass_accuracy, record.controls.get(region.name, {})
                ),
                "enrichment": number(one.enrichment, 1) if one.enrichment is not None else None,
                "log_odds": parts.pop(name, None),
            }
        )
    for is_total in (False, True):
        rows += [
            {"name": name, "is_part": False, "area": None, "reason": None, "log_odds": row}
            for name, row in parts.items()
            if row["is_total"] == is_total
        ]
    reasons = {row["reason"] for row in rows if row["area"] is not None}
    undefined = reasons.pop() if len(reasons) == 1 else None
    columns = {"evidence": _("Evidence (controls)"), "enrichment": _("Ratio")}
    return {
        "rows": rows,
        "columns": [
            (key, name)
            for key, name in columns.items()
            if not undefined and any(one.get(key) for one in rows)
        ],
        "undefined": undefined,
        "legend": ", ".join(_(words) for kind, words in OUTLINED.items() if kind in kinds),
        "picture": _picture(pictures.get("regions"), _shape(record.radiograph), REGIONS_MM),
        "missing": sentence(
            said(str(record.lungs_missing or "").removeprefix("lungs not found: "))
        ),
        "has_log_odds": record.budget is not None,
        "are_sides_stated": record.radiograph is not None
        and patient_side(record.radiograph, 0) is not None,
    }


# kind -> how it is drawn into the picture of the regions
OUTLINED = {
    "lungs": N_("lungs and their zones outlined"),
    "marker": N_("markers framed"),
    "annotation": N_("the annotation dotted"),
}


def _evidence(share: float | None, controls: Mapping[str, float]) -> str | None:
    """The share and, where they were made, those of edges, random and centre: "43 % (22 %, 21 %, 37 %)"."""
    if share is None:
        return None
    scores = [
        percent(controls[name]) if name in controls else DASH
        for name in ("edges", "random", "centre")
    ]
    return f"{percent(share)} ({', '.join(scores)})" if controls else percent(share)


def _masking(record: CaseRecord) -> View | None:
    """What replacing each part does to the logit, in words; of many markers those that change it most."""
    if not (record.masking or record.masking_missing or record.exposure or record.as_usual):
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
                "text": sentence(
                    _("Replacing {part} {changes}.", part=_masked(name), changes=_changes(found))
                ),
                "is_bad": bool(bad) and all(bad),
                "note": _("True with one of the two fills only: not marked.")
                if any(bad) and not all(bad)
                else None,
            }
        )
    rest = [abs(one.change) for name in markers[MARKERS_IN_WORDS:] for one in of_part[name]]
    tried = {_("darker"): "darker", _("brighter"): "brighter"}
    exposure = [
        f"{word} {_changed(record.exposure[n])}"
        for word, n in tried.items()
        if n in record.exposure
    ]
    num_rest = len(markers) - MARKERS_IN_WORDS
    most = sorted(
        (name for name in record.as_usual if name != "border"),
        key=lambda name: -abs(record.as_usual[name]),
    )
    named = [name for name in ("border", *most[:MARKERS_IN_WORDS]) if name in record.as_usual]
    usual = [f"{_masked(name)} {_changed(record.as_usual[name])}" for name in named]
    return {
        "rows": rows,
        "as_usual": _("Replaced by the run's mean radiograph: {changes}.", changes=", ".join(usual))
        if usual
        else None,
        "exposure": _("The whole radiograph made {changes}.", changes=", ".join(exposure))
        if exposure
        else None,
        "rest": plural(
            "{num} more marker changes it by {most}.",
            "{num} more markers change it by {most} or less each.",
            num_rest,
            most=number(max(rest)),
        )
        if rest
        else None,
        "missing": [
            _(
                "{part}: not replaced, {reason}.",
                part=sentence(said(name)),
                reason=said(str(reason).removeprefix("lungs not found: ")),
            )
            for name, reason in record.masking_missing.items()
        ],
    }


def _masked(name: str) -> str:
    return _(MASKED_WORDS[name]) if name in MASKED_WORDS else said(name)


def _changes(found: Sequence[Masking]) -> str:
    """For example "lowers the logit by 2.10 (blurred) or 1.80 (mean)"."""
    moves = [_move(one.change) for one in found]
    if set(moves) == {UNMOVED}:
        return _(UNMOVED)
    is_one = len(set(moves)) == 1
    words = [
        f"{number(abs(one.change)) if n and is_one else _changed(one.change)} ({said(one.fill)})"
        for n, one in enumerate(found)
    ]
    return f" {_('or')} ".join(words)


def _changed(change: float) -> str:
    """For example "lowers the logit by 2.10"."""
    return _(_move(change), size=number(abs(change)))


def _move(change: float) -> str:
    if round(change, 2) == 0:
        return UNMOVED
    return N_("lowers the logit by {size}") if change < 0 else N_("raises the logit by {size}")


UNMOVED = N_("leaves the logit as it is")


def _metric_columns(focus: FocusMetrics | None) -> list[str]:
    """The short row of the table of all maps: high focus, band, entropy, border, padding."""
    if focus is None:
        return [DASH] * 5
    keys = ("high_focus_fraction", "focus_band", "entropy", "border_fraction", "padding_fraction")
    return [_metric(focus, key, None)[0] or _("undefined") for key in keys]


def _zones(record: CaseRecord) -> list[str]:
    return [region.name for region in record.regions if region.kind == "zone"]


def _trust(record: CaseRecord, run: RunRecord) -> View | None:
    """The trust state of page 1 with up to two reasons, and the table of all checks of page 2."""
    if record.trust is None:
        return None
    shape, word = TRUST_STATES[record.trust.state]
    reasons = record.trust.reasons
    made = [(_("model"), check) for check in run.checks] + [
        (_("case"), check) for check in record.trust.checks
    ]
    counts = {state: sum(check.state == state for _of, check in made) for state in CHECK_STATES}
    return {
        "state": record.trust.state,
        "shape": shape,
        "word": _(word),
        "reasons": [clipped(sentence(said(reason)), 110) for reason in reasons[:2]],
        "more": max(0, len(reasons) - 2),
        "counts": ", ".join(
            f"{num} {_(CHECK_STATES[state])}" for state, num in counts.items() if num
        ),
        "rows": [
            {
                "of": of,
                "name": sentence(_name(check)),
                "what": said(check.reason if check.state == "not_run" else check.what),
                "value": None if check.value is None else _small(check.value),
                "limit": said(check.limit),
                "word": _(CHECK_STATES[check.state]),
                "is_failed": check.state == "failed",
            }
            for of, check in made
        ],
    }


def _small(value: float) -> str:
    """Two decimals; four of what these do not show."""
    return number(value, 4 if 0 < abs(value) < 0.005 else 2)


def _budget(budget: LogitBudget, zones: Sequence[str], rest: Sequence[str] = ()) -> list[View]:
    """The signed parts as bars around zero; those of the `rest` of the markers as one."""
    rows = [(_("Logit"), budget.logit, True)]
    rows += [(said(name), value, False) for name, value in budget.parts if name not in rest]
    if rest:
        more = plural("{num} more marker", "{num} more markers", len(rest))
        rows.append((more, sum(value for name, value in budget.parts if name in rest), False))
    if zones:
        rows.append(
            (said("lungs"), sum(value for name, value in budget.parts if name in zones), False)
        )
    reach = max(1e-9, *(abs(value) for _name, value, _is_total in rows))
    return [
        {
            "name": sentence(name),
            "value": signed(value),
            "is_against": value < 0,
            "width_mm": f"{BAR_MM * abs(value) / reach:.1f}",
            "is_total": is_total,
        }
        for name, value, is_total in rows
    ]


def _debug(prediction: Prediction | None, maps: list[View]) -> View | None:
    """Expected against predicted, where they differ; a class without a map says so."""
    if prediction is None or prediction.is_correct is not False:
        return None
    sides: list[View] = []
    for role, name in (
        (_("Expected"), prediction.expected),
        (_("Predicted"), prediction.predicted),
    ):
        found = next((one for one in maps if one["_facts"].class_name == name), None)
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
