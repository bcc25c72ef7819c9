"""A CSV or Parquet manifest -> its cases, with labels, patients, splits, boxes and masks.

CSV: RFC 4180, UTF-8, commas. Parquet: one row a case, plain columns. Columns that mean something:

    path        the image, relative to the manifest's folder, or absolute; the only one that must be there
    patient_id  for the crosswalk
    split       train, test, ...; `ingest.split` takes one of them
    boxes       x,y,width,height;x,y,width,height;...  in pixels of the upright image, from its upper left corner;
                in Parquet also a list of lists of four numbers
    mask        an image of the annotated region, a path like `path`

A manifest of a DICOMweb server has the column SOPInstanceUID in place of `path`: its rows say which of the instances
that the filter finds are cases. `ingest.labels` names the column of the labels; every further column is metadata.
Refuses (`ConfigError`) a manifest
that is too large or cannot be understood. Messages name columns and lines, never a cell: it may hold a name.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cxr_audit.errors import ConfigError
from cxr_audit.records import Box, CaseSource

SUFFIXES = (".csv", ".parquet")
MEANINGFUL = ("path", "patient_id", "split", "boxes", "mask")
INSTANCE = "SOPInstanceUID"

MAX_BYTES = 128 * 2**20  # of the file, and of what a Parquet file says that it inflates to
MAX_ROWS = 500_000
MAX_COLUMNS = 500
MAX_CELL = 131_072  # characters; the csv module's own limit

Rows = Iterator[tuple[int, list[str]]]


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest, by its extension."""
    try:
        return path.suffix.lower() in SUFFIXES and path.is_file()
    except OSError:  # a name that is too long
        return False


def read_manifest(
    manifest: Path,
    labels: str,
    split: str | None,
    instances: Mapping[str, CaseSource] | None = None,
) -> list[CaseSource]:
    """The rows of a manifest in their order, without ids; only those of a split if one is asked for.

    `labels` is "none", "folder" (labelled by the caller) or the name of a column. `instances` are what a server has,
    by their SOP Instance UIDs: the rows then name these, not files. Raises `ConfigError`.
    """
    key = "path" if instances is None else INSTANCE
    try:
        size = manifest.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(
                f"the manifest has {size} bytes; at most {MAX_BYTES} are read", "Split it."
            )
        rows = _parquet(manifest) if manifest.suffix.lower() == ".parquet" else _csv(manifest)
        lines = list(itertools.islice(rows, MAX_ROWS + 2))
    except OSError as error:
        raise ConfigError(
            f"the manifest cannot be read: {error.strerror}", "Check its permissions."
        ) from None
    if not lines:
        raise ConfigError(
            "the manifest is empty", "Its first line names the columns; one of them is 'path'."
        )
    if len(lines) > MAX_ROWS + 1:
        raise ConfigError(f"the manifest has more than {MAX_ROWS} rows", "Split it.")
    header = [name.strip() for name in lines[0][1]]
    _check_columns(header, key, labels, split)
    label_column = None if labels in ("none", "folder") else labels
    cases = [
        (line, _case(manifest.parent, header, line, row, key, label_column))
        for line, row in lines[1:]
    ]
    chosen = [(line, case) for line, case in cases if split is None or case.split == split]
    if cases and not chosen:
        raise ConfigError(
            f"no row of the manifest has the split {split!r}",
            "Write it as the column 'split' does.",
        )
    return [case for _, case in chosen] if instances is None else _on_server(chosen, instances)


def _on_server(
    rows: list[tuple[int, CaseSource]], instances: Mapping[str, CaseSource]
) -> list[CaseSource]:
    """Rows that name instances by their UIDs, led to where these lie."""
    absent = [str(line) for line, row in rows if row.relative_path not in instances]
    if absent:
        lines = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        raise ConfigError(
            f"{len(absent)} of {len(rows)} rows of the manifest name no instance that the server's filter finds: "
            f"lines {lines}",
            "Widen the filter of ingest.source, leave these rows out, or mark the rest by ingest.split.",
        )
    return [
        replace(
            row,
            location=there.location,
            relative_path=there.relative_path,
            patient_id=row.patient_id or there.patient_id,
        )
        for row, there in ((row, instances[row.relative_path]) for _, row in rows)
    ]


def _csv(manifest: Path) -> Rows:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise ConfigError("the manifest is not UTF-8 text", "Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise ConfigError(
            f"the manifest is not a CSV table: {error}", "Save it as CSV UTF-8."
        ) from error


