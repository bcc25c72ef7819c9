from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import discover, probe, read
from cxr_audit.records import CaseSource
from PIL import Image, ImageFile

RAMP = np.arange(0, 240, 10, np.uint8).reshape(4, 6)  # 0, 10, ... 230


@pytest.fixture
def put(tmp_path):
    def write(data, name="x.png"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(shape=(64, 64)):
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8))


def whats(radiograph):
    return [decision.what.code for decision in radiograph.facts.decisions]


def has_warning(radiograph, code):
    return any(warning.code == code for warning in radiograph.facts.warnings)


def refused(path, kind, match=None, **options):
    (case,) = discover(path)
    with pytest.raises(kind, match=match) as error:
        read(case, **options)
    assert path.name not in str(error.value)
    assert str(path.parent) not in str(error.value)


@pytest.mark.trap("plain")
@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("TIFF", "tif")])
def test_8_bit_grey(put, read_path, kind, extension):
    radiograph = read_path(put(encoded(Image.fromarray(RAMP), kind), f"x.{extension}"))
    assert radiograph.pixels.tolist() == (RAMP / 255).astype(np.float32).tolist()
    assert radiograph.facts.source.format == kind
    assert radiograph.facts.source.pixel_sha256 == hashlib.sha256(RAMP.tobytes()).hexdigest()
    assert radiograph.facts.warnings == ()


@pytest.mark.trap("plain")
@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("TIFF", "tif")])
def test_16_bits_are_kept(put, read_path, kind, extension):
    values = np.array([[0, 1, 257, 65535]], np.uint16)
    radiograph = read_path(put(encoded(Image.fromarray(values), kind), f"x.{extension}"))
    assert radiograph.pixels[0].tolist() == [0, np.float32(1 / 65535), np.float32(257 / 65535), 1]
    assert (
        radiograph.facts.source.pixel_sha256
        == hashlib.sha256(values.astype("<u2").tobytes()).hexdigest()
    )


@pytest.mark.trap("plain")
def test_16_bit_colour_png_keeps_its_bits(put, read_path):
    # red 1, green 2, blue 3 of 65535: (0.299 + 1.174 + 0.342) / 65535 = 1.815 / 65535
    blue_green_red = np.full((2, 2, 3), (3, 2, 1), np.uint16)
    blue_green_red[0, 0] = 65535
    data = cv2.imencode(".png", blue_green_red)[1].tobytes()
    radiograph = read_path(put(data))
    assert radiograph.pixels[1, 1] == pytest.approx(1.815 / 65535, rel=1e-5)
    assert radiograph.facts.source.decoder.startswith("OpenCV")


@pytest.mark.trap("plain")
def test_grey_stored_as_colour(put, read_path):
    radiograph = read_path(put(encoded(Image.fromarray(RAMP).convert("RGB"), "PNG")))
    assert radiograph.pixels.tolist() == (RAMP / 255).astype(np.float32).tolist()
    assert "ingest.colour_channels" in whats(radiograph)
    assert not radiograph.facts.warnings


@pytest.mark.trap("plain")
def test_real_colour_is_flagged(put, read_path):
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[0] = (255, 0, 0)
    radiograph = read_path(put(encoded(Image.fromarray(colour), "PNG")))
    assert radiograph.pixels[0, 0] == pytest.approx(0.299, abs=1e-6)
    assert has_warning(radiograph, "ingest.real_colour")


@pytest.mark.trap("plain")
def test_cmyk_jpeg(put, read_path):
    radiograph = read_path(put(encoded(noise().convert("CMYK"), "JPEG", quality=95), "x.jpg"))
    assert "ingest.cmyk" in whats(radiograph)
    assert abs(radiograph.pixels - np.asarray(noise()) / 255).mean() < 0.05


@pytest.mark.trap("plain")
def test_palette(put, read_path):
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 51, 51, 51, 255, 255, 255])
    image.putdata([2, 1, 0])
    radiograph = read_path(put(encoded(image, "PNG")))
    assert radiograph.pixels[0].tolist() == pytest.approx([1, 0.2, 0])
    assert "ingest.palette_what" in whats(radiograph)


@pytest.mark.trap("plain")
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha(put, read_path, mode):
    image = Image.fromarray(RAMP).convert(mode)
    opaque = read_path(put(encoded(image, "PNG")))
    assert opaque.pixels.tolist() == (RAMP / 255).astype(np.float32).tolist()
    assert not opaque.facts.warnings
    image.putalpha(Image.fromarray(np.where(RAMP > 100, 255, 0).astype(np.uint8)))
    laid = read_path(put(encoded(image, "PNG"), "y.png"))
    assert laid.pixels.tolist() == (np.where(RAMP > 100, RAMP, 0) / 255).astype(np.float32).tolist()
    assert has_warning(laid, "ingest.transparent")


@pytest.mark.trap("plain")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(put, read_path, kind, orientation):
    # What TIFF 6.0 says of tag 274: where the stored row 0 and column 0 belong.
    stored = np.kron(RAMP, np.ones((8, 8), np.uint8))
    upright = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.T,
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).T,
        8: np.rot90(stored, 1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 100} if kind == "JPEG" else {}
    radiograph = read_path(put(encoded(Image.fromarray(stored), kind, exif=exif, **options), "x"))
    assert radiograph.pixels.shape == upright.shape
    assert abs(radiograph.pixels * 255 - upright).max() < 3
    assert ("ingest.orientation" in whats(radiograph)) == (orientation != 1)


