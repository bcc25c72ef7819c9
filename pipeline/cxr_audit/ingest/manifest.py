"""A CSV or Parquet manifest -> its cases, with labels, patients, splits, boxes and masks.

CSV: RFC 4180, UTF-8, commas, or the separator that a first line `sep=;` names. Parquet: one row a
case, plain columns. Columns that mean something:

    path        the image, relative to the manifest's folder, or absolute; the only one that must be
                there
    patient_id  for the crosswalk
    split       train, test, ...; `ingest.split` takes one of them
    boxes       x,y,width,height;x,y,width,height;...  in pixels of the upright image, from its
                upper left corner; in Parquet also a list of lists of four numbers
    mask        an image of the annotated region, a path like `path`

A manifest of a DICOMweb server has the column SOPInstanceUID in place of `path`: its rows say which
of the instances that the filter finds are cases. `ingest.labels` names the column of the labels;
every further column is metadata. Refuses (`ConfigError`) a manifest that is too large or cannot be
understood, or that gives one file two labels. Messages name columns and lines, never a cell: it may
hold a name.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cxr_audit.errors import ConfigError
from cxr_audit.records import Box, CaseSource, ServerInstance
from cxr_audit.vocabulary.nearest import nearest

SUFFIXES = (".csv", ".parquet")
MEANINGFUL = ("path", "patient_id", "split", "boxes", "mask")
INSTANCE = "SOPInstanceUID"
# What people call the column `path`, in small letters.
NAMES_OF_PATH = frozenset(
    {
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "img",
        "dicom",
    }
)

MAX_BYTES = 128 * 2**20  # of the file, and of what a Parquet file says that it inflates to
MAX_ROWS = 500_000
MAX_COLUMNS = 500
MAX_CELL = 131_072  # characters; the csv module's own limit
MAX_LINES_NAMED = 10

SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line
IMAGE_NAME = re.compile(r"\.(dcm|dicom|png|jpe?g|tiff?)$", re.IGNORECASE)

Rows = Iterator[tuple[int, list[str]]]


@dataclass(frozen=True, slots=True)
class _Table:
    """How the rows of a manifest become cases."""

    root: Path
    header: list[str]
    key: str
    label_column: str | None


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
    """The rows of a manifest in their order, without ids.

    Parameters
    ----------
    manifest
    labels : "none", "folder" (labelled by the caller) or the name of a column.
    split : only the rows of this split; None = all.
    instances : what a server has, by SOP Instance UID: the rows then name these, not files.

    Raises
    ------
    ConfigError
    """
    key = "path" if instances is None else INSTANCE
    lines = _lines(manifest)
    header = _column_names(lines[0][1])
    _check_columns(header, key, labels, split)
    label_column = None if labels in ("none", "folder") else labels
    table = _Table(manifest.parent, header, key, label_column)
    cases = [(line, _case(table, line, row)) for line, row in lines[1:]]
    chosen = cases if split is None else _of_split(cases, split)
    if instances is not None:
        chosen = _on_server(chosen, instances)
    _check_labels(chosen)
    return [case for _, case in chosen]


def _column_names(cells: list[str]) -> list[str]:
    header = [name.strip() for name in cells]
    while header and not header[-1]:  # trailing commas, as spreadsheets write them
        header.pop()
    return header


def _of_split(cases: list[tuple[int, CaseSource]], split: str) -> list[tuple[int, CaseSource]]:
    """The rows of a split, each with its line."""
    chosen = [(line, case) for line, case in cases if case.split == split]
    if cases and not chosen:
        splits = sorted({case.split for _, case in cases if case.split is not None})
        near = nearest(split, splits)
        hint = "Write it as the column 'split' does."
        if near is not None:
            hint = f"Perhaps you meant {near!r}."
        raise ConfigError(f"no row of the manifest has the split {split!r}", hint)
    return chosen


def _lines(manifest: Path) -> list[tuple[int, list[str]]]:
    """The first line, which names the columns, and the rows, each with its number."""
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
    return lines


def _on_server(
    rows: list[tuple[int, CaseSource]], instances: Mapping[str, CaseSource]
) -> list[tuple[int, CaseSource]]:
    """Rows that name instances by their UIDs, with where these lie."""
    absent = [line for line, row in rows if row.relative_path not in instances]
    if absent:
        raise ConfigError(
            f"{len(absent)} of {len(rows)} rows of the manifest name no instance that the server's "
            f"filter finds: lines {_named(absent)}",
            "Widen the filter of ingest.source, leave these rows out, or mark the rest by "
            "ingest.split.",
        )
    located = []
    for line, row in rows:
        instance = instances[row.relative_path]
        case = replace(
            row,
            location=instance.location,
            relative_path=instance.relative_path,
            patient_id=row.patient_id or instance.patient_id,
        )
        located.append((line, case))
    return located


def _named(lines: list[int]) -> str:
    first = ", ".join(str(line) for line in lines[:MAX_LINES_NAMED])
    return first + (", ..." if len(lines) > MAX_LINES_NAMED else "")


def _check_labels(rows: list[tuple[int, CaseSource]]) -> None:
    """Refuse one file under two labels: one of them is wrong."""
    first: dict[str, tuple[int, str]] = {}
    contradicting: list[int] = []
    for line, case in rows:
        if case.label is None:
            continue
        identity = str(case.location)
        if isinstance(case.location, ServerInstance):
            identity = case.location.uid
        first_line, label = first.setdefault(identity, (line, case.label))
        if label != case.label:
            contradicting += [first_line, line]
    if contradicting:
        lines = sorted(set(contradicting))
        raise ConfigError(
            f"the manifest gives the same file different labels: lines {_named(lines)}",
            "Leave one line for each file.",
        )


def _csv(manifest: Path) -> Rows:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            separator = SEPARATOR.fullmatch(file.readline())
            if separator is None:
                file.seek(0)
            delimiter = separator[1] if separator else ","
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            num_before = 1 if separator else 0
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num + num_before, row
    except UnicodeDecodeError as error:
        raise ConfigError("the manifest is not UTF-8 text", "Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise ConfigError(
            f"the manifest is not a CSV table: {error}", "Save it as CSV UTF-8."
        ) from error


def _parquet(manifest: Path) -> Rows:
    """The columns' names, then the rows, numbered from 1; every value as text, as in a CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(manifest) as file:
            _check_parquet(file.metadata)
            columns = file.schema_arrow.names
            names = [name for name in columns if not name.startswith("__index_level_")]
            yield 0, names
            number = itertools.count(1)
            for batch in file.iter_batches(1024, columns=names):
                cells = [batch.column(name).to_pylist() for name in names]
                for row in zip(*cells, strict=True):
                    yield next(number), [_text(value) for value in row]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        failure = ConfigError(
            f"the manifest is not a Parquet file ({type(error).__name__})", "Save it anew."
        )
    else:
        return
    raise failure  # outside the handler: the library's words may quote a cell


