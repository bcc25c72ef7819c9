"""TensorFlow's notices in C++, which no setting stops: of devices, instruction sets, sessions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Nothing that is written to standard error meanwhile is shown; exceptions are raised."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
