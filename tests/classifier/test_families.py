"""Every family of keras.applications: loaded, walked and split exactly. All four variants: benchmarks.families."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.families import FAMILIES, VARIANTS, compare


@pytest.mark.parametrize(("index", "family"), list(enumerate(FAMILIES)), ids=list(FAMILIES))
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_property_1_flat_and_nested_from_both_formats(index: int, family: str, tmp_path: Path) -> None:
    """Two files a family: flat in one format and nested in the other, by turns."""
    variants = (VARIANTS[0], VARIANTS[3]) if index % 2 else (VARIANTS[1], VARIANTS[2])
    for variant, gap in zip(variants, compare(family, variants, tmp_path), strict=True):
        assert gap.logit <= 1e-5, variant
        assert gap.map <= 1e-5, variant