@pytest.mark.trap("plain")
def test_tiff_where_white_is_zero(put, read_path):
    values = np.array([[0, 65535]], np.uint16)
    data = encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    radiograph = read_path(put(data, "x.tif"))
    assert radiograph.pixels[0].tolist() == [1, 0]
    assert "ingest.inversion" in whats(radiograph)


@pytest.fixture(params=[False, True], ids=["strict", "switched off by another library"])
def truncated_images(request, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


@pytest.mark.trap("plain")
@pytest.mark.usefixtures("truncated_images")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_truncated_never_loads(put, kind, options):
    data = encoded(noise(), kind, **options)
    for share in (0.1, 0.5, 0.9, 0.99):
        refused(put(data[: int(share * len(data))]), UnreadableFile)
    for missing in (
        (2, 8, 13) if kind != "TIFF" else (8, 13)
    ):  # its last 4 bytes may only end the directory
        refused(put(data[:-missing]), UnreadableFile)
    assert ImageFile.LOAD_TRUNCATED_IMAGES in (True, False)


def test_pillows_switches_are_put_back(put, read_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 123)
    read_path(put(encoded(noise(), "PNG")))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert Image.MAX_IMAGE_PIXELS == 123


def test_giant_header_is_refused_before_decoding(put):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )
    path = put(data)
    refused(path, UnsupportedRadiograph, "60000 x 60000")
    with pytest.raises(UnsupportedRadiograph):
        probe(discover(path)[0])


@pytest.mark.trap("bombs")
def test_max_pixels(put):
    path = put(encoded(noise((10, 10)), "PNG"))
    assert read(discover(path)[0], max_pixels=100).pixels.size == 100
    refused(path, UnsupportedRadiograph, "limit is 99", max_pixels=99)


@pytest.mark.trap("plain")
def test_no_radiographs_by_kind(put):
    refused(put(encoded(Image.new("1", (4, 4)), "PNG")), NotARadiograph, "one bit")
    refused(put(encoded(Image.new("F", (4, 4)), "TIFF")), UnsupportedRadiograph, "32 bits")
    frames = [noise(), noise((32, 32))]
    refused(
        put(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])),
        UnsupportedRadiograph,
        "several",
    )


@pytest.mark.parametrize(
    ("data", "kind", "match"),
    [
        (b"", UnreadableFile, "empty"),
        (b"no image\n", NotARadiograph, "text"),
        (b"%PDF-1.7", NotARadiograph, "PDF"),
        (b"PK\x03\x04", NotARadiograph, "ZIP"),
        (b"GIF89a", UnsupportedRadiograph, "GIF"),
        (b"BM\x00\x00", UnsupportedRadiograph, "BMP"),
        (b"\x00" * 300, NotARadiograph, "known format"),
        (b"\xff\xd8\xff\xe0", UnreadableFile, "header"),
        (b"\x89PNG\r\n\x1a\n", UnreadableFile, None),
        (b"II*\x00", UnreadableFile, None),
    ],
)
def test_bad_content(put, data, kind, match):
    path = put(data, "patient-name.jpg")
    refused(path, kind, match)
    with pytest.raises(kind):
        probe(discover(path)[0])


@pytest.mark.trap("plain")
def test_wrong_extension_is_read_and_flagged(put, read_path):
    radiograph = read_path(put(encoded(noise(), "PNG"), "x.jpg"))
    assert radiograph.facts.source.format == "PNG"
    assert has_warning(radiograph, "ingest.extension")


def case_of(path, sha256=None):
    return CaseSource("unreadable-0001", path, path.name, sha256)


def test_bad_paths(tmp_path, monkeypatch):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    os.mkfifo(tmp_path / "pipe")
    for path, match in [
        (tmp_path, "folder"),
        (tmp_path / "absent", "does not exist"),
        (loop, "link"),
        (tmp_path / "pipe", "pipe"),
        (tmp_path / "a\0b", "path"),
        (tmp_path / ("x" * 5000), "too long"),
    ]:
        with pytest.raises(UnreadableFile, match=match) as error:
            read(case_of(path))
        assert str(tmp_path) not in str(error.value)
        assert error.value.__cause__ is None
    (tmp_path / "locked").write_bytes(b"x")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "read_bytes", refuse)
    with pytest.raises(UnreadableFile, match="permission"):
        read(case_of(tmp_path / "locked"))


def test_changed_since_listed(put):
    path = put(encoded(noise(), "PNG"))
    (case,) = discover(path)
    path.write_bytes(encoded(noise((8, 8)), "PNG"))
    with pytest.raises(UnreadableFile, match="changed"):
        read(case)


@pytest.mark.trap("bombs")
def test_file_beyond_all_measure(put):
    path = put(b"\xff\xd8\xff")
    os.truncate(path, 64 * 2**20 + 8 * 100 + 1)  # sparse
    with pytest.raises(UnsupportedRadiograph, match="bytes"):
        read(case_of(path), max_pixels=100)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_damage_is_always_a_named_error(put, kind):
    random = np.random.default_rng(7)
    data = encoded(noise((16, 16)), kind)
    for _ in range(150):
        damaged = bytearray(data)
        for position in random.integers(3, len(data), 4):
            damaged[position] = random.integers(256)
        case = case_of(put(bytes(damaged)))
        with suppress(CaseError):
            read(case, max_pixels=10_000)
