"""docs/architecture.md names the rooms, floors and files that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pipeline" / "cxr_audit"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STARTS = {"__init__.py", "__main__.py"}


def section(title: str) -> str:
    """The text of one section of the page."""
    match = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match is not None, f"docs/architecture.md has no section {title!r}"
    return match[1]


def modules() -> set[str]:
    """The modules and packages at the top of the package; a package ends with a slash."""
    names = set()
    for path in PACKAGE.iterdir():
        if path.is_dir() and any(path.glob("*.py")):
            names.add(f"{path.name}/")
        elif path.suffix == ".py" and path.name not in STARTS:
            names.add(path.name)
    return names


def test_the_rooms_are_the_modules_that_there_are() -> None:
    rooms = re.findall(r"^ {6}(\S+)", section("Rooms"), re.MULTILINE)
    assert len(rooms) == len(set(rooms)), "a room stands twice"
    assert set(rooms) == modules()


def test_the_floors_are_those_that_the_linter_checks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = {name.removesuffix("/").removesuffix(".py") for name in modules()}
    expected = []
    for layer in layers:
        floor = set(re.findall(r"cxr_audit\.(\w+)", layer)) & names
        if floor:
            expected.append(floor)
    lines = re.findall(r"^ {4}(\w.*)$", section("Floors"), re.MULTILINE)
    assert [set(line.split()) for line in lines] == expected
    assert set().union(*expected) == names


def existing_part(name: str) -> str:
    """A path up to its first pattern, such as `quality` of `quality/<stage>.py`."""
    return name.split("<")[0].rpartition("/")[0] if "<" in name else name


def test_every_file_that_the_page_names_exists() -> None:
    path = re.compile(r"`([\w<>./-]+/[\w<>./-]+)`")
    assert len(set(path.findall(section("To add something")))) >= 15
    missing = []
    for name in sorted(set(path.findall(PAGE))):
        part = existing_part(name)
        if not (PACKAGE / part).exists() and not (ROOT / part).exists():
            missing.append(name)
    assert missing == []


def test_the_toy_test_that_the_page_names_adds_what_it_says() -> None:
    """The first seven rows of the table are the seven tables that the toy package adds to."""
    toy = (ROOT / "tests" / "vocabulary" / "test_added_rows.py").read_text("utf-8")
    added = set(re.findall(r"v\.([A-Z_]+)\.add\(", toy))
    rows = re.findall(r"^\| (an? .*?) \| a row in `vocabulary/(\w+)\.py`", PAGE, re.MULTILINE)
    assert [thing for thing, _ in rows][:7] == [
        "a metric of a map",
        "a metric of a region",
        "a method",
        "a region kind",
        "a flag",
        "a quality check",
        "an output file",
    ]
    assert added == {
        "MAP_METRICS",
        "REGION_METRICS",
        "METHODS",
        "REGION_KINDS",
        "FLAGS",
        "QUALITY_CHECKS",
        "OUTPUT_FILES",
    }
