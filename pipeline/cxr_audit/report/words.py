"""Values of records -> the words and digits that the documents print.

One table a kind, used by every document; one function a kind of number. Scores have two decimals at
most; a class name stands in double quotes. Names of metrics, checks, flags and regions: `names`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

from cxr_audit.records import RadiographFacts, RunRecord
from cxr_audit.report.language import N_, AsRecorded, _, grouped, joined, time
from cxr_audit.report.language import decimals as fixed

View = dict[str, Any]
Rows = list[tuple[str, str]]

BANNER = N_("Model audit - not a diagnosis - not for clinical decisions")
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"

ROWS = (N_("upper third"), N_("middle third"), N_("lower third"))
COLUMNS = (N_("image left"), N_("image centre"), N_("image right"))
SIDES = {"left": N_("patient's left"), "right": N_("patient's right")}

STATUSES = {"ok": N_("audited"), "excluded": N_("excluded"), "failed": N_("failed (error)")}
OUTCOMES = {
    "true_positive": N_("True positive"),
    "false_positive": N_("False positive"),
    "true_negative": N_("True negative"),
    "false_negative": N_("False negative"),
    "no_label": N_("No label"),
}

# what a reader answers after the model's output was seen
AGREEMENTS = {
    "agree": N_("agree"),
    "disagree": N_("disagree"),
    "cannot_say": N_("cannot say"),
}
LOCATIONS = {"plausible": N_("plausible"), "not_plausible": N_("not plausible")}

# status of a map -> (shape, words, what it means)
MAP_STATES = {
    "ok": ("circle", N_("Map computed"), N_("The map shows positive evidence.")),
    "dead": ("square", N_("Map is empty"), N_("The map is zero everywhere. Nothing is drawn.")),
    "negative_only": (
        "triangle",
        N_("No evidence for this class"),
        N_("The whole map is evidence against this class. Nothing is drawn."),
    ),
    "saturated": (
        "triangle",
        N_("Gradient saturated"),
        N_("The gradient of the output is nearly zero; the map may be too small."),
    ),
    "not_finite": (
        "square",
        N_("Map not usable"),
        N_("The map holds values that are not finite. Nothing is drawn."),
    ),
}
DRAWN = ("ok", "saturated")

TRUST_STATES = {
    "passed": ("circle", N_("Explanation checks: passed")),
    "caution": ("triangle", N_("Explanation checks: caution")),
    "not_interpretable": ("square", N_("Explanation not interpretable")),
}
TRUST_WORDS = {
    "passed": N_("passed"),
    "caution": N_("caution"),
    "not_interpretable": N_("not interpretable"),
    "none": N_("not checked"),
}
CHECK_STATES = {
    "passed": N_("passed"),
    "failed": N_("failed"),
    "undecided": N_("undecided"),
    "not_run": N_("not run"),
}

UNITS = {
    "logit": N_("log-odds per cell"),
    "logit, positive gradients only": N_("log-odds per cell, positive gradients"),
    "relative": N_("relative units"),
}


def counted(value: int | None) -> str:
    """A count, or that it is not known."""
    return _("not known") if value is None else grouped(value)


def unit_words(unit: str) -> str:
    """The unit of a map's cells in words."""
    return _(UNITS[unit]) if unit in UNITS else unit


@overload
def quoted(name: str) -> str: ...
@overload
def quoted(name: None) -> None: ...
def quoted(name: str | None) -> str | None:
    """A name that is not ours in quotation marks."""
    return None if name is None else f'"{name}"'


@overload
def sentence(text: str) -> str: ...
@overload
def sentence(text: None) -> None: ...
def sentence(text: str | None) -> str | None:
    """The text with a capital first letter.

    A first word that looks like a name (a.dcm, dtype_x) stays.
    """
    first = (text or "").split(" ", 1)[0].rstrip(".,:;")
    if not text or not first.isalpha() or not first.islower():
        return text
    capital = text[:1].upper() + text[1:]
    if not isinstance(text, AsRecorded):
        return capital
    # Mixed text keeps its marks.
    return AsRecorded(capital, None if text.html == AsRecorded(text).html else text.html)


def stopped_short(text: str) -> str:
    """A text without the full stop at its end."""
    short = text.rstrip(". ")
    return AsRecorded(short) if isinstance(text, AsRecorded) else short


