"""The drawings say the numbers: places on the paper by hand, the same bytes in any process."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from cxr_audit.report import plots

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
BOX = (0.1, 0.2, 0.3, 0.4, 0.5)
DRAWN = (
    "plots.boxes([plots.Panel('One', ((0.1, 0.2, 0.3, 0.4, 0.5), None), 1.0)], ['a', 'b'], 100, 30)"
)


def rings(svg: str) -> list[tuple[float, float]]:
    """Where round markers stand, in fractions of the axes, from the lower left corner. Axes lie at 0.17 and 0.16 of
    the figure and take 0.79 of it, both ways."""
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    round_ones = {
        "#" + path.attrib["id"]
        for path in root.iter(f"{SVG}path")
        if "id" in path.attrib and path.attrib["d"].count("C") >= 4
    }
    return [
        (
            (float(use.attrib["x"]) / width - 0.17) / 0.79,
            (1 - float(use.attrib["y"]) / height - 0.16) / 0.79,
        )
        for use in root.iter(f"{SVG}use")
        if use.attrib[LINK] in round_ones
    ]


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_ring_stands_at_the_threshold() -> None:
    drawn = plots.roc([0, 0, 0.25, 1], [0, 0.5, 1, 1], (0.25, 0.75), 56)
    assert rings(drawn) == [pytest.approx((0.25, 0.75), abs=1e-4)]
    assert {"1 − specificity", "Sensitivity"} <= set(texts(drawn))
    assert rings(plots.roc([0, 1], [0, 1], None, 56)) == []


def test_bins_stand_at_their_mean_output_and_share() -> None:
    drawn = plots.reliability([(0.05, 0.1, (0.0, 0.3)), (0.85, 0.6, None)], 56)
    assert sorted(rings(drawn)) == [
        pytest.approx((0.05, 0.1), abs=1e-4),
        pytest.approx((0.85, 0.6), abs=1e-4),
    ]


def test_groups_are_named_once_and_panels_by_their_metric() -> None:
    panels = [plots.Panel("Enrichment", (BOX, None), 1.0), plots.Panel("Spread", (None, BOX))]
    drawn = plots.boxes(panels, ["True positive (4)", "False positive (2)"], 120, 30)
    names = ("Enrichment", "Spread", "True positive (4)", "False positive (2)")
    assert [texts(drawn).count(name) for name in names] == [1, 1, 1, 1]


def test_text_is_text_in_the_font_of_the_report() -> None:
    drawn = plots.roc([0, 1], [0, 1], None, 56)
    assert f"'{plots.FONT}'" in drawn
    assert "DejaVu" not in drawn
    assert "date" not in drawn.lower()


def test_the_same_numbers_give_the_same_bytes_in_another_process() -> None:
    """And matplotlib is not imported before something is drawn."""
    code = (
        "import sys; from cxr_audit.report import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"sys.stdout.write({DRAWN})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout == eval(DRAWN)
