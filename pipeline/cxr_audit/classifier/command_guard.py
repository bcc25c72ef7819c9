"""Runs the program of `classifier.command` and tidies up, however the process that asks it ends.

    python command_guard.py CONTROL FOLDER PROGRAM [ARGUMENT...]

The program has the standard streams of this process. CONTROL is a file descriptor: where it is
closed, or a byte comes, the program is ended with all that it started, and FOLDER is removed. The
exit code is the program's, 128 and more for a signal. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

SECONDS = 1.0
"""Time for a program that has lost its input to end by itself."""


def guard(control: int, folder: str, words: list[str]) -> int:
    """Run a program until it has to end.

    Parameters
    ----------
    control : file descriptor that is read.
    folder : removed at the end.
    words : program and arguments.

    Returns
    -------
    The exit code.
    """
    program = subprocess.Popen(words, start_new_session=True)
    # Else nobody would see that the program has closed its ends of the two pipes.
    with open(os.devnull, "r+b") as null:  # noqa: PTH123  no pathlib: a process starts faster
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
    is_asked_to_kill = bool(os.read(control, 1))
    if not is_asked_to_kill:
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    code = program.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
