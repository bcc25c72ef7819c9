"""Time to load, filter, sort and scroll an index page of 10,000 cases in Chromium.

    .venv/bin/python -m benchmarks.index_page reports/kermany [--cases 10000]

The records of a run are repeated to that number. Prints milliseconds from the action to the next
painted frame, median of five. Needs Playwright and Debian's chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from cxr_audit.evidence import RunFolder
from cxr_audit.report import Renderer
from playwright.sync_api import Page, sync_playwright

TO_NEXT_FRAME = """action => new Promise(done => {
  const start = performance.now();
  new Function(action)();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
ACTIONS = {
    "filter by text": "text = document.querySelector('[name=text]');"
    "text.value = text.value ? '' : '7';"
    "text.dispatchEvent(new Event('input', { bubbles: true }))",
    "sort by a number": "document.querySelectorAll('thead button')[4].click()",
    "sort by words": "document.querySelectorAll('thead button')[0].click()",
    "next 100 rows": "document.querySelector('#more').click()",
    "open a case": "document.querySelector('#viewer').close();"
    "document.querySelector('tbody th button').click()",
}


def milliseconds(page: Page, action: str) -> float:
    return statistics.median(page.evaluate(TO_NEXT_FRAME, action) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--cases", type=int, default=10_000)
    arguments = parser.parse_args()
    folder = RunFolder.open(arguments.run)
    records = [record for case_id in folder.case_ids() if (record := folder.read_case(case_id))]
    many = [
        replace(records[n % len(records)], case_id=f"{records[n % len(records)].case_id}-{n}")
        for n in range(arguments.cases)
    ]
    start = time.process_time()
    html = Renderer().index_html(many, folder.read_run())
    seconds, size = time.process_time() - start, len(html.encode()) / 1e6
    print(f"{len(many)} cases: written in {seconds:.1f} s CPU, {size:.1f} MB")
    with tempfile.TemporaryDirectory() as where, sync_playwright() as driver:
        (Path(where) / "index.html").write_text(html, "utf-8")
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((Path(where) / "index.html").as_uri())
        loaded = "performance.timing.loadEventEnd - performance.timing.navigationStart"
        print(f"load: {page.evaluate(loaded)} ms")
        for name, action in ACTIONS.items():
            print(f"{name}: {milliseconds(page, action):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
