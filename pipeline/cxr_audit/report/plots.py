"""Numbers of a run -> line drawings as SVG: ROC, reliability, focus by outcome, randomisation.

The only place that knows matplotlib; it is imported when the first picture is drawn. The same
numbers give the same bytes: fixed ids, no date, and text as text, laid out with matplotlib's own
font and set in the report's. Reliability diagram: Niculescu-Mizil and Caruana, ICML 2005. No colour
carries a meaning that its shape or place does not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cxr_audit.report.language import _
from cxr_audit.report.words import number

INK, SOFT, HAIR, DEEP, FILL = "#15202b", "#55616d", "#c4ccd3", "#00224e", "#b9c0ca"
RING: dict[str, Any] = {
    "markersize": 3.8,
    "markeredgecolor": DEEP,
    "markeredgewidth": 0.8,
    "clip_on": False,
}
FONT = "Plex"  # as report/case.css calls it
STYLE: dict[str, Any] = {
    # Ships with matplotlib, and is wider than ours: labels keep clear of each other.
    "font.family": "DejaVu Sans",
    "font.size": 6.6,
    "axes.labelsize": 6.6,
    "axes.titlesize": 7,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.5,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "cxr-audit",
}


Box = tuple[float, float, float, float, float]
"""The quantiles at 5, 25, 50, 75 and 95 % of one group."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric of several groups.

    Parameters
    ----------
    title : of the metric.
    boxes : of each group; None where it has no value.
    chance : drawn as a dashed line.
    """

    title: str
    boxes: tuple[Box | None, ...]
    chance: float | None = None


def roc(
    false_positive: Sequence[float],
    true_positive: Sequence[float],
    point: tuple[float, float] | None,
    size_mm: float,
) -> str:
    """The ROC curve.

    Parameters
    ----------
    false_positive, true_positive : fractions, from (0, 0) to (1, 1).
    point : where the threshold lies on it; None = there is no threshold.
    size_mm : of the picture.
    """
    with _drawn(size_mm, size_mm) as (figure, done):
        axes = _square(figure, _("1 − specificity"), _("Sensitivity"))
        axes.plot([0, 1], [0, 1], color=HAIR, linewidth=0.6, linestyle=(0, (3, 2)))
        axes.plot(false_positive, true_positive, color=DEEP, linewidth=1.1, clip_on=False)
        if point is not None:
            axes.plot(*point, "o", color="white", **RING)
    return done[0]


def thresholds(
    at: Sequence[float],
    lines: Sequence[tuple[str, Sequence[float], Sequence[float], Sequence[float]]],
    own: Sequence[float],
    width_mm: float = 120,
    height_mm: float = 80,
) -> str:
    """What each threshold gives.

    Parameters
    ----------
    at : the thresholds, ascending.
    lines : two of them: name, values, lower and upper ends of their intervals; NaN where
        undefined. The intervals of the first are filled, those of the second have thin lines.
    own : the threshold of the run, drawn upright.
    width_mm, height_mm : of the picture.
    """
    with _drawn(width_mm, height_mm) as (figure, done):
        axes = figure.add_axes((0.1, 0.13, 0.68, 0.84))
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=_("Threshold"))
        axes.spines[["top", "right"]].set_visible(False)
        for threshold in own:
            axes.axvline(threshold, color=SOFT, linewidth=0.6, linestyle=(0, (3, 2)))
        for (name, values, low, high), style in zip(lines, ("-", "--"), strict=True):
            if style == "-":
                axes.fill_between(at, low, high, color=FILL, alpha=0.4, linewidth=0)
            else:
                for end in (low, high):
                    axes.plot(at, end, color=SOFT, linewidth=0.6, linestyle=style)
            axes.plot(at, values, color=DEEP, linewidth=1.1, linestyle=style, label=name)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3)
    return done[0]


def reliability(
    bins: Sequence[tuple[float, float, tuple[float, float] | None]], size_mm: float
) -> str:
    """Observed share against mean output.

    Parameters
    ----------
    bins : mean output, observed share, its 95 % interval or None (drawn open); those with cases.
    size_mm : of the picture.
    """
    with _drawn(size_mm, size_mm) as (figure, done):
        axes = _square(figure, _("Mean output of the bin"), _("Observed share"))
        axes.plot([0, 1], [0, 1], color=HAIR, linewidth=0.6, linestyle=(0, (3, 2)))
        for mean, share, interval in bins:
            if interval is not None:
                axes.plot([mean, mean], interval, color=SOFT, linewidth=0.7)
            filled = DEEP if interval is not None else "white"
            axes.plot(mean, share, "o", color=filled, **RING)
    return done[0]


def cascade(stages: Sequence[tuple[int, float, float]], width_mm: float, height_mm: float) -> str:
    """How alike the maps stay as layers lose their trained weights.

    Parameters
    ----------
    stages : number of layers without trained weights, mean rank correlation, mean SSIM.
    width_mm, height_mm : of the picture.
    """
    with _drawn(width_mm, height_mm) as (figure, done):
        axes = figure.add_axes((8 / width_mm, 9 / height_mm, 1 - 40 / width_mm, 1 - 11 / height_mm))
        across, *likeness = zip((0, 1.0, 1.0), *stages, strict=True)
        for values, marker, filled, name in zip(
            likeness, "os", (DEEP, "white"), (_("Rank correlation"), "SSIM"), strict=True
        ):
            axes.plot(
                across,
                values,
                marker,
                color=DEEP,
                linestyle="-",
                linewidth=0.9,
                label=name,
                **{**RING, "markerfacecolor": filled},
            )
        axes.axhline(0, color=HAIR, linewidth=0.6, zorder=0.9)
        axes.set(
            xlim=(0, across[-1]),
            ylim=(min(-0.05, *map(min, likeness)), 1),
            xlabel=_("Layers without trained weights"),
        )
        axes.set_yticks([0, 0.5, 1], ["0", number(0.5, 1), "1"])
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return done[0]


def places(
    rows: Sequence[float], columns: Sequence[float], width_mm: float, height_mm: float
) -> str:
    """The share that each band of the radiograph brings, in percent; darker is more.

    Parameters
    ----------
    rows, columns : shares of the bands from the top, and from the left. A cell has the smaller one
        of its row and its column.
    width_mm, height_mm : of the picture.
    """
    largest = max(*rows, *columns, 0.1)
    with _drawn(width_mm, height_mm) as (figure, done):
        axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
        for row, of_row in enumerate(rows):
            for column, of_column in enumerate(columns):
                share = min(of_row, of_column) / largest
                axes.fill(
                    [column, column + 1, column + 1, column],
                    [row, row, row + 1, row + 1],
                    facecolor=DEEP,
                    alpha=round(0.04 + 0.96 * share, 3),
                    linewidth=0,
                )
        for row, share in enumerate(rows):
            axes.text(len(columns) + 0.15, row + 0.5, number(100 * share, 0), va="center")
        for column, share in enumerate(columns):
            axes.text(column + 0.5, len(rows) + 0.5, number(100 * share, 0), ha="center")
        axes.plot(
            [0, len(columns), len(columns), 0, 0], [0, 0, len(rows), len(rows), 0], color=SOFT
        )
        axes.set(xlim=(-0.1, len(columns) + 1), ylim=(len(rows) + 0.8, -0.1))
        axes.axis("off")
    return done[0]


def boxes(panels: Sequence[Panel], labels: Sequence[str], width_mm: float, height_mm: float) -> str:
    """Metrics side by side, groups one below the other.

    A line from 5 to 95 %, a box from 25 to 75 %, the median.

    Parameters
    ----------
    panels : one a metric.
    labels : of the groups.
    width_mm, height_mm : of the picture.
    """
    point = number(0.5, 1)[1]
    with _drawn(width_mm, height_mm) as (figure, done):
        left, gap = 26 / width_mm, 5 / width_mm
        width = (1 - left - gap * (len(panels) - 1) - 2 / width_mm) / len(panels)
        for place, panel in enumerate(panels):
            axes = figure.add_axes(
                (left + place * (width + gap), 7 / height_mm, width, 1 - 13 / height_mm)
            )
            axes.set_title(panel.title, loc="left", pad=3)
            if panel.chance is not None:
                axes.axvline(panel.chance, color=SOFT, linewidth=0.6, linestyle=(0, (3, 2)))
            for row, box in enumerate(panel.boxes):
                if box is not None:
                    _box(axes, row, box)
            ends = [end for box in panel.boxes if box for end in box]
            axes.set_xlim(min([0.0, *ends]), 1.04 * max([1.0, *ends]))
            axes.set_ylim(len(labels) - 0.4, -0.6)
            axes.set_yticks(range(len(labels)), labels if place == 0 else [])
            axes.tick_params(axis="y", length=0)
            axes.locator_params(axis="x", nbins=4)
            axes.xaxis.set_major_formatter(lambda value, _tick: f"{value:g}".replace(".", point))
            axes.spines[["top", "right", "left"]].set_visible(False)
    return done[0]


def _box(axes: Any, row: int, box: Box) -> None:
    lowest, low, middle, high, highest = box
    axes.plot([lowest, highest], [row, row], color=SOFT, linewidth=0.7, zorder=0.9)
    axes.barh(row, high - low, left=low, height=0.5, color=FILL, edgecolor=SOFT, linewidth=0.5)
    axes.plot([middle, middle], [row - 0.25, row + 0.25], color=DEEP, linewidth=1.6)


def _square(figure: Any, across: str, up: str) -> Any:
    """Axes from 0 to 1 both ways."""
    axes = figure.add_axes((0.17, 0.16, 0.79, 0.79))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=across, ylabel=up, aspect="equal")
    axes.set_xticks([0, 0.5, 1], ["0", number(0.5, 1), "1"])
    axes.set_yticks([0, 0.5, 1], ["0", number(0.5, 1), "1"])
    axes.spines[["top", "right"]].set_visible(False)
    return axes


@contextmanager
def _drawn(width_mm: float, height_mm: float) -> Iterator[tuple[Any, list[str]]]:
    """A figure to draw on; once it is drawn, the list holds its SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    done: list[str] = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
        yield figure, done
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing, transparent=True)
        done.append(text.getvalue().replace(STYLE["font.family"], FONT))
