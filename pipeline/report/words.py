"""Names and numbers of the records -> the words and digits that the documents print.

One table a kind, used by every document; one function a kind of number. Scores have two decimals at most; a class
name stands in double quotes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

from pipeline.records import RadiographFacts

View = dict[str, Any]
Rows = list[tuple[str, str]]

BANNER = "Model audit - not a diagnosis - not for clinical decisions"
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
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


def score(probability: float, decimals: int = 2) -> str:
    """A probability in two decimals; neither 0.00 nor 1.00 unless it is exactly that."""
    last = 10.0**-decimals
    if 0 < probability < last / 2:
        return f"<{last:.{decimals}f}"
    if 1 - last / 2 <= probability < 1:
        return f">{1 - last:.{decimals}f}"
    return number(probability, decimals)


def percent(fraction: float) -> str:
    if 0 < fraction < 0.005:
        return "<1 %"
    return f"{100 * fraction:.0f} %"


def in_brackets(interval: tuple[float, float] | None) -> str:
    """A 95 % interval of scores, to stand behind its value; nothing where there is none."""
    return "" if interval is None else f" ({score(interval[0])} to {score(interval[1])})"


def place(row_fraction: float, column_fraction: float, facts: RadiographFacts | None) -> str:
    """Thirds in words; the side of the patient only where the file states the orientation."""
    rows = ("upper", "middle", "lower")[min(2, int(3 * max(0.0, row_fraction)))]
    third = min(2, int(3 * max(0.0, column_fraction)))
    columns = ("left", "centre", "right")[third]
    side = patient_side(facts, third)
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


def patient_side(facts: RadiographFacts | None, third: int) -> str | None:
    """PS3.3 C.7.6.1.1.1: the first value of Patient Orientation is where the rows run to."""
    if facts is None or facts.patient_orientation is None or third == 1:
        return None
    towards = facts.patient_orientation[0][:1].upper()
    if towards not in ("L", "R"):
        return None
    left_is = {"L": "right", "R": "left"}[towards]
    right_is = {"L": "left", "R": "right"}[towards]
    return left_is if third == 0 else right_is


def times(rows: float, columns: float, decimals: int = 0) -> str:
    return f"{number(rows, decimals)} {TIMES} {number(columns, decimals)}"


def short_hash(value: str | None) -> str | None:
    """The first 12 hexadecimal digits, for the eye; the whole hash stands in the provenance."""
    return None if value is None else value[:12]


def clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def spacing(facts: RadiographFacts) -> str:
    if facts.pixel_spacing_mm is None:
        return "not known"
    return f"{times(*facts.pixel_spacing_mm, decimals=3)} mm"
