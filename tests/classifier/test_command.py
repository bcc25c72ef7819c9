"""A program as a classifier: the protocol, and what happens where it is not kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cxr_audit.classifier import ClosedClassifier, Command, check_closed_parity, file_sha256
from cxr_audit.errors import ModelError

from tests.conftest import ROOT

SHAPE = (4, 4, 1)
PROTOCOL = """\
import os, sys, time
import numpy as np

for number, line in enumerate(sys.stdin):
    given, answer = line.rstrip("\\n").split("\\t")
    images = np.load(given)
    means = images.mean((1, 2, 3))
{body}
    print("done", flush=True)
"""


def program(tmp_path: Path, body: str, seconds: float = 30) -> Command:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    path = tmp_path / "score.py"
    path.write_text(PROTOCOL.format(body=lines))
    return Command((sys.executable, str(path)), seconds)


def batch(*means: float) -> np.ndarray:
    return np.stack([np.full(SHAPE, mean, np.float32) for mean in means])


@pytest.mark.parametrize(
    "body",
    [
        "np.save(answer + '.npy', means)",
        "np.save(answer + '.npy', means[:, None].astype(np.float64))",
        "np.savetxt(answer + '.csv', means, fmt='%.9g')",
        "print('a word before', flush=True)\nnp.save(answer + '.npy', means)",
    ],
)
def test_scores_come_as_an_array_or_a_table(tmp_path: Path, body: str) -> None:
    command = program(tmp_path, body)
    closed = ClosedClassifier(command, SHAPE, stated="logits")
    np.testing.assert_allclose(closed.logits(batch(0.5, -2, 3))[:, 0], [0.5, -2, 3], atol=1e-6)
    assert check_closed_parity(closed, batch(0.1, 0.2)).largest_output_difference == 0
    command.close()


def test_several_columns_are_several_units(tmp_path: Path) -> None:
    body = "np.savetxt(answer + '.csv', np.stack([means, -means, 0 * means], 1), delimiter=',')"
    closed = ClosedClassifier(program(tmp_path, body), SHAPE, stated="softmax")
    assert closed.num_units == 3
    np.testing.assert_allclose(closed.logits(batch(2.0)), [[2, -2, 0]], atol=1e-6)
    closed.source.close()


def test_its_environment_is_scrubbed_and_it_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "word")
    monkeypatch.setenv("CXR_AUDIT_PASSPHRASE", "word")
    seen = tmp_path / "seen"
    body = f"open({str(seen)!r}, 'w').write('\\n'.join([os.getcwd(), given, *os.environ]))\n"
    command = program(tmp_path, body + "np.save(answer + '.npy', means)")
    command.answer(batch(1.0))
    folder, given, *names = seen.read_text().splitlines()
    assert not {"A_SECRET", "CXR_AUDIT_PASSPHRASE", "USER", "PYTHONPATH"} & set(names)
    assert {"PATH", "HOME", "TMPDIR", "LANG"} <= set(names)
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert not Path(given).exists()
    command.close()
    assert not Path(folder).exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("np.save(answer + '.npy', means[:-1])", "to 2 images"),
        ("np.save(answer + '.npy', np.array(['a'] * 2))", "expected numbers"),
        ("open(answer + '.csv', 'w').write('a,b\\nc,d\\n')", "cannot be read"),
        ("np.save(answer + '.npy', np.array([{}, {}]))", "cannot be read"),
        ("pass", "wrote neither"),
        ("sys.exit('no such weights')", "exit code 1; it wrote: no such weights"),
        ("print('x' * 2_000_000)", "printed more than"),
    ],
)
def test_another_answer_is_refused_with_its_reason(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        program(tmp_path, body).answer(batch(0.0, 1.0))


def test_one_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    body = (
        "import subprocess\n"
        f"child = subprocess.Popen(['sleep', '60'])\nopen({str(marker)!r}, 'w')"
        ".write(str(child.pid))\ntime.sleep(60)"
    )
    start = time.monotonic()
    with pytest.raises(ModelError, match="no answer within 3 s"):
        program(tmp_path, body, seconds=3).answer(batch(0.0))
    assert time.monotonic() - start < 20
    child = int(marker.read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_killed_auditor_leaves_no_program_and_no_arrays(tmp_path: Path) -> None:
    """However the asking process ends, the program is ended and its folder removed."""
    seen = tmp_path / "seen"
    body = f"open({str(seen)!r}, 'w').write(os.getcwd() + ' ' + str(os.getpid()))\ntime.sleep(60)"
    program(tmp_path, body)
    asking = (
        "import sys; import numpy as np; from cxr_audit.classifier.command import Command; "
        f"Command((sys.executable, {str(tmp_path / 'score.py')!r}), 60).answer("
        "np.zeros((1, 4, 4, 1), np.float32))"
    )
    auditor = subprocess.Popen([sys.executable, "-c", asking])
    deadline = time.monotonic() + 60
    while not (seen.is_file() and len(seen.read_text().split()) == 2):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    folder, pid = seen.read_text().split()
    assert any(Path(folder).glob("*.npy"))
    auditor.kill()
    auditor.wait()
    while Path(folder).exists() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_is_started_again_after_it_ended(tmp_path: Path) -> None:
    body = "np.save(answer + '.npy', means)\nif number == 1: sys.exit(3)"
    command = program(tmp_path, body)
    command.answer(batch(1.0))
    with pytest.raises(ModelError, match="exit code 3"):
        command.answer(batch(1.0))
    assert command.answer(batch(2.0))[0][0, 0] == 2
    command.close()


def test_rows_in_another_order_are_refused(tmp_path: Path) -> None:
    closed = ClosedClassifier(
        program(tmp_path, "np.save(answer + '.npy', means[::-1])"), SHAPE, stated="logits"
    )
    with pytest.raises(ModelError, match="answers otherwise in a batch"):
        check_closed_parity(closed, batch(0.0, 1.0))
    closed.source.close()


def test_its_files_are_hashed_but_no_interpreter(tmp_path: Path) -> None:
    command = program(tmp_path, "pass")
    script = tmp_path / "score.py"
    assert command.name == "score.py"
    assert command.sha256 == file_sha256(script)
    (tmp_path / "weights.bin").write_bytes(b"1")
    words = (sys.executable, str(script), str(tmp_path / "weights.bin"))
    first = Command(words, 1).sha256
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert Command(words, 1).sha256 != first != command.sha256
    with pytest.raises(ModelError, match="is not that of the config"):
        Command(words, 1, sha256=first)
    with pytest.raises(ModelError, match="no such program"):
        Command(("no-such-program",), 1)


@pytest.mark.slow
def test_the_example_of_the_docs_answers_as_the_model_does(tmp_path: Path) -> None:
    from tests.classifier.models import images, nested

    model = nested()
    model.save(tmp_path / "m.keras")
    script = ROOT / "docs" / "examples" / "score.py"
    command = Command((sys.executable, str(script), str(tmp_path / "m.keras")), 120)
    closed = ClosedClassifier(command, (32, 32, 3), stated="probabilities")
    outputs, _ = closed.answer(images(3))
    np.testing.assert_allclose(outputs, model.predict(images(3), verbose=0), atol=1e-6)
    command.close()
