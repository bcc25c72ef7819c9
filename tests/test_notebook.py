"""Every cell of the example notebook runs, in order, in an empty folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "examples" / "audit.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """The value of the last line, as a notebook shows it; None where that is no expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.slow
def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    shown = [run_cell(source, names) for source in sources]
    result, cases = shown[2], shown[3]
    assert "cxr-audit: notebook" in result._repr_html_()
    assert len(cases) == 12
    assert set(cases["label"]) == {"NORMAL", "PNEUMONIA"}
    assert names["run"].metrics.loc["auc", "value"] >= 0.7
    assert list(names["run"].criteria["state"]) == ["met"]
    assert [line.name for line in shown[-1]] == ["notebook"]
