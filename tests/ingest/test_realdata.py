"""Real radiographs, where they lie beside the repository."""

from __future__ import annotations

import pytest
from cxr_audit.ingest import discover, probe, read

pytestmark = pytest.mark.realdata


def test_rsna(realdata):
    (case,) = discover(realdata / "dicom" / "rsna-cr-chest-pa-mono2-jpeg.dcm")
    probe(case)
    radiograph = read(case)
    assert radiograph.pixels.shape == (1024, 1024)
    assert radiograph.facts.source.decoder.lower().startswith("pillow")
    assert radiograph.facts.view_position == "PA"
    assert radiograph.facts.pixel_spacing_mm == (0.168, 0.168)
    # lungs are darker than the mediastinum between them
    pixels = radiograph.pixels
    assert pixels[350:450, 300:400].mean() + 0.2 < pixels[350:450, 500:560].mean()


def test_rg1(realdata):
    (case,) = discover(realdata / "dicom" / "nema-rg1-chest-pa-mono1-15bit-jpeg2000.dcm")
    radiograph = read(case)
    assert radiograph.pixels.shape == (1955, 1841)
    pixels = radiograph.pixels
    assert pixels[450:550, 300:400].mean() + 0.1 < pixels[450:550, 820:900].mean()


def test_rg3_is_read_and_flagged(realdata):
    (case,) = discover(realdata / "dicom" / "nema-rg3-extremity-mono1-10bit-jpeg2000.dcm")
    radiograph = read(case)
    assert radiograph.pixels.shape == (1760, 1760)
    assert any(warning.code == "ingest.mirrored" for warning in radiograph.facts.warnings)


def test_all_adult_images(realdata):
    cases = discover(realdata / "adult" / "images")
    assert len(cases) == 113
    for case in cases:
        probe(case)
        pixels = read(case).pixels
        assert max(pixels.shape) <= 1024
        assert pixels.max() - pixels.min() > 0.3
