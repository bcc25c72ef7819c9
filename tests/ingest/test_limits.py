"""Files that ask for more than they are worth: refused by name, with little memory taken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import Display, read
from cxr_audit.ingest import dicom as dicom_module
from cxr_audit.records import CaseSource
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from tests.ingest.codestreams import CODESTREAMS, waves

pytestmark = pytest.mark.trap("bombs")
MOST_BYTES = 16 * 2**20
GREY = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def refuse(tmp_path):
    """The error of these bytes; the peak of memory is looked at."""

    def attempt(data: bytes, **options: Any) -> CaseError:
        path = tmp_path / "bomb"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(CaseError) as error:
                read(CaseSource("x", path, "x", None), **options)
            assert tracemalloc.get_traced_memory()[1] - 3 * len(data) < MOST_BYTES
        finally:
            tracemalloc.stop()
        return error.value

    return attempt


@pytest.mark.parametrize("frame", [None, 1])
@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless]
)
def test_one_kilobyte_that_claims_terabytes(dicom, save, refuse, syntax, frame):
    dataset = dicom(GREY, syntax, NumberOfFrames=1000, PixelData=encapsulate([b"\xff\xd9" * 100]))
    dataset["PixelData"].is_undefined_length = syntax.is_compressed
    dataset.Rows = dataset.Columns = 65535
    data = save(dataset).read_bytes()
    assert len(data) < 1024
    error = refuse(data, display=Display(frame=frame))
    assert isinstance(error, UnsupportedRadiograph)
    assert ("1000 frames" if frame is None else "65535 x 65535 pixels") in str(error)


def test_millions_of_empty_elements(dicom, save, refuse, monkeypatch):
    monkeypatch.setattr(dicom_module, "MAX_READS", 5000)  # its time, traced, is the test's
    data = save(dicom(GREY)).read_bytes() + struct.pack("<HH2sH", 0x7FE1, 0x1001, b"LO", 0) * 20_000
    assert "too many elements" in str(refuse(data))


def test_nested_without_end(dicom, save, refuse):
    item = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    data = save(dicom(GREY)).read_bytes()
    at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    assert isinstance(refuse(data[:at] + item * 20_000), UnreadableFile)


def test_an_element_of_megabytes(dicom, save, refuse):
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 200_000
    element = struct.pack("<HH2sHI", 0x0028, 0x3010, b"SQ", 0, len(items)) + items
    data = save(dicom(GREY)).read_bytes()
    at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    assert "VOILUTSequence has 1600000 bytes" in str(refuse(data[:at] + element + data[at:]))


def test_deflated(dicom, save, refuse):
    dataset = dicom(GREY)
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    data = save(dataset).read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(80)) + deflater.flush()
    assert "inflates" in str(refuse(data[:start] + bomb, max_pixels=1000))


@pytest.mark.parametrize(
    ("name", "syntax", "at", "size"),
    [
        ("htj2k-lossless-16", uid.HTJ2KLossless, 8, struct.pack(">II", 60_000, 60_000)),  # SIZ
        ("baseline-8", uid.JPEGBaseline8Bit, None, struct.pack(">HH", 60_000, 60_000)),  # SOF
        ("lossless-sv1-16", uid.JPEGLosslessSV1, None, struct.pack(">HH", 60_000, 60_000)),
    ],
)
def test_a_codestream_larger_than_its_header(dicom, save, refuse, name, syntax, at, size):
    frame = bytearray(CODESTREAMS[name])
    at = at or frame.index(struct.pack(">HH", 32, 24))
    frame[at : at + len(size)] = size
    bits = 8 if name.endswith("-8") else 16
    dataset = dicom(waves(bits), syntax, PixelData=encapsulate([bytes(frame)]))
    dataset["PixelData"].is_undefined_length = True
    assert "the size of the compressed pixels differs from the header" in str(
        refuse(save(dataset).read_bytes())
    )


def test_a_codestream_of_many_components(dicom, save, refuse):
    frame = bytearray(CODESTREAMS["htj2k-lossless-16"])
    frame[40:42] = struct.pack(">H", 16384)
    dataset = dicom(waves(16), uid.HTJ2KLossless, PixelData=encapsulate([bytes(frame)]))
    dataset["PixelData"].is_undefined_length = True
    assert "the samples or bits of the compressed pixels differ" in str(
        refuse(save(dataset).read_bytes())
    )


def png(*chunks, rows=8, columns=8):
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(9 * 8))
    found = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in found
    )


def test_png_size(refuse):
    assert "65535 x 65535" in str(refuse(png(rows=65535, columns=65535)))


@pytest.mark.parametrize("chunk", [b"zTXt", b"iTXt"])
def test_png_text(refuse, chunk):
    text = zlib.compress(bytes(64 * 2**20))
    key = {b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0"}[chunk]
    assert isinstance(refuse(png((chunk, key + text))), UnreadableFile)


def test_jpeg_of_many_scans(refuse):
    out = io.BytesIO()
    Image.fromarray(waves(8)).save(out, "JPEG")
    data = out.getvalue()
    scan = data[data.index(b"\xff\xda") : -2]
    assert "more than 200 scans" in str(refuse(data[:-2] + 250 * scan + data[-2:]))


def test_tiff_of_many_images(refuse):
    out = io.BytesIO()
    Image.fromarray(waves(8)).save(out, "TIFF")
    data = bytearray(out.getvalue())
    first = int.from_bytes(data[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    directory = bytes(data[first:end])
    data[end : end + 4] = struct.pack("<I", len(data))
    for _ in range(2000):
        data += directory + struct.pack("<I", len(data) + len(directory) + 4)
    error = refuse(bytes(data))
    assert isinstance(error, UnsupportedRadiograph | NotARadiograph)
    assert "several images" in str(error)


def test_tiff_size(refuse):
    out = io.BytesIO()
    Image.fromarray(waves(8)).save(out, "TIFF")
    data = bytearray(out.getvalue())
    for tag in (256, 257):  # ImageWidth, ImageLength
        at = data.index(struct.pack("<H", tag), int.from_bytes(data[4:8], "little"))
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 100_000)
    assert "100000 x 100000" in str(refuse(bytes(data)))
