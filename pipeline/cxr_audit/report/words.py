"""Names and numbers of the records -> the words and digits that the documents print.

One table a kind, used by every document; one function a kind of number. Scores have two decimals at most; a class
name stands in double quotes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, overload

from cxr_audit.records import RadiographFacts, RunRecord
from cxr_audit.report.language import N_, AsRecorded, _, grouped, time
from cxr_audit.report.language import decimals as fixed

View = dict[str, Any]
Rows = list[tuple[str, str]]

BANNER = N_("Model audit - not a diagnosis - not for clinical decisions")
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
MASKED_WORDS = {"lungs": N_("the lungs"), "border": N_("the border")}

ROWS = (N_("upper third"), N_("middle third"), N_("lower third"))
COLUMNS = (N_("image left"), N_("image centre"), N_("image right"))
SIDES = {"left": N_("patient's left"), "right": N_("patient's right")}

IMAGE_LEFT = {
    "left": N_("image left is the patient's left"),
    "right": N_("image left is the patient's right"),
}

STATUS_WORDS = {"ok": "audited", "excluded": "excluded", "failed": "failed"}

STOPPED_WORDS = {
    "excluded": N_("This case was excluded; no output of the model is given for it."),
    "failed": N_("This case failed; the model gave no output for it."),
}

# Where the output lies -> a heading with the threshold, and a sentence with where that is from. "Just", where two
# decimals cannot tell.
_FAR = N_("Model output for {target}: {output}; threshold {threshold}.")
REACHED = {
    "above": (_FAR, N_("The output is above the threshold ({source})")),
    "below": (_FAR, N_("The output is below the threshold ({source})")),
    "just above": (
        N_("Model output for {target}: {output}, just above the threshold of {threshold}."),
        N_("The output is just above the threshold ({source}): both are printed as {output}"),
    ),
    "just below": (
        N_("Model output for {target}: {output}, just below the threshold of {threshold}."),
        N_("The output is just below the threshold ({source}): both are printed as {output}"),
    ),
    "at": (
        N_("Model output for {target}: {output}, at the threshold of {threshold}."),
        N_("The output is at the threshold ({source}): both are printed as {output}"),
    ),
}

# status -> (shape, words, what it means)
MAP_STATES = {
    "ok": ("circle", N_("Map computed"), N_("The map has positive evidence and finite values.")),
    "dead": (
        "square",
        N_("Map is empty"),
        N_("No cell of the map has positive evidence. Nothing is drawn."),
    ),
    "negative_only": (
        "triangle",
        N_("Evidence against only"),
        N_("Every cell of the map argues against this class. Nothing is drawn."),
    ),
    "saturated": (
        "triangle",
        N_("Gradient saturated"),
        N_("The last activation has lost the gradient; the map may be smaller than it should be."),
    ),
    "not_finite": (
        "square",
        N_("Map not usable"),
        N_("The map holds values that are not finite. Nothing is drawn."),
    ),
}

TRUST_WORDS = {
    "passed": "passed",
    "caution": "caution",
    "not_interpretable": "not interpretable",
    "none": "not checked",
}
TRUST_STATES = {
    "passed": ("circle", N_("Explanation checks passed")),
    "caution": ("triangle", N_("Explanation checks: caution")),
    "not_interpretable": ("square", N_("Explanation not interpretable")),
}
CHECK_STATES = {"passed": N_("passed"), "failed": N_("failed"), "not_run": N_("not run")}

UNIT_WORDS = {
    "logit": N_("log-odds per cell"),
    "logit, positive gradients only": N_("log-odds per cell, positive gradients"),
}

# metric -> (name, definition)
METRICS = {
    "high_focus_fraction": (
        N_("High-focus area"),
        N_("where the map reaches {threshold} of its maximum"),
    ),
    "focus_band": (
        N_("Focus band"),
        N_("focal below 30 % of the area, regional to 70 %, then diffuse"),
    ),
    "centroid": (
        N_("Centre of the evidence"),
        N_("mean position of the positive evidence, from the upper left corner"),
    ),
    "peak": (N_("Highest point"), N_("position of the map's maximum, from the upper left corner")),
    "entropy": (
        N_("Spread (entropy)"),
        N_("0 = all evidence in one cell, 1 = the same everywhere"),
    ),
    "gini": (
        N_("Concentration (Gini)"),
        N_("0 = the same everywhere, nearly 1 = all evidence in one cell"),
    ),
    "num_components": (N_("Separate areas"), N_("areas of high focus")),
    "left_right_balance": (
        N_("Left and right"),
        N_("\N{MINUS SIGN}1 = all in the image's left half, +1 = all in its right"),
    ),
    "border_fraction": (
        N_("Evidence in the border"),
        N_("share in the outer 5 % ring; by area alone {border_chance}"),
    ),
    "padding_fraction": (
        N_("Evidence in padding"),
        N_("share outside the radiograph, in padding added for the model"),
    ),
}

# What records name by one word or put together from parts: `messages` cannot read it from the rooms.
RECORDED = (
    *(
        N_("right lung"),
        N_("left lung"),
        N_("lungs"),
        N_("mediastinum"),
        N_("outside the body"),
        N_("border"),
    ),
    *(N_("right upper zone"), N_("right middle zone"), N_("right lower zone")),
    *(N_("left upper zone"), N_("left middle zone"), N_("left lower zone")),
    *(
        N_("letter {}"),
        N_("text {}"),
        N_("foreign object {}"),
        N_("letter"),
        N_("text"),
        N_("foreign object"),
    ),
    *(N_("annotation"), N_("marker"), N_("all but the lungs")),
    *(N_("elsewhere"), N_("bias"), N_("logit of the baseline"), N_("not accounted for")),
    *(N_("focal"), N_("regional"), N_("diffuse")),
    *(N_("blurred"), N_("mean"), N_("black")),
    *(
        N_("not blank"),
        N_("contrast"),
        N_("clipping"),
        N_("collimation"),
        N_("inversion"),
        N_("rotation"),
        N_("crop"),
    ),
    *(N_("frontal chest"), N_("view"), N_("age"), N_("annotation burned in"), N_("image type")),
    *(N_("duplicate UID"), N_("duplicate pixels")),
    *(
        N_("randomisation"),
        N_("deletion"),
        N_("insertion"),
        N_("ROAD"),
        N_("stability"),
        N_("worst stability"),
    ),
    *(N_("agreement"), N_("completeness")),
    *(
        N_("{}, centre first: {}"),
        N_("above {}"),
        N_("above {} of {}"),
        N_("above {}, 2 standard errors of {}"),
    ),
    *(N_("at least {} of {}"), N_("none"), N_("pixels"), N_("{} or {}"), N_("{} and {}")),
    *(N_("right"), N_("left"), N_("upper"), N_("lower")),
    *(N_("model card"), N_("config"), N_("default, not validated")),
    N_("largest Youden index on the validation split, patients kept apart by file name"),
    N_("operating point of {} in torchxrayvision {}"),
    N_("lowest rank correlation with another method: {}"),
    N_("global average pooling and one dense layer, read in closed form"),
    *(
        N_("{}, affine, by gradient through the head"),
        N_("{}, not affine, by gradient through the head"),
    ),
)


def quoted(name: str | None) -> str | None:
    return None if name is None else f'"{name}"'


@overload
def sentence(text: str) -> str: ...
@overload
def sentence(text: None) -> None: ...
def sentence(text: str | None) -> str | None:
    """The text with a capital first letter; a first word that looks like a name (a.dcm, dtype_x) stays."""
    first = (text or "").split(" ", 1)[0].rstrip(".,:;")
    if not text or not first.isalpha() or not first.islower():
        return text
    capital = text[:1].upper() + text[1:]
    if not isinstance(text, AsRecorded):
        return capital
    return AsRecorded(
        capital, None if text.html == AsRecorded(text).html else text.html
    )  # mixed text keeps its marks


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
    """In words, where a run went on with other cases than it had when its scale and the model's checks were made."""
    known = run.calibrated_cases
    if known in (None, run.num_cases):
        return []
    return [
        _(
            "from when the run had {known} cases, not {num}",
            known=grouped(known),
            num=grouped(run.num_cases),
        )
    ]


