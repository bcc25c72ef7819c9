"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# As in the workers, and before NumPy is loaded: the last bit of a product depends on the number of threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("CXR_AUDIT_SHARED_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `realdata` is skipped, with the reason, where the data is missing."""
    if SHARED_DATA.is_dir():
        return
    missing = pytest.mark.skip(reason=f"no real radiographs at {SHARED_DATA}")
    for item in items:
        if "realdata" in item.keywords or "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real radiographs and masks, read-only; the test is skipped where there are none."""
    return SHARED_DATA
