"""What the tests give to processes: calls that end well, and calls that do not."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np


def loaded() -> list[str]:
    """What this process has loaded of TensorFlow."""
    return sorted({"tensorflow", "keras"} & sys.modules.keys())


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def stamped(folder: Path, name: str, seconds: float = 0.2) -> tuple[float, float]:
    """Start and end of a call, and a file that counts how often it was begun."""
    with (folder / name).open("a") as file:
        file.write("x")
    start = time.monotonic()
    time.sleep(seconds)
    return start, time.monotonic()


def fail(text: str) -> None:
    raise LookupError(text)


class Unpicklable(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("cannot be made from this")


def fail_unpicklable() -> None:
    raise Unpicklable(1, 2)


def end(code: int) -> None:
    os._exit(code)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> int:
    """Dies the first time, answers the second."""
    if not mark.exists():
        mark.touch()
        kill()
    return os.getpid()


def take_memory(mib: int) -> int:
    return int(np.ones(mib * 2**17).size)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


class Holder:
    def __init__(self, number: int = 7) -> None:
        self.number = number

    def add(self, other: int) -> int:
        return self.number + other


def bad_holder() -> Holder:
    raise LookupError("no network")


def dying_holder() -> Holder:
    os._exit(3)
