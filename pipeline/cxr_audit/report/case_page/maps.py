"""All maps of a case: the table, the pictures side by side, expected class against predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cxr_audit.records import AuditedCase, MapRecord, RadiographFacts
from cxr_audit.report.case_page.layout import Picture
from cxr_audit.report.language import N_, _, in_line, said
from cxr_audit.report.names import method_name, metric_text, title
from cxr_audit.report.words import (
    DRAWN,
    MAP_STATES,
    View,
    full_stop,
    quoted,
    score,
    times,
    unit_words,
)
from cxr_audit.vocabulary import MAP_METRICS

SMALL_MM = 54.0
MAPS_IN_A_ROW = 3
METHODS_SHEET, LAYERS_SHEET, CLASSES_SHEET = SHEETS = (
    N_("Methods"),
    N_("Layers, from shallow to deep"),
    N_("Classes"),
)
IN_TABLE = ("high_focus_fraction", "focus_band", "entropy", "border_fraction", "padding_fraction")


@dataclass(frozen=True, slots=True)
class MapView:
    """One map in words.

    Parameters
    ----------
    key : of the record.
    method, layer, grid, unit : what it is.
    class_name : the class it is for, in quotation marks.
    state : its status in words.
    notes : what a reader must know of it beside that.
    picture : small; None where there is none.
    columns : its row in the table of maps.
    """

    key: str
    method: str
    layer: str
    grid: str
    unit: str
    class_name: str
    state: str
    is_drawn: bool
    is_faint: bool
    notes: tuple[str, ...]
    picture: Picture | None
    columns: tuple[str, ...]
    record: MapRecord

    @property
    def state_in_line(self) -> str:
        return in_line(self.state)


def map_views(case: AuditedCase, pictures: Mapping[str, str]) -> list[MapView]:
    """All maps, in the order of the record."""
    return [_map_view(drawn, case.radiograph, pictures) for drawn in case.maps]


def _map_view(
    drawn: MapRecord, radiograph: RadiographFacts, pictures: Mapping[str, str]
) -> MapView:
    facts = drawn.facts
    _shape, state, _meaning = MAP_STATES[facts.status]
    picture = None
    if drawn.key in pictures:
        shape = radiograph.rows, radiograph.columns
        picture = Picture.within(pictures[drawn.key], shape, SMALL_MM, SMALL_MM)
    name = quoted(facts.class_name)
    if facts.against:
        name = _("{name} against {other}", name=name, other=quoted(facts.against))
    return MapView(
        key=drawn.key,
        method=method_name(facts.method),
        layer=facts.layer,
        grid=_("{size} cells", size=times(facts.grid_rows, facts.grid_columns)),
        unit=unit_words(facts.unit),
        class_name=name,
        state=_(state),
        is_drawn=facts.status in DRAWN,
        is_faint=drawn.is_faint,
        notes=_notes(drawn),
        picture=picture,
        columns=_columns(drawn, radiograph),
        record=drawn,
    )


def _notes(drawn: MapRecord) -> tuple[str, ...]:
    notes = []
    if drawn.facts.is_class_blind:
        notes.append(_("Class-blind: the map is the same for every class."))
    if drawn.facts.how:
        notes.append(full_stop(said(drawn.facts.how)))
    if drawn.is_faint:
        notes.append(_("No contour: the map stays below a quarter of the colour scale."))
    return tuple(notes)


def table_heads() -> list[str]:
    """The metrics that the table of maps has columns for."""
    return [title(MAP_METRICS[key]) for key in IN_TABLE]


def _columns(drawn: MapRecord, radiograph: RadiographFacts) -> tuple[str, ...]:
    texts = []
    for key in IN_TABLE:
        value, _reason = metric_text(MAP_METRICS[key], drawn.metrics, radiograph)
        texts.append(value or _("undefined"))
    return tuple(texts)


def sheets(case: AuditedCase, views: list[MapView]) -> list[View]:
    """Maps side by side under a title: methods, layers from shallow to deep, classes.

    The first map is shown again at its place in a comparison.
    """
    compared = expected_and_predicted(case, views)
    shown = [side["map"].key for side in compared["sides"] if side["map"]] if compared else []
    by_sheet: dict[str, list[MapView]] = {name: [] for name in SHEETS}
    for view in views:
        if view.picture and view.key not in shown:
            by_sheet[_sheet_of(view, views[0])].append(view)
    methods = by_sheet[METHODS_SHEET]
    for name in (LAYERS_SHEET, CLASSES_SHEET):
        sheet = by_sheet[name]
        same = [view for view in methods if sheet and view.method == sheet[0].method]
        if same:
            sheet.insert(len(sheet) if name == LAYERS_SHEET else 0, same[0])
    # A sheet of methods with nothing to compare repeats page 1.
    if len(methods) == 1:
        methods.clear()
    return [
        {"title": _(name), "rows": _in_rows(sheet)} for name, sheet in by_sheet.items() if sheet
    ]


def _sheet_of(view: MapView, first: MapView) -> str:
    facts, subject = view.record.facts, first.record.facts
    if (facts.class_name, facts.against) != (subject.class_name, subject.against):
        return CLASSES_SHEET
    return LAYERS_SHEET if "@" in facts.key else METHODS_SHEET


def _in_rows(views: list[MapView]) -> list[list[MapView]]:
    return [views[n : n + MAPS_IN_A_ROW] for n in range(0, len(views), MAPS_IN_A_ROW)]


def expected_and_predicted(case: AuditedCase, views: list[MapView]) -> View | None:
    """The reference class against the predicted one, where they differ."""
    prediction = case.prediction
    if prediction.is_correct is not False:
        return None
    sides: list[View] = []
    roles = (
        (_("Reference label"), prediction.expected),
        (_("Predicted"), prediction.predicted),
    )
    for role, name in roles:
        view = next((view for view in views if view.record.facts.class_name == name), None)
        value = prediction.class_scores.get(name or "")
        sides.append(
            {
                "role": role,
                "class_name": quoted(name),
                "score": None if value is None else score(value),
                "map": view,
            }
        )
    scales = {(side["map"].method, side["map"].layer) for side in sides if side["map"]}
    return {"sides": sides, "is_one_scale": len(scales) == 1}
