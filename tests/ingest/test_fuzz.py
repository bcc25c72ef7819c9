"""Every outcome is a `Radiograph` or a named error.

A small budget of what `benchmarks.fuzz` does at length.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from cxr_audit.errors import CaseError
from cxr_audit.ingest import Display, read
from cxr_audit.records import CaseSource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword

from benchmarks import fuzz as module
from benchmarks.fuzz import fuzz

NAMED = {"Radiograph", "UnreadableFile", "NotARadiograph", "UnsupportedRadiograph"}


@pytest.mark.trap("damage")
def test_mutated_files():
    counts, findings = fuzz(range(200), seed=3)
    assert findings == []
    assert sum(counts.values()) == 200
    assert NAMED <= set(counts) <= NAMED | {"Radiograph_with_unreadable_values"}


@pytest.mark.parametrize(("limit", "finding"), [("LIMIT_MIB", "MEMORY"), ("LIMIT_S", "HANG")])
def test_the_fuzzer_finds(monkeypatch, tmp_path, limit, finding):
    monkeypatch.setattr(module, "KEPT", tmp_path)
    monkeypatch.setattr(module, limit, 0)
    _, findings = fuzz(range(1), seed=3)
    assert finding in findings[0]
    assert (tmp_path / "3-0").is_file()


def test_the_fuzzer_sees_a_crash():
    worker = module.Worker(seed=3)
    worker.process.kill()
    outcome, _, is_alive = worker.outcome(0)
    worker.end()
    assert outcome.startswith("CRASH -9")
    assert not is_alive


# Values as a careless or a hostile writer may leave them, by VR.
NUMBERS = st.integers(0, 65535).map(lambda n: struct.pack("<H", n))
DECIMALS = st.one_of(
    st.floats().map(repr),
    st.integers(-(2**40), 2**40).map(str),
    st.sampled_from(["", " ", "1e400", "-0", "1,5", "\0"]),
)
VALUES = {
    "US": st.lists(NUMBERS, max_size=4).map(b"".join),
    "DS": st.lists(DECIMALS, max_size=4).map(lambda texts: "\\".join(texts).encode()[:200]),
    "IS": st.lists(DECIMALS, max_size=3).map(lambda texts: "\\".join(texts).encode()[:200]),
    "CS": st.lists(
        st.sampled_from(
            [
                "MONOCHROME1",
                "MONOCHROME2",
                "RGB",
                "CR",
                "DX",
                "SIGMOID",
                "INVERSE",
                "",
                "YES",
                "L",
                "F",
                "x" * 70,
            ]
        ),
        max_size=3,
    ).map(lambda texts: "\\".join(texts).encode()),
    "AS": st.sampled_from([b"045Y", b"999Y", b"", b"-12Y", b"12"]),
}
KEYWORDS = (
    "ImageType", "Modality", "PresentationIntentType", "PatientAge", "BodyPartExamined",
    "ViewPosition", "ImagerPixelSpacing", "PatientOrientation", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames",
    "Rows", "Columns", "PixelSpacing", "PixelAspectRatio", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter",
    "WindowWidth",
    "RescaleIntercept", "RescaleSlope", "VOILUTFunction", "LossyImageCompressionRatio",
)  # fmt: skip
SOUND = {
    "Modality": b"CR", "SamplesPerPixel": b"\1\0", "PhotometricInterpretation": b"MONOCHROME1",
    "Rows": b"\x04\0",
    "Columns": b"\x04\0", "BitsAllocated": b"\x10\0", "BitsStored": b"\x0c\0", "HighBit": b"\x0b\0",
    "PixelRepresentation": b"\0\0",
}  # fmt: skip


def vr_of(keyword: str) -> str:
    vr = dictionary_VR(tag_for_keyword(keyword))
    return "US" if vr == "US or SS" else vr


def element(tag: int, vr: str, data: bytes) -> bytes:
    data += b" " * (len(data) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(data)) + data


@st.composite
def headers(draw):
    """A file whose meta is sound, whose header has up to six elements gone astray."""
    astray = draw(st.lists(st.sampled_from(KEYWORDS), min_size=1, max_size=6, unique=True))
    found = SOUND | {keyword: draw(VALUES[vr_of(keyword)]) for keyword in astray}
    dropped = draw(st.sampled_from([None, None, *SOUND]))
    meta = element(0x00020010, "UI", uid.ExplicitVRLittleEndian.encode() + b"\0")
    body = b"".join(
        element(tag_for_keyword(keyword), vr_of(keyword), data)
        for keyword, data in sorted(found.items(), key=lambda pair: tag_for_keyword(pair[0]))
        if keyword != dropped
    )
    pixels = draw(st.binary(min_size=32, max_size=64) | st.binary(max_size=64))
    pixels += bytes(len(pixels) % 2)
    size = element(0x00020000, "UL", struct.pack("<I", len(meta)))
    return (
        bytes(128)
        + b"DICM"
        + size
        + meta
        + body
        + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, len(pixels))
        + pixels
    )


@pytest.mark.trap("damage")
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=headers(), frame=st.sampled_from([None, 1, 2]))
def test_generated_headers(tmp_path, data, frame):
    path = tmp_path / "x"
    path.write_bytes(data)
    with suppress(CaseError):
        radiograph = read(CaseSource("x", path, "x", None), display=Display(frame=frame))
        assert 0 <= radiograph.pixels.min() <= radiograph.pixels.max() <= 1