def full_stop(text: str) -> str:
    """A text as a sentence of its own; one that was clipped ends with its dots."""
    words = sentence(stopped_short(text))
    return words if words.endswith("…") else joined("", (words, "."))


def number(value: float, decimals: int = 2) -> str:
    """Fixed decimals with a true minus sign; never "-0.00"."""
    return fixed(value, decimals).replace("-", "\N{MINUS SIGN}")


def signed(value: float, decimals: int = 2) -> str:
    """Fixed decimals with either sign; 0.00 has none."""
    return ("+" if round(value, decimals) > 0 else "") + number(value, decimals)


def score(probability: float, decimals: int = 2) -> str:
    """A probability; neither 0.00 nor 1.00 unless it is exactly that."""
    return _of_whole(probability, 1, decimals)


def percent(fraction: float, decimals: int = 0) -> str:
    """Per cent; neither 0 % nor 100 % unless it is exactly that."""
    return _("{num} %", num=_of_whole(100 * fraction, 100, decimals))


def _of_whole(value: float, whole: int, decimals: int) -> str:
    last = 10.0**-decimals
    if 0 < value <= last / 2:
        return f"<{number(last, decimals)}"
    if whole - last / 2 <= value < whole:
        return f">{number(whole - last, decimals)}"
    return number(value, decimals)


def calibrated_before(run: RunRecord) -> list[str]:
    """In words, where a run went on with other cases than when its scale and checks were made."""
    known = run.calibration.num_cases
    if known in (None, run.cases.num_cases):
        return []
    return [
        _(
            "made when the run had {known} cases, not {num}",
            known=grouped(known),
            num=grouped(run.cases.num_cases),
        )
    ]


def in_brackets(interval: tuple[float, float] | None) -> str:
    """A 95 % interval of scores, to stand behind its value; nothing where there is none."""
    if interval is None:
        return ""
    low, high = interval
    return " " + _("({low} to {high})", low=score(low), high=score(high))


def place(position: tuple[float, float], facts: RadiographFacts) -> str:
    """A position in thirds, in words; the patient's side only where the file states it."""
    row, column = (min(2, int(3 * max(0.0, fraction))) for fraction in position)
    words = f"{_(ROWS[row])}, {_(COLUMNS[column])}"
    side = patient_side(facts, column)
    return f"{words} ({_(SIDES[side])})" if side else words


def patient_side(facts: RadiographFacts, third: int) -> str | None:
    """The patient's side in a third of the image's width.

    None in the middle, and where the file does not state the orientation.
    """
    sides = {"right": ("right", None, "left"), "left": ("left", None, "right")}
    return sides[facts.image_left][third] if facts.image_left else None


def utc(timestamp: str) -> str:
    """An ISO 8601 time as "2026-11-22 02:25 UTC"."""
    return time(_moment(timestamp))


def w3c(timestamp: str) -> str:
    """An ISO 8601 time as PDF metadata wants it."""
    return f"{_moment(timestamp):%Y-%m-%dT%H:%M:%SZ}"


def _moment(timestamp: str) -> datetime:
    moment = datetime.fromisoformat(timestamp)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def times(rows: float, columns: float, decimals: int = 0) -> str:
    """For example "16 x 16", with a true sign and no line break."""
    space = "\N{NO-BREAK SPACE}"
    return f"{number(rows, decimals)}{space}{TIMES}{space}{number(columns, decimals)}"


def short_hash(value: str) -> str:
    """The first 12 hexadecimal digits, for the eye; the whole hash stands in the provenance."""
    return value[:12]


def clipped(text: str, longest: int) -> str:
    """At most so many characters, cut behind a clause or a word where that leaves most of them."""
    if len(text) <= longest:
        return text
    short = text[: longest - 1]
    clauses = [short.rpartition(end)[0] for end in (", ", "; ", ". ")]
    whole_words = short.rpartition(" ")[0].rstrip(" ,;:.")
    for candidate in (max(clauses, key=len), whole_words):
        if len(candidate) > longest // 2:
            short = candidate
            break
    short = short.rstrip() + "…"
    return AsRecorded(short) if isinstance(text, AsRecorded) else short


def spacing(facts: RadiographFacts) -> str:
    """The size of a pixel."""
    if facts.pixel_spacing_mm is None:
        return _("not known")
    rows, columns = facts.pixel_spacing_mm
    return f"{times(rows, columns, decimals=3)} mm"