def _parquet(manifest: Path) -> Rows:
    """The columns' names, then the rows, numbered from 1; every value as the text it would have in a CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(manifest) as file:
            facts = file.metadata
            inflated = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
            if facts.num_rows > MAX_ROWS or facts.num_columns > MAX_COLUMNS or inflated > MAX_BYTES:
                raise ConfigError(
                    f"the manifest has {facts.num_rows} rows, {facts.num_columns} columns, {inflated} bytes; at most "
                    f"{MAX_ROWS}, {MAX_COLUMNS} and {MAX_BYTES} are read",
                    "Split it, or leave columns out.",
                )
            names = [
                name for name in file.schema_arrow.names if not name.startswith("__index_level_")
            ]
            yield 0, names
            number = itertools.count(1)
            for batch in file.iter_batches(1024, columns=names):
                for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    yield next(number), [_text(value) for value in row]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        failure = ConfigError(
            f"the manifest is not a Parquet file ({type(error).__name__})", "Save it anew."
        )
    else:
        return
    raise failure  # outside the handler: the library's words may quote a cell


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if (
        isinstance(value, float) and value.is_integer()
    ):  # an integer column with a gap becomes one of floats
        return str(int(value))
    if isinstance(value, list) and all(isinstance(box, list) for box in value):
        return ";".join(",".join(map(str, box)) for box in value)
    text = str(value)
    if len(text) > MAX_CELL:
        raise ConfigError(
            f"a cell of the manifest has more than {MAX_CELL} characters", "Leave that column out."
        )
    return text


def _check_columns(header: list[str], key: str, labels: str, split: str | None) -> None:
    if len(header) > MAX_COLUMNS:
        raise ConfigError(
            f"the manifest has {len(header)} columns; at most {MAX_COLUMNS} are read",
            "Leave some out.",
        )
    if key not in header:
        separators = [mark for mark in (";", "\t") if any(mark in name for name in header)]
        hint = (
            "Separate the columns by commas."
            if separators
            else f"Its first line names the columns; add {key!r}."
        )
        raise ConfigError(f"the manifest has no column {key!r}", hint)
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise ConfigError(
            f"the manifest names a column twice: {', '.join(map(repr, twice))}",
            "Rename one of them.",
        )
    if split is not None and "split" not in header:
        raise ConfigError(
            "ingest.split is given, but the manifest has no column 'split'",
            "Add it, or unset the key.",
        )
    choices = [
        name for name in header if name not in (key, "path", "patient_id", "boxes", "mask", "")
    ]
    if labels not in ("none", "folder", *choices):
        near = difflib.get_close_matches(labels, choices, n=1)
        hint = (
            f"Perhaps you meant {near[0]!r}."
            if near
            else f"Its columns are {', '.join(map(repr, choices))}."
        )
        raise ConfigError(f"the manifest has no column {labels!r} for the labels", hint)


def _case(
    root: Path, header: list[str], line: int, row: list[str], key: str, label_column: str | None
) -> CaseSource:
    if len(row) != len(header):
        raise ConfigError(
            f"line {line} of the manifest has {len(row)} cells, the first line names {len(header)} columns",
            "Put a cell that holds a comma in double quotes.",
        )
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if name}
    if not cells[key]:
        raise ConfigError(
            f"line {line} of the manifest has an empty {key}", "Fill it in, or remove the line."
        )
    return CaseSource(
        case_id="",
        location=_path(root, cells[key]),
        relative_path=cells[key],
        label=cells[label_column] or None if label_column else None,
        patient_id=cells.get("patient_id") or None,
        metadata={
            name: cell
            for name, cell in cells.items()
            if name not in (*MEANINGFUL, key, label_column)
        },
        split=cells.get("split") or None,
        boxes=_boxes(cells.get("boxes", ""), line),
        mask=_mask(root, cells.get("mask", ""), line),
    )


def _path(root: Path, cell: str) -> Path:
    return Path(os.path.normpath(root / cell))


def _boxes(cell: str, line: int) -> tuple[Box, ...]:
    boxes = []
    for text in filter(str.strip, cell.split(";")):
        try:
            x, y, width, height = (float(number) for number in text.split(","))
            boxes.append(Box(row_px=y, column_px=x, height_px=height, width_px=width))
        except ValueError:
            raise ConfigError(
                f"line {line} of the manifest has a box that is none",
                "Write x,y,width,height;x,y,width,height in pixels, sizes above 0.",
            ) from None
    return tuple(boxes)


def _mask(root: Path, cell: str, line: int) -> Path | None:
    path = _path(root, cell) if cell else None
    try:
        is_there = path is None or path.is_file()
    except (OSError, ValueError):  # a name that is too long, a null character
        is_there = False
    if not is_there:
        raise ConfigError(
            f"line {line} of the manifest names a mask that is not there",
            "Correct it, or empty it.",
        )
    return path
