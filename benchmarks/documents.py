"""Case PDFs of a finished run -> CPU ms a document, beside the same pictures on a bare WeasyPrint page.

    .venv/bin/python -m benchmarks.documents reports/kermany [--limit 40] [--profile]

One process, rounds interleaved, CPU time of the process; the first case of each is thrown away (it warms caches). The
bare page is what WeasyPrint costs before anything is said: the case's pictures and a table of 40 rows, the same font,
no PDF/A, no tags, no attachments. Reads the run, writes nothing. Without TensorFlow.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from cxr_audit.evidence import RunFolder
from cxr_audit.records import CaseRecord
from cxr_audit.report import Renderer
from cxr_audit.report.documents import data_folder
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher

ROWS = "".join(
    f"<tr><th>Row {n}</th><td>{n}.00</td><td>what it is, in a few words</td></tr>"
    for n in range(40)
)
BARE = """@font-face { font-family: Plex; src: url("ibm-plex-sans-latin-400-normal.woff2") }
@page { size: A4; margin: 16mm } body { font: 8pt Plex } img { width: 54mm; float: left; margin: 0 2mm 2mm 0 }
table { clear: both; table-layout: fixed; width: 100% }"""


def bare_page(folder: Path, record: CaseRecord, css: CSS, fonts: FontConfiguration) -> bytes:
    pictures = "".join(f'<img src="{name}" alt="">' for name in record.pictures.values())
    html = f"<!DOCTYPE html><title>bare</title>{pictures}<table>{ROWS}</table>"
    document = HTML(string=html, base_url=f"{folder.resolve().as_uri()}/", url_fetcher=URLFetcher())
    return bytes(document.write_pdf(stylesheets=[css], font_config=fonts))


def cpu_ms(call: Callable[[], bytes]) -> tuple[float, int]:
    gc.collect()  # what the call before left behind is not of this one
    start = time.process_time()
    data = call()
    return 1000 * (time.process_time() - start), len(data)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument(
        "--profile", action="store_true", help="where our documents' time goes, by function"
    )
    arguments = parser.parse_args()
    warnings.simplefilter(
        "ignore", ResourceWarning
    )  # WeasyPrint leaves files to the garbage collector
    run_folder = RunFolder.open(arguments.run)
    run, renderer = run_folder.read_run(), Renderer()
    records = [run_folder.read_case(case_id) for case_id in run_folder.case_ids()]
    audited = [one for one in records if one is not None and one.status == "ok"][
        : arguments.limit + 1
    ]
    fonts = FontConfiguration()
    base_url = f"{(data_folder('templates') / 'fonts').resolve().as_uri()}/"
    css = CSS(string=BARE, base_url=base_url, url_fetcher=URLFetcher(), font_config=fonts)
    ours, bare, profile = [], [], cProfile.Profile()
    for number, record in enumerate(audited):
        folder = run_folder.case(record.case_id)
        if arguments.profile and number:
            profile.runcall(renderer.case_pdf, record, run, folder)
        ours.append(cpu_ms(lambda: renderer.case_pdf(record, run, folder)))  # noqa: B023 - called at once
        bare.append(cpu_ms(lambda: bare_page(folder, record, css, fonts)))  # noqa: B023
    if arguments.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    print(
        f"{len(audited) - 1} documents, {max(len(one.pictures) for one in audited)} pictures each"
    )
    medians = []
    for name, timed in (("ours", ours[1:]), ("bare", bare[1:])):
        times, sizes = zip(*timed, strict=True)
        medians.append(statistics.median(times))
        print(
            f"{name}: {medians[-1]:.0f} ms CPU (least {min(times):.0f}), {statistics.median(sizes) / 1e6:.2f} MB"
        )
    print(f"ratio: {medians[0] / medians[1]:.2f}")
    print(
        "TensorFlow was imported" if "tensorflow" in sys.modules else "TensorFlow was not imported"
    )


if __name__ == "__main__":
    main()
