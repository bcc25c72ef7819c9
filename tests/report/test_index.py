"""The index page in a real browser: Debian's Chromium, driven by Playwright; skipped with a reason where absent."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cxr_audit.records import (
    ANSWER_COLUMNS,
    AuditedCase,
    CaseRecord,
    Flag,
    FlagsRecord,
    RegionFacts,
    RegionsRecord,
    Trust,
)
from cxr_audit.report.documents import data_folder

from tests.report.cases import failed, in_region

REASON = failed().reason
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AT_ONCE = 100


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, renderer, make, run, tmp_path) -> Iterator[Any]:
    """opened(number of cases, what is changed in each) -> (the page, what it asked for). Scores fall with the number;
    every tenth failed."""
    record, folder = make("case-00000", expected="NORMAL")
    contexts = []

    def page_of(
        num_cases: int, change: Callable[..., CaseRecord] = lambda record, _: record
    ) -> tuple[Any, list[str]]:
        shutil.copytree(folder, tmp_path / "cases" / "case-00000", dirs_exist_ok=True)
        records: list[CaseRecord] = []
        for number in range(num_cases):
            name = f"case-{number:05d}"
            logit = 9 - number / 1000
            prediction = replace(
                record.prediction, logit=logit, probability=1 / (1 + np.exp(-logit))
            )
            records.append(
                failed(case_id=name)
                if number % 10 == 9
                else change(replace(record, case_id=name, prediction=prediction), number)
            )
        (tmp_path / "index.html").write_text(renderer.index_html(records, run), "utf-8")
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        page = contexts[-1].new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto((tmp_path / "index.html").as_uri())
        page.errors = errors
        return page, asked

    yield page_of
    for context in contexts:
        assert not any(page.errors for page in context.pages)
        context.close()


def cases(page) -> list[str]:
    return page.locator("#cases tbody th button").all_inner_texts()


def test_ten_thousand_cases_are_sorted_and_filtered_and_laid_out_as_far_as_scrolled(opened):
    page, asked = opened(10_000)
    assert cases(page) == [f"case-{number:05d}" for number in range(AT_ONCE)]
    assert page.locator("#shown").inner_text() == "10000"
    assert len(asked) < 60  # thumbnails near the window only
    page.locator("th button", has_text="Score").click()
    assert cases(page)[:2] == ["case-00009", "case-00019"]  # failed: no output, below every number
    page.locator("th button", has_text="Score").click()
    assert cases(page)[:2] == ["case-00000", "case-00001"]
    page.locator("select[name=outcome]").select_option("failed")
    assert page.locator("#shown").inner_text() == "1000"
    page.get_by_role("searchbox").fill("case-0999")
    assert cases(page) == ["case-09999"]
    page.get_by_role("searchbox").fill("")
    page.locator("select[name=outcome]").select_option("")
    page.locator("#more").scroll_into_view_if_needed()
    page.wait_for_function(f"document.querySelector('#cases tbody').rows.length > {AT_ONCE}")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#cases tbody tr").count() == 10_000  # paper has no scrolling


def test_paper_shows_every_column_and_no_row_of_single_letters(opened) -> None:
    page, _asked = opened(12, judged)
    page.emulate_media(media="print")
    page.set_viewport_size(
        {"width": 1016, "height": 700}
    )  # A4 and letter, landscape, without their margins
    # The page draws what lies beyond its element, and the table does not lie beyond the page.
    assert page.evaluate("getComputedStyle(document.querySelector('main')).overflowX") == "visible"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1016
    assert (
        page.evaluate(
            "Math.max(...[...document.querySelectorAll('#cases tbody tr')].map((r) => r.offsetHeight))"
        )
        < 200
    )


FLAGS = ("marker", "border", "diffuse", "exposure", "near_threshold")
STATES = ("caution", "passed", "not_interpretable")


def judged(record: AuditedCase, number: int) -> AuditedCase:
    """Case 0 has no trust and no lungs.

    From there trust goes round, flags grow and the evidence leaves the lungs.
    """
    if number == 0:
        return replace(record, regions=RegionsRecord(missing={"lungs": "too small"}))
    state = STATES[number % 3]
    lungs = in_region(0.9 - number / 10, 0.3)
    return replace(
        record,
        label="PNEUMONIA" if number < 4 else "NORMAL",
        regions=RegionsRecord((RegionFacts("lungs", "lungs", "by hand", 0.3),)),
        maps=(replace(record.maps[0], in_regions={"lungs": lungs}),),
        trust=Trust(state, () if state == "passed" else ("why",), ()),
        flags=FlagsRecord(tuple(Flag(name, "why") for name in FLAGS[:number])),
    )


def test_sorted_by_error_trust_lungs_and_number_of_flags(opened):
    page, _ = opened(6, judged)

    def sorted_by(heading: str) -> list[int]:
        page.locator("th button", has_text=heading).click()
        return [int(name[-1]) for name in cases(page)]

    # Output above the threshold in all: the labels make 1, 2, 3 true positive, 0 (label NORMAL), 4, 5 false positive.
    assert sorted_by("Outcome") == [0, 4, 5, 1, 2, 3]
    assert sorted_by("Lungs, ratio") == [0, 5, 4, 3, 2, 1]
    assert sorted_by("Flags") == [0, 1, 2, 3, 4, 5]
    assert sorted_by("Flags") == [5, 4, 3, 2, 1, 0]
    assert sorted_by("Checks") == [4, 1, 3, 5, 2, 0]
    row = page.locator("#cases tbody tr", has_text="case-00005").inner_text()
    for words in (
        "False positive",
        "40 %",
        "1.33 ×",
        "not interpretable",
        "Map is diffuse, Output depends on image brightness",
    ):
        assert words in row
    assert "not found" in page.locator("#cases tbody tr", has_text="case-00000").inner_text()
    page.locator("select[name=trust]").select_option("caution")
    assert cases(page) == ["case-00003"]
    page.locator("select[name=flag]").select_option(label="Output near the threshold")
    assert cases(page) == []


def test_flags_are_not_broken_within_a_word_nor_a_reason_into_a_column(opened):
    page, _ = opened(12, lambda record, n: replace(judged(record, n), label="PNEUMONIA"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    fits = "cells => cells.every(cell => cell.scrollWidth <= cell.clientWidth)"
    flags = page.locator("#cases tbody td.flags:visible")
    assert flags.count() == 11
    assert flags.evaluate_all(fits)
    row = page.locator("#cases tbody tr", has_text="case-00009")  # failed
    assert row.locator("td:visible").all_inner_texts()[1:] == ["Failed (error)", "", REASON, ""]
    assert row.bounding_box()["height"] < 90
    page.get_by_role("searchbox").fill("3,145,728")
    assert cases(page) == ["case-00009"]
    page.get_by_role("searchbox").fill("")
    ends = {
        "Score": slice(1),
        "Lungs": slice(2),
        "High focus": slice(1),
        "Flags": slice(2),
        "Checks": slice(-2, None),
    }
    for heading, end in ends.items():  # case 0 has no lungs, flags and trust either
        page.locator("th button", has_text=heading).click()
        assert "case-00009" in cases(page)[end]
    row.get_by_role("button").click()
    names = page.locator("#facts dt").all_inner_texts()
    assert names == ["Outcome", "Reason"]


def test_class_names_are_not_broken_within_a_word(opened):
    page, _ = opened(3, lambda record, number: replace(record, label="ENLARGED CARDIOMEDIAST"))
    cell = page.locator("#cases tbody tr").first.locator("td").nth(2)
    assert cell.inner_text() == '"ENLARGED CARDIOMEDIAST"'
    lines = "cell => { const r = new Range(); r.selectNodeContents(cell); return r.getClientRects().length; }"
    assert cell.evaluate(lines) == 2  # at the space


def test_the_keyboard_reaches_every_case_and_its_viewer(opened):
    page, _ = opened(AT_ONCE + 5)
    page.locator("#cases tbody th button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # stays on the first
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    assert viewer.locator("h2").inner_text() == "Case case-00000"
    assert "Predicted" in viewer.locator("#facts").inner_text()
    page.keyboard.press("ArrowRight")
    assert viewer.locator("#position").inner_text() == "2 of 105"
    for _ in range(
        AT_ONCE + 10
    ):  # on through what was not laid out yet, and no further than the last
        page.keyboard.press("ArrowDown")
    assert viewer.locator("h2").inner_text() == "Case case-00104"
    assert (
        viewer.get_by_role("link", name="PDF").get_attribute("href")
        == "cases/case-00104/report.pdf"
    )
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "case-00104"


def test_both_pictures_are_large_and_the_slider_lays_the_map_over_its_radiograph(opened):
    page, _ = opened(10)
    page.locator("#cases tbody img").first.click()
    plain, below, above = (page.locator(name) for name in ("#plain", "#below", "#above"))
    assert plain.get_attribute("src").endswith("cases/case-00000/radiograph.jpg")
    assert above.get_attribute("src").endswith("cases/case-00000/map-0.jpg")
    assert above.bounding_box() == below.bounding_box()
    for picture in (plain, below):  # of 1280 x 900 px
        box = picture.bounding_box()
        assert box["width"] > 450
        assert box["height"] > 650
    opacity = "image => getComputedStyle(image).opacity"
    assert above.evaluate(opacity) == "0"
    slider = page.get_by_label("Opacity of the map")
    slider.fill("25")
    assert above.evaluate(opacity) == "0.25"
    slider.focus()
    page.keyboard.press("ArrowLeft")  # moves the slider, not the case
    assert slider.input_value() == "24"
    assert page.locator("#viewer h2").inner_text() == "Case case-00000"
    page.get_by_role("button", name="Next").click()
    assert above.evaluate(opacity) == "0.24"
    for _ in range(8):
        page.keyboard.press("Space")  # one key walks on: the button keeps the focus
    title = page.locator("#viewer h2").inner_text()
    assert title == "Case case-00009"  # failed: a reason and no picture
    assert not above.is_visible()
    assert "1,204 of 3,145,728" in page.locator("#facts").inner_text()


def test_the_address_keeps_filters_sort_and_case(opened):
    page, _ = opened(12, judged)
    page.locator("th button", has_text="Score").click()
    page.locator("th button", has_text="Score").click()
    page.locator("select[name=outcome]").select_option("false_positive")
    page.get_by_role("searchbox").fill("case")
    found = cases(page)
    assert len(found) > 2
    page.locator("#cases tbody th button").nth(1).click()
    page.keyboard.press("ArrowRight")
    address = page.url
    assert "outcome=false_positive" in address
    assert "sort=score-" in address
    page.reload()
    assert page.url == address
    assert page.locator("#viewer h2").inner_text() == f"Case {found[2]}"
    page.keyboard.press("Escape")
    assert cases(page) == found
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Score")
    page.evaluate("location.hash = 'outcome=failed'")  # a link within the page
    page.wait_for_function("document.querySelector('#shown').textContent === '1'")
    assert cases(page) == ["case-00009"]
    page.evaluate("location.hash = 'outcome=nonsense&case=nobody'")  # an old or a wrong link
    page.wait_for_function("document.querySelector('#shown').textContent === '12'")


def test_where_nothing_is_found_a_button_shows_all(opened):
    page, _ = opened(10)
    assert not page.locator("#none").is_visible()
    assert not page.locator("#reset").is_visible()
    page.get_by_role("searchbox").fill("no such case")
    assert page.locator("#none").inner_text().startswith("No case matches")
    page.get_by_role("button", name="Show all cases").click()
    assert len(cases(page)) == 10
    assert page.get_by_role("searchbox").input_value() == ""


def test_a_review_is_kept_filtered_and_exported(opened):
    page, _ = opened(10)
    page.get_by_label("Reader").fill("AB")
    page.locator("#cases tbody th button").first.click()
    page.keyboard.press("1")
    page.keyboard.press("5")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    page.get_by_label("Comment").fill('tube, "old" film')
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('case=')")  # the dialog closes a task later
    page.reload()
    assert page.locator("#reviewed").inner_text() == "2 of 10 cases reviewed."
    assert page.locator(".answer").all_inner_texts()[:2] == ["agree, not plausible", "disagree"]
    page.locator("select[name=review]").select_option("disagree")
    assert cases(page) == ["case-00001"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    text = download.value.path().read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == ANSWER_COLUMNS
    kept = [{key: row[key] for key in ("case_id", "agreement", "location")} for row in rows]
    assert kept == [
        {"case_id": "case-00000", "agreement": "agree", "location": "not_plausible"},
        {"case_id": "case-00001", "agreement": "disagree", "location": ""},
    ]
    assert {row["reader"] for row in rows} == {"AB"}
    assert rows[1]["comment"] == 'tube, "old" film'


def test_a_telephone_shows_everything_in_its_width(opened):
    page, _ = opened(12, judged)
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("select[name=outcome]").is_hidden()  # folded
    page.get_by_text("Filters", exact=True).click()
    page.locator("select[name=outcome]").select_option("false_positive")
    page.locator("select[name=sort]").select_option("score")
    assert cases(page)[0] > cases(page)[-1]  # scores fall with the number
    row = page.locator("#cases tbody tr").first
    name = "cell => getComputedStyle(cell, '::before').content"
    assert row.locator("td").nth(1).evaluate(name) == '"Outcome:"'
    row.get_by_role("button").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_nothing_outside_the_run_folder_is_asked_for(opened, tmp_path):
    page, asked = opened(10)
    page.locator("#cases tbody img").first.click()
    page.wait_for_load_state("networkidle")
    assert asked
    assert all(url.startswith(tmp_path.as_uri()) for url in asked)


def test_without_scripts_the_first_cases_are_there(browser, opened, tmp_path):
    opened(AT_ONCE + 5)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert len(cases(page)) == AT_ONCE
    assert "first 100 of 105 cases; cases.csv has them all" in page.locator("main").inner_text()
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("view", ["table", "viewer", "nothing found"])
def test_axe_finds_nothing_at_any_level(opened, view, width):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    page, _ = opened(30)
    page.set_viewport_size({"width": width, "height": 900})
    if view == "viewer":
        page.locator("#cases tbody img").first.click()
    if view == "nothing found":
        page.get_by_role("searchbox").fill("no such case")
    found = axe.Axe().run(page).response["violations"]
    assert not found, json.dumps(found, indent=1)


def test_the_page_knows_no_address_but_its_own() -> None:
    for name in ("index.html.j2", "index.css.j2", "index.js.j2"):
        assert "://" not in (data_folder("templates") / name).read_text("utf-8")
