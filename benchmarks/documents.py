"""CPU ms of a case PDF, beside the same pictures on a bare WeasyPrint page.

    .venv/bin/python -m benchmarks.documents reports/kermany [--limit 40] [--profile]

One process, interleaved rounds, CPU time of the process. The first case is left out, since it warms
caches. The bare page shows what WeasyPrint itself costs: the pictures of the case and a table of 40
rows in the same font, without PDF/A, tags and attachments. Reads the run, writes nothing, does not
use TensorFlow.
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
from functools import partial
from pathlib import Path

from cxr_audit.evidence import RunFolder
from cxr_audit.records import AuditedCase
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
@page { size: A4; margin: 16mm }
body { font: 8pt Plex }
img { width: 54mm; float: left; margin: 0 2mm 2mm 0 }
table { clear: both; table-layout: fixed; width: 100% }"""


def bare_page(folder: Path, case: AuditedCase, css: CSS, fonts: FontConfiguration) -> bytes:
    """The pictures of a case and a table of 40 rows.

    Parameters
    ----------
    folder : of the case.
    case : its record, which names the pictures.
    css, fonts : of the page.
    """
    names = [*case.pictures.values(), *(drawn.picture for drawn in case.maps if drawn.picture)]
    pictures = "".join(f'<img src="{name}" alt="">' for name in names)
    html = f"<!DOCTYPE html><title>bare</title>{pictures}<table>{ROWS}</table>"
    base_url = f"{folder.resolve().as_uri()}/"
    document = HTML(string=html, base_url=base_url, url_fetcher=URLFetcher())
    return bytes(document.write_pdf(stylesheets=[css], font_config=fonts))


def cpu_ms(call: Callable[[], bytes]) -> tuple[float, int]:
    """CPU ms of a call, and how many bytes it returns."""
    gc.collect()  # what the call before left behind is not of this one
    start = time.process_time()
    data = call()
    return 1000 * (time.process_time() - start), len(data)


def measure(
    run_folder: RunFolder, limit: int, profile: cProfile.Profile | None
) -> dict[str, list[tuple[float, int]]]:
    """CPU ms and bytes of each document.

    Parameters
    ----------
    run_folder : a finished run.
    limit : so many of its audited cases.
    profile : is filled with our documents, where it is given.
    """
    run, renderer = run_folder.read_run(), Renderer()
    cases = [run_folder.read_case(case_id) for case_id in run_folder.case_ids()]
    done = [case for case in cases if isinstance(case, AuditedCase)][: limit + 1]
    fonts = FontConfiguration()
    base_url = f"{(data_folder('templates') / 'fonts').resolve().as_uri()}/"
    css = CSS(string=BARE, base_url=base_url, url_fetcher=URLFetcher(), font_config=fonts)
    timed: dict[str, list[tuple[float, int]]] = {"ours": [], "bare": []}
    for number, case in enumerate(done):
        folder = run_folder.case(case.case_id)
        if profile and number:
            profile.runcall(renderer.case_pdf, case, run, folder)
        timed["ours"].append(cpu_ms(partial(renderer.case_pdf, case, run, folder)))
        timed["bare"].append(cpu_ms(partial(bare_page, folder, case, css, fonts)))
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--profile", action="store_true", help="where our documents' time goes")
    arguments = parser.parse_args()
    # WeasyPrint leaves files to the garbage collector.
    warnings.simplefilter("ignore", ResourceWarning)
    profile = cProfile.Profile() if arguments.profile else None
    timed = measure(RunFolder.open(arguments.run), arguments.limit, profile)
    if profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    medians = {}
    for name, found in timed.items():
        times, sizes = zip(*found[1:], strict=True)
        medians[name] = statistics.median(times)
        size = statistics.median(sizes) / 1e6
        print(f"{name}: {medians[name]:.0f} ms CPU (least {min(times):.0f}), {size:.2f} MB")
    print(f"{len(timed['ours']) - 1} documents; ratio: {medians['ours'] / medians['bare']:.2f}")
    is_loaded = "tensorflow" in sys.modules
    print(f"TensorFlow was {'' if is_loaded else 'not '}imported")


if __name__ == "__main__":
    main()