def _check_parquet(facts: Any) -> None:
    inflated = sum(
        facts.row_group(number).total_byte_size for number in range(facts.num_row_groups)
    )
    if facts.num_rows > MAX_ROWS or facts.num_columns > MAX_COLUMNS or inflated > MAX_BYTES:
        raise ConfigError(
            f"the manifest has {facts.num_rows} rows, {facts.num_columns} columns, {inflated} "
            f"bytes; at most {MAX_ROWS}, {MAX_COLUMNS} and {MAX_BYTES} are read",
            "Split it, or leave columns out.",
        )


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # an integer column with a gap becomes one of floats
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
        raise ConfigError(f"the manifest has no column {key!r}", _hint_for_key(header, key))
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
    others = (key, "path", "patient_id", "boxes", "mask", "")
    choices = [name for name in header if name not in others]
    if labels not in ("none", "folder", *choices):
        near = nearest(labels, choices)
        hint = f"Its columns are {', '.join(map(repr, choices))}."
        if near is not None:
            hint = f"Perhaps you meant {near!r}. {hint}"
        raise ConfigError(f"the manifest has no column {labels!r} for the labels", hint)


def _hint_for_key(header: list[str], key: str) -> str:
    """What to do where the column of the images is missing.

    The columns are named, unless the first line looks like a row: its cells may hold a name.
    """
    if any(";" in name or "\t" in name for name in header):
        return "Separate the columns by commas, or write sep=; as the first line."
    if any(IMAGE_NAME.search(name) for name in header):
        return f"Its first line must name the columns, and is a row; add {key!r} and the others."
    near = _names_near(header, key)
    columns = f"Its columns are {', '.join(map(repr, header))}."
    if near:
        return f"Perhaps you meant {near[0]!r}: rename it to {key!r}. {columns}"
    return f"Its first line names the columns; add {key!r}. {columns}"


def _names_near(header: list[str], key: str) -> list[str]:
    """Columns that may be the one that is missing, the likeliest first."""
    same = [name for name in header if name.lower() == key.lower()]
    if not same and key == "path":
        same = [name for name in header if name.lower().replace(" ", "_") in NAMES_OF_PATH]
    near = nearest(key, header, 0.6)
    return same or ([] if near is None else [near])


def _case(table: _Table, line: int, row: list[str]) -> CaseSource:
    header, key = table.header, table.key
    while len(row) > len(header) and not row[-1].strip():  # trailing commas
        row = row[:-1]
    if len(row) != len(header):
        raise ConfigError(
            f"line {line} of the manifest has {len(row)} cells, the first line names "
            f"{len(header)} columns",
            "Put a cell that holds a comma in double quotes.",
        )
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if name}
    if not cells[key]:
        raise ConfigError(
            f"line {line} of the manifest has an empty {key}", "Fill it in, or remove the line."
        )
    others = (*MEANINGFUL, key, table.label_column)
    return CaseSource(
        case_id="",
        location=_path(table.root, cells[key]),
        relative_path=cells[key],
        label=cells[table.label_column] or None if table.label_column else None,
        patient_id=cells.get("patient_id") or None,
        metadata={name: cell for name, cell in cells.items() if name not in others},
        split=cells.get("split") or None,
        boxes=_boxes(cells.get("boxes", ""), line),
        mask=_mask(table.root, cells.get("mask", ""), line),
    )


def _path(root: Path, cell: str) -> Path:
    """A cell as a path: as it stands, or as another system writes the same name.

    Windows separates by backslashes; macOS stores accents as characters of their own (NFD).
    """
    literal = Path(os.path.normpath(root / cell))
    variants = [cell, cell.replace("\\", "/")]
    if not cell.isascii():
        for form in ("NFC", "NFD"):
            variants += [unicodedata.normalize(form, variant) for variant in variants[:2]]
    for variant in dict.fromkeys(variants):
        path = Path(os.path.normpath(root / variant))
        if len(set(variants)) > 1 and _exists(path):
            return path
    return literal


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a null character
        return False


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
    if not cell:
        return None
    path = _path(root, cell)
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # a name that is too long, a null character
        is_there = False
    if not is_there:
        raise ConfigError(
            f"line {line} of the manifest names a mask that is not there",
            "Correct it, or empty it.",
        )
    return path
