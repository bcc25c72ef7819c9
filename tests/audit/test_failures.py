"""One bad case is one failed case; ten in the same way stop the run."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from cxr_audit import load_config
from cxr_audit.audit import RunResult, audit
from cxr_audit.audit.auditor import Auditor
from cxr_audit.audit.document import document
from cxr_audit.audit.failures import Failure, FirstCases, WorkerLost
from cxr_audit.audit.prepare import prepare
from cxr_audit.errors import EngineError, ModelError, UnreadableFile
from cxr_audit.evidence import RunFolder, verify
from cxr_audit.vocabulary import message

from tests.audit.runs import Inline, everything, rows_of, write_image

LOST = WorkerLost(message("engine.died_of_signal", signal=9), message("engine.lower_workers"))


class Faulty(Inline):
    """Raises an exception for some calls on some cases.

    Parameters
    ----------
    at : prepare, Auditor.explain or document.
    names : endings of the file names of the cases at fault.
    """

    def __init__(self, config: Any, at: Any, names: tuple[str, ...], error: Exception) -> None:
        super().__init__(config)
        self._at, self._names, self._error = at, names, error
        self.calls = 0

    def light(self, function: Any, /, *arguments: Any) -> Future[Any]:
        return super().light(self._maybe, function, arguments)

    def _maybe(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        asked = function if function.__name__ != "_in_auditor" else arguments[0]
        is_of_failure = asked is document and arguments[0].prepared.failure is not None
        if is_of_failure:
            return function(*arguments)
        if asked is self._at and any(name in repr(arguments) for name in self._names):
            self.calls += 1
            raise self._error
        return function(*arguments)


def run_faulty(
    config_file: Path, at: Any, names: tuple[str, ...], error: Exception, *overrides: str
) -> tuple[RunResult, Faulty]:
    config = load_config(config_file, overrides)
    engine = Faulty(config, at, names, error)
    return audit(config, engine), engine


@pytest.mark.parametrize("at", [prepare, Auditor.explain, document])
@pytest.mark.parametrize("error", [LOST, LookupError("Doe^Jane"), MemoryError()])
def test_one_case_fails_and_the_others_are_as_without_it(
    config_file: Path, at: Any, error: Exception
) -> None:
    few = "trust.sample=7"  # no mean radiograph, which would lack the case at fault
    config = load_config(config_file, [few, "run.name=whole"])
    whole = RunFolder(audit(config, Inline(config)).folder)
    at_fault = ("PNEUMONIA/Doe^Jane_2",)
    if at is document:  # that knows no path
        (bad,) = (row for row in rows_of(whole) if _path(whole, row).endswith("IA/Doe^Jane_2.png"))
        at_fault = (f"{bad['case_id']}', location",)
    result, _ = run_faulty(config_file, at, at_fault, error, few)
    folder = RunFolder(result.folder)
    (failed,) = (row for row in rows_of(folder) if row["status"] == "failed")
    assert result.counts == {"ok": 7, "excluded": 0, "failed": 1}
    assert [case.case_id for case in result.failed] == [failed["case_id"]]
    assert _path(whole, failed).endswith("PNEUMONIA/Doe^Jane_2.png")
    record = folder.read_case(failed["case_id"])
    assert record is not None
    code = {LookupError: "audit.unexpected", MemoryError: "audit.out_of_memory"}
    assert record.reason.code == code.get(type(error), "engine.died_of_signal")
    assert record.error == type(error).__name__
    assert "Doe" not in (folder.path / "cases.csv").read_text()
    assert set(record.pictures) == (set() if at is prepare else {"radiograph"})
    assert {path.name for path in folder.case(failed["case_id"]).iterdir()} == {
        "case.json",
        *record.pictures.values(),
    }
    one, two = everything(whole), everything(folder)
    others = {name for name in one if failed["case_id"] not in name}
    assert {name: one[name] for name in others} == {
        name: data for name, data in two.items() if failed["case_id"] not in name
    }
    assert verify(folder) == []


def _path(folder: RunFolder, row: dict[str, str]) -> str:
    lines = (folder.private / "crosswalk.csv").read_text().splitlines()
    return next(line.split(",")[1] for line in lines if line.startswith(row["case_id"]))


def test_what_was_lost_is_made_again_on_resume(config_file: Path) -> None:
    few = "trust.sample=7"
    result, _ = run_faulty(config_file, prepare, ("PNEUMONIA/Doe^Jane_2",), LOST, few)
    assert result.counts["failed"] == 1
    config = load_config(config_file, [few, "engine.case_seconds=600"])
    resumed = audit(config, Inline(config), resume=True)
    assert resumed.counts == {"ok": 8, "excluded": 0, "failed": 0}
    assert verify(RunFolder(resumed.folder)) == []


def test_a_case_that_the_calibration_cannot_take_is_left_out_of_it(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Auditor.ready_batch

    def ready_batch(self: Auditor, batch: Any) -> Any:
        if any(case and "IA/Doe^Jane_2" in case.source.relative_path for case in batch):
            raise LookupError("Doe^Jane")
        return original(self, batch)

    monkeypatch.setattr(Auditor, "ready_batch", ready_batch)
    config = load_config(config_file)
    result = audit(config, Inline(config))
    assert result.counts == {"ok": 7, "excluded": 0, "failed": 1}
    assert RunFolder(result.folder).read_run().calibration.scale_source.values["num"] == 7


def test_ten_cases_that_fail_in_the_same_way_stop_the_run(config_file: Path) -> None:
    for n in range(4):
        write_image(config_file.parent / "images" / "NORMAL" / f"more {n}.png", 30 + n)
    with pytest.raises(LookupError):  # the first ten of twelve
        run_faulty(config_file, prepare, ("png",), LookupError("x"))
    with pytest.raises(WorkerLost):
        run_faulty(config_file, Auditor.explain, ("png",), LOST, "run.name=lost")
    # Nine are nine failed cases.
    result, _ = run_faulty(
        config_file, prepare, ("NORMAL/", "NIA/Doe^Jane_0"), LookupError("x"), "run.name=nine"
    )
    assert result.counts == {"ok": 3, "excluded": 0, "failed": 9}


def test_an_error_of_the_run_stops_it_at_once(config_file: Path) -> None:
    full = EngineError("cannot write case.json: no space left on device")
    for at, error in ((document, full), (Auditor.explain, ModelError("no such layer"))):
        with pytest.raises(type(error)):
            run_faulty(config_file, at, ("",), error, f"run.name={type(error).__name__}")


def test_the_first_ten_cases_are_counted_in_order() -> None:
    lost, unreadable = Failure.of(LOST), Failure.of(UnreadableFile("empty"))
    other = Failure.of(MemoryError())
    for first in (None, unreadable, other):
        cases = FirstCases()
        for failure in (first, *[lost] * 20):
            cases.add(failure)
    cases = FirstCases()
    for _ in range(9):
        cases.add(lost)
    with pytest.raises(WorkerLost):
        cases.add(lost)
