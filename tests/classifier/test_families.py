"""Every family of keras.applications: loaded, walked and split exactly. All four variants:
benchmarks.families.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.families import FAMILIES, VARIANTS, compare

# One file a family, the four variants by turns; nested from both formats where property 1 names the
# family.
CASES = [
    (family, VARIANTS[n % 4 : n % 4 + 1])
    for n, family in enumerate(FAMILIES)
    if family != "InceptionResNetV2"
]
CASES.append(("InceptionResNetV2", (VARIANTS[1], VARIANTS[3])))


@pytest.mark.parametrize(("family", "variants"), CASES, ids=[family for family, _ in CASES])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_property_1_flat_and_nested_from_both_formats(
    family: str, variants: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    for variant, gap in zip(variants, compare(family, variants, tmp_path), strict=True):
        assert gap.logit <= 1e-5, variant
        assert gap.map <= 1e-5, variant
