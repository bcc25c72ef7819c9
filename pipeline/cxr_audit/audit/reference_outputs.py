"""The outputs that a site has exported from its own pipeline, and the cases that they are of."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxr_audit.errors import ConfigError
from cxr_audit.records import CaseSource

KEYS = ("path", "file", "filename", "case", "case_id")
"""A reference file's first column is one of these."""
LARGEST_CASES = 200
"""More rows of a reference file are thinned out evenly."""
Case = tuple[CaseSource, tuple[float, ...]]
"""A radiograph and its outputs, in the order of the file's classes."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a site's own pipeline says.

    Parameters
    ----------
    class_names : the classes that the file has a column for.
    outputs : by path or case id: probabilities, in the order of `class_names`.
    sha256 : of the file.
    """

    class_names: tuple[str, ...]
    outputs: dict[str, tuple[float, ...]]
    sha256: str


def read_reference(path: Path, labels: Sequence[str]) -> Reference:
    """A CSV file with the outputs of a site's own pipeline.

    The first column is named path, file, filename, case or case_id; each further column is a class and has
    its probability.

    Parameters
    ----------
    path : the file, UTF-8.
    labels : the classes that the classifier has.

    Raises
    ------
    ConfigError : with the line, but without what is in it, which may name a patient.
    """
    try:
        content = path.read_bytes()
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no CSV file in UTF-8"
        raise ConfigError(f"cannot read classifier.reference_outputs: {reason}") from error
    names = [name.strip() for name in rows[0]] if rows else []
    if not names or names[0].lower() not in KEYS:
        raise ConfigError(
            "classifier.reference_outputs: the first column is not named " + " or ".join(KEYS),
            f"write the header as path,{labels[-1]}: the path of a radiograph, and the probability "
            "of a class",
        )
    _check_classes(names[1:], labels)
    outputs: dict[str, tuple[float, ...]] = {}
    for line, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        key, values = _row(row, line, len(names))
        if key in outputs:
            raise ConfigError(f"classifier.reference_outputs: line {line} has a path a second time")
        outputs[key] = values
    if not outputs:
        raise ConfigError("classifier.reference_outputs has no row")
    return Reference(tuple(names[1:]), outputs, hashlib.sha256(content).hexdigest())


def _check_classes(names: Sequence[str], labels: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(labels))
    if unknown or not names or len(set(names)) != len(names):
        what = "has a column twice" if names else "has no column for a class"
        if unknown:
            what = f"has columns that match no class: {', '.join(unknown)}"
        raise ConfigError(
            f"classifier.reference_outputs {what}; classes are {', '.join(labels)}",
            "name the columns as classifier.class_names",
        )


def _row(row: Sequence[str], line: int, num_columns: int) -> tuple[str, tuple[float, ...]]:
    """Key and outputs of one line."""
    problem = f"classifier.reference_outputs: line {line} "
    if len(row) != num_columns:
        raise ConfigError(f"{problem}has {len(row)} columns, expected {num_columns}")
    try:
        values = tuple(float(cell) for cell in row[1:])
    except ValueError:
        raise ConfigError(f"{problem}has an output that is no number") from None
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise ConfigError(
            f"{problem}has an output outside [0, 1]",
            "export probabilities, after the sigmoid or softmax, not logits or percentages",
        )
    return _slashes(row[0].strip()), values


def chosen_cases(reference: Reference, sources: Sequence[CaseSource]) -> list[Case]:
    """The cases that the file has outputs of, thinned out evenly where there are many.

    A row is a case id, a path that ends as a case's (or the other way round), or a file name that
    only one case has.
    """
    by_id = {source.case_id: source for source in sources}
    by_name: dict[str, list[CaseSource]] = {}
    for source in sources:
        by_name.setdefault(PurePosixPath(_slashes(source.relative_path)).name, []).append(source)
    cases = []
    for key, values in reference.outputs.items():
        named = by_name.get(PurePosixPath(key).name, [])
        found = [source for source in named if _is_same(key, _slashes(source.relative_path))]
        if key in by_id:
            cases.append((by_id[key], values))
        elif len(found) == 1:
            cases.append((found[0], values))
    if not cases:
        raise ConfigError(
            f"none of the {len(reference.outputs)} rows of classifier.reference_outputs is a case",
            "name each by its path below ingest.source, its file name or its case id",
        )
    if len({source.case_id for source, _ in cases}) != len(cases):
        raise ConfigError("two rows of classifier.reference_outputs are the same case")
    return thinned_out(cases, LARGEST_CASES)


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _is_same(key: str, path: str) -> bool:
    """Whether one path ends with the whole of the other."""
    return f"/{path}".endswith(f"/{key}") or f"/{key}".endswith(f"/{path}")


def thinned_out(cases: list[Case], largest: int) -> list[Case]:
    """So many cases at most, spread evenly."""
    num = min(len(cases), largest)
    return [cases[index * len(cases) // num] for index in range(num)]
