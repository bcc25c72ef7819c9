"""A program of the user's -> a model that can be asked: arrays in, scores out, by files.

The program is started once and asked by lines on its standard input:

    INPUT.npy <tab> OUTPUT      float32 (images, rows, columns, channels), as C order
    done                        the program's answer, after it has written OUTPUT.npy or OUTPUT.csv

OUTPUT.npy is an array (images, units) of floating point; OUTPUT.csv has one line an image, without
a header. At the end of its input the program ends. It is code of the user's and runs with the
user's rights: its environment is scrubbed and its time limited, but it is not shut in.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np

from cxr_audit.classifier.model_file import file_sha256
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats

KEPT = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""All of the environment that the program gets, beside HOME and TMPDIR (its own folder) and LANG."""

GUARD = Path(__file__).with_name("command_guard.py")
MOST_OUTPUT = 2**20  # bytes of what it prints beside its answer
MOST_BYTES_A_SCORE = 64
_PROTOCOL = "see 'A program' in docs/models.md, which has an example"


class Command:
    """A program that answers scores.

    Parameters
    ----------
    words : program and arguments.
    seconds : longest time of an answer; the first one includes the program's start.
    sha256 : of its files as `self.sha256` has it; None = any.

    Raises
    ------
    ModelError : the program is missing, or its files are others than those meant.
    """

    version = "a program of the user's"
    activation: str | None = None
    parameters: int | None = None
    shape: tuple[int | None, int | None, int | None] = (None, None, None)

    def __init__(self, words: tuple[str, ...], seconds: float, sha256: str | None = None) -> None:
        self.words, self.seconds = words, seconds
        program = shutil.which(words[0])
        if program is None:
            raise ModelError(f"no such program: {words[0]}", "see classifier.command")
        self._program = program
        files = _files(words, program)
        self.name = files[0].name
        self.sha256 = _digest(files)
        if sha256 is not None and self.sha256 != sha256.lower():
            raise ModelError(
                f"the program {self.name} is not that of the config: the SHA-256 of its files is "
                f"{self.sha256}, expected {sha256.lower()}",
                "audit the program that was meant, or set classifier.sha256 to the new value",
            )
        self._process: _Process | None = None
        self._num_asked = 0

    def answer(self, batch: Floats) -> tuple[Any, Any]:
        """Outputs of a batch.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels).

        Returns
        -------
        outputs (N, units) twice: nothing is known under them.

        Raises
        ------
        ModelError : the program ended, took too long, or answered something else.
        """
        if self._process is None:
            self._process = _Process([self._program, *self.words[1:]])
        folder = self._process.folder
        self._num_asked += 1
        given, answered = folder / f"{self._num_asked}.npy", folder / f"{self._num_asked}-answer"
        np.save(given, np.ascontiguousarray(batch, np.float32))
        try:
            self._process.ask(f"{given}\t{answered}\n", self.seconds)
            outputs = _read_answer(answered, len(batch), self.name)
        except ModelError:
            self.close()
            raise
        finally:
            for path in (given, answered.with_suffix(".npy"), answered.with_suffix(".csv")):
                path.unlink(missing_ok=True)
        return outputs, outputs

    def close(self) -> None:
        """End the program. It is started again when it is asked again."""
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    """The program under way, with a folder of its own for arrays; see `command_guard.py`."""

    def __init__(self, words: list[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-audit-"))
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"LANG": "C.UTF-8", "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        environment["ORT_DISABLE_TELEMETRY"] = "1"
        self._errors = (self.folder / "stderr").open("w+b")
        control, self._control = os.pipe()
        guard = [sys.executable, "-I", str(GUARD), str(control), str(self.folder)]
        self._process = subprocess.Popen(
            [*guard, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self.folder,
            env=environment,
            pass_fds=(control,),
            start_new_session=True,
        )
        os.close(control)
        self.end = weakref.finalize(self, _end, self._process, self._control, self._errors)

    def ask(self, line: str, seconds: float) -> None:
        """Send a line and wait for the line `done`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        deadline, received = time.monotonic() + seconds, b""
        while b"done" not in received.splitlines():
            received += self._read(deadline, seconds)
            if len(received) > MOST_OUTPUT:
                raise ModelError(
                    f"the program printed more than {MOST_OUTPUT:,} bytes without the line 'done'",
                    _PROTOCOL,
                )

    def _read(self, deadline: float, seconds: float) -> bytes:
        assert self._process.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._process.stdout], [], [], left)
        if not ready:
            raise ModelError(
                f"the program gave no answer within {seconds:g} s{self._said()}",
                "set classifier.command_seconds, or engine.batch_size to a smaller number",
            )
        received = os.read(self._process.stdout.fileno(), 65536)
        if not received:
            raise self._ended()
        return received

    def _ended(self) -> ModelError:
        said = self._said()
        os.close(self._control)  # the guard waits for the exit code
        code = self._process.wait()
        self.end.detach()
        _close(self._process, self._errors)
        return ModelError(f"the program ended with exit code {code}{said}", _PROTOCOL)

    def _said(self) -> str:
        """The end of what it wrote to standard error."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"; it wrote: {lines[-1][:300]}" if lines else ""


def _end(process: subprocess.Popen[bytes], control: int, errors: IO[bytes]) -> None:
    """End the program and all that it started; its folder is removed."""
    with contextlib.suppress(OSError):
        os.write(control, b"k")
    os.close(control)
    process.wait()
    _close(process, errors)


def _close(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, errors):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _files(words: tuple[str, ...], program: str) -> list[Path]:
    """The files that are hashed: those among the arguments, or the program where there are none.

    An interpreter is not hashed, nor what a script reads that is no argument.
    """
    arguments = [Path(word) for word in words[1:] if Path(word).is_file()]
    return arguments or [Path(program)]


def _digest(files: list[Path]) -> str:
    """SHA-256 of the file; of several files, over their hashes in order."""
    digests = [file_sha256(path) for path in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _read_answer(answered: Path, num: int, name: str) -> Any:
    """(num, units) float64 from OUTPUT.npy or OUTPUT.csv."""
    arrays, table = answered.with_suffix(".npy"), answered.with_suffix(".csv")
    path = arrays if arrays.is_file() else table
    if not path.is_file():
        raise ModelError(
            f"{name} said done, but wrote neither OUTPUT.npy nor OUTPUT.csv", _PROTOCOL
        )
    if path.stat().st_size > 4096 + num * 4096 * MOST_BYTES_A_SCORE:
        raise ModelError(f"the answer of {name} has {path.stat().st_size:,} bytes", _PROTOCOL)
    try:
        if path == arrays:
            values = np.load(path, allow_pickle=False)
        else:
            values = np.loadtxt(path, np.float64, delimiter=",", ndmin=2)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"the answer of {name} cannot be read: {error}", _PROTOCOL) from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) != num or values.dtype.kind not in "fiu":
        raise ModelError(
            f"{name} answered {values.dtype} of {values.shape} to {num} images, expected numbers "
            f"of ({num}, units)",
            _PROTOCOL,
        )
    return np.asarray(values, np.float64)
