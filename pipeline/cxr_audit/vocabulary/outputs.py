"""Files that a run writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cxr_audit.vocabulary.registry import Registry, Row

Place = Literal["run", "case", "private"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile(Row):
    """A file of the run folder; its key is its path there, `<id>` stands for a case id.

    Parameters
    ----------
    place : once a run, once a case, or in the folder that is never handed on.
    is_document : `render` writes it again from the records.
    is_table : made from the records, so that `verify` can make it again and compare.
    function : (run, records) -> bytes; only in rows of other packages, place "run".
    """

    place: Place = "run"
    is_document: bool = False
    is_table: bool = False
    function: Callable[..., Any] | None = None


OUTPUT_FILES = Registry(
    "output file",
    (
        OutputFile(
            key="index.html",
            label="index",
            definition="Browse the run offline: sort, filter, thumbnails, links to the PDFs.",
            is_document=True,
        ),
        OutputFile(
            key="summary.pdf",
            label="run report",
            definition="Verdict, data, protocol, performance, errors, validity, open points, decision.",
            is_document=True,
        ),
        OutputFile(
            key="cases.csv",
            label="table of cases",
            definition="One row a case, excluded and failed cases included, with their reason.",
            is_table=True,
        ),
        OutputFile(
            key="cases.csv-metadata.json",
            label="description of the table",
            definition="What every column of cases.csv is (CSV on the Web).",
            is_table=True,
        ),
        OutputFile(
            key="cohort.json",
            label="cohort record",
            definition="Performance with intervals, subgroups, errors, acceptance criteria.",
            is_table=True,
        ),
        OutputFile(
            key="run.json",
            label="run record",
            definition="Resolved config, hashes, versions, counts, times.",
        ),
        OutputFile(
            key="protocol.json",
            label="protocol",
            definition="What was fixed before data were seen, and earlier runs on the same files.",
        ),
        OutputFile(
            key="annexes.pdf",
            label="annexes",
            definition="Regulatory map, model card, CLAIM checklist; attached to summary.pdf too.",
            is_document=True,
        ),
        OutputFile(
            key="readers.json",
            label="answers of readers",
            definition="What readers answered, with agreement; only after worklist --answers.",
        ),
        OutputFile(
            key="events.jsonl",
            label="event log",
            definition="What happened to the run; each line holds the hash of the line before.",
        ),
        OutputFile(
            key="sbom.cdx.json",
            label="bill of materials",
            definition="CycloneDX: libraries, and the models with their SHA-256.",
        ),
        OutputFile(
            key="mean_input.npz",
            label="mean model input",
            definition="The run's mean radiograph, which replaces markers and the border.",
        ),
        OutputFile(
            key="SHA256SUMS",
            label="checksums",
            definition="`sha256sum -c SHA256SUMS` works; `cxr-audit verify` names what changed.",
        ),
        OutputFile(
            key="cases/<id>/report.pdf",
            label="case report",
            definition="Page 1 for the clinician, page 2 the numbers, page 3 the provenance.",
            place="case",
            is_document=True,
        ),
        OutputFile(
            key="cases/<id>/case.json",
            label="case record",
            definition="Everything that was measured of the case; the last file, so that it marks "
            "the case as done.",
            place="case",
        ),
        OutputFile(
            key="cases/<id>/map.npz",
            label="maps",
            definition="The class activation maps: signed, on each layer's own grid.",
            place="case",
        ),
        OutputFile(
            key="cases/<id>/regions.npz",
            label="masks",
            definition="Masks of the regions that the evidence was measured in.",
            place="case",
        ),
        OutputFile(
            key="private/crosswalk.csv",
            label="crosswalk",
            definition="Which file a case id stands for: mode 0600. Never hand it on.",
            place="private",
        ),
    ),
)
