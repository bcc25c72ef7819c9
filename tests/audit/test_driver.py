"""The composer's own process: no TensorFlow, little memory, quick to interrupt."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cxr_audit import load_config
from cxr_audit.audit import audit
from cxr_audit.audit.finish import RecordsOnDisk
from cxr_audit.audit.work import Work
from cxr_audit.evidence import RunFolder

from tests.audit.runs import Inline, rows_of, run

WITHOUT_NETWORKS = """
import sys
from cxr_audit import load_config, run_audit

if __name__ == "__main__":
    result = run_audit(load_config(sys.argv[1]), limit=2)
    print(result.counts["ok"], sorted({"tensorflow", "keras", "torch"} & sys.modules.keys()))
"""


def test_the_driver_never_imports_tensorflow(config_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_NETWORKS)
    done = subprocess.run([sys.executable, script, config_file], capture_output=True, text=True)
    assert done.stdout == "2 []\n", done.stderr


def test_the_driver_holds_two_kib_a_case_at_most(config_file: Path) -> None:
    """The state between batches, by its allocations; 160 cases with paths of 100 characters."""
    images = config_file.parent / "images" / "NORMAL"
    data = (images / "Doe^Jane_0.png").read_bytes()
    for n in range(160):
        (images / f"{n:0>100}.png").write_bytes(data)
    held: list[tuple[int, int]] = []

    config = load_config(config_file, ["trust.sample=1", "engine.batch_size=16"])
    original = Work._collect

    def collect(self: Work, limit: int) -> None:
        original(self, limit)
        if limit == 0 or not self._pending:
            gc.collect()
            held.append((len(self._status), tracemalloc.get_traced_memory()[0]))

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Work, "_collect", collect)
            audit(config, Inline(config))
    finally:
        tracemalloc.stop()
    # The networks live in this process here: compare with the state after the first batches.
    (few, small), (many, large) = held[2], held[-1]
    assert many == 168
    assert (large - small) / (many - few) < 2048
    assert large > before


def test_records_are_read_from_disk_as_often_as_they_are_asked_for(config_file: Path) -> None:
    folder = run(config_file, limit=4)
    ids = [row["case_id"] for row in rows_of(folder)]
    records = RecordsOnDisk(folder, ids)
    assert [len(records), len(records[1:3])] == [4, 2]
    for _ in range(2):
        assert [record.case_id for record in records] == ids
    assert records[-1] == folder.read_case(ids[3])
    assert records[1] is not records[1]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["start", "cases"])
def test_ctrl_c_ends_a_run_within_two_seconds(config_file: Path, phase: str) -> None:
    # A shell that starts the tests in the background has them ignore SIGINT; a terminal does not.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from cxr_audit.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "run", str(config_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = config_file.parent / "reports" / "test"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "run.json").exists() or (phase == "start" and children.read_text()):
            break
        time.sleep(0.02)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    message = ""
    while "interrupted" not in message:
        line = process.stderr.readline()
        assert line, message
        message += line
    assert time.monotonic() - start < 2
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in message + rest
    assert ("--resume" in message) is (phase == "cases")


def test_a_resumed_run_records_all_its_legs(config_file: Path) -> None:
    class Interrupted(Inline):
        left = 4

        def light(self, function: Any, /, *arguments: Any) -> Any:
            if function.__name__ == "document":
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
            return super().light(function, *arguments)

    config = load_config(config_file)
    with pytest.raises(KeyboardInterrupt):
        audit(config, Interrupted(config))
    folder = RunFolder(config.run.output / config.run.name)
    (broken,) = folder.read_run().legs
    assert broken.ended is not None
    assert "calibration" in broken.costs.cpu_s
    finished = run(config_file, resume=True).read_run()
    first, second = finished.legs
    assert first == broken
    assert first.num_cases + second.num_cases == 8
    assert second.num_cases > 0
    assert second.engine == {"name": "inline", "workers": 1, "auditors": 1, "batch_size": 3}
    assert set(second.machine) == {"system", "processor", "cores", "memory_mib"}
    assert second.costs.peak_memory_mib["auditor"] > 0
    for name, seconds in second.costs.wall_s.items():
        before = first.costs.wall_s.get(name, 0)
        assert finished.costs.wall_s[name] == pytest.approx(before + seconds, abs=0.011)
    assert json.loads((folder.path / "run.json").read_text())["legs"][0]["started"]