def in_brackets(interval: tuple[float, float] | None) -> str:
    """A 95 % interval of scores, to stand behind its value; nothing where there is none."""
    return (
        ""
        if interval is None
        else _(" ({low} to {high})", low=score(interval[0]), high=score(interval[1]))
    )


def place(row_fraction: float, column_fraction: float, facts: RadiographFacts | None) -> str:
    """Thirds in words; the side of the patient only where the file states the orientation."""
    third = min(2, int(3 * max(0.0, column_fraction)))
    words = f"{_(ROWS[min(2, int(3 * max(0.0, row_fraction)))])}, {_(COLUMNS[third])}"
    side = patient_side(facts, third)
    return f"{words} ({_(SIDES[side])})" if side else words


def utc(timestamp: str | None) -> str | None:
    """An ISO 8601 time as "2026-11-22 02:25 UTC"."""
    return None if timestamp is None else time(_moment(timestamp))


def w3c(timestamp: str) -> str:
    """An ISO 8601 time as PDF metadata wants it."""
    return f"{_moment(timestamp):%Y-%m-%dT%H:%M:%SZ}"


def _moment(timestamp: str) -> datetime:
    moment = datetime.fromisoformat(timestamp)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def patient_side(facts: RadiographFacts | None, third: int) -> str | None:
    """Of a third of the image's width; None in the middle, and where the file does not state the orientation."""
    sides = {"right": ("right", None, "left"), "left": ("left", None, "right")}
    return sides[facts.image_left][third] if facts and facts.image_left else None


def times(rows: float, columns: float, decimals: int = 0) -> str:
    return f"{number(rows, decimals)}\N{NO-BREAK SPACE}{TIMES}\N{NO-BREAK SPACE}{number(columns, decimals)}"


def short_hash(value: str | None) -> str | None:
    """The first 12 hexadecimal digits, for the eye; the whole hash stands in the provenance."""
    return None if value is None else value[:12]


def clipped(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    short = text[: longest - 1].rstrip() + "…"
    return AsRecorded(short) if isinstance(text, AsRecorded) else short


def spacing(facts: RadiographFacts) -> str:
    if facts.pixel_spacing_mm is None:
        return _("not known")
    return f"{times(*facts.pixel_spacing_mm, decimals=3)} mm"
