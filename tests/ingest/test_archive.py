"""A zip is read where it lies: the cases of its files, and no bomb, trick or link does harm."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cxr_audit.errors import ConfigError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import archive, discover, read

Entry = tuple[str | zipfile.ZipInfo, bytes]
NOISE = os.urandom(2000)


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    def write(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "in" / "cases.zip"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as file:
            for name, data in entries:
                file.writestr(name, data, compress_type=method)
        return path

    return write


def entry(name: str, *, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def test_the_same_cases_as_from_the_files(pack, dicom, tmp_path) -> None:
    folder = tmp_path / "files"
    for name, level in (("b/1.dcm", 10), ("a/2.dcm", 200)):
        (folder / name).parent.mkdir(parents=True)
        dicom(np.array([[0, level], [level, 255]], np.uint16)).save_as(
            folder / name, enforce_file_format=True
        )
    (folder / "a" / "notes.txt").write_text("text")
    files = [p for p in folder.rglob("*") if p.is_file()]
    path = pack(
        *((p.relative_to(folder).as_posix(), p.read_bytes()) for p in files),
        ("__MACOSX/a/._2.dcm", b"litter"),
        ("a/.DS_Store", b"litter"),
        (entry("a/", mode=stat.S_IFDIR | 0o755), b""),
    )
    packed, plain = (
        discover(path, "folder", key=b"k" * 16),
        discover(folder, "folder", key=b"k" * 16),
    )
    assert [(c.case_id, c.relative_path, c.file_sha256, c.label) for c in packed] == [
        (c.case_id, c.relative_path, c.file_sha256, c.label) for c in plain
    ]
    assert [c.label for c in packed] == ["a", "a", "b"]
    for one, other in zip(packed[::2], plain[::2], strict=True):
        assert read(one).facts == read(other).facts
        assert (read(one).pixels == read(other).pixels).all()
    assert sorted(p.name for p in path.parent.iterdir()) == ["cases.zip"]  # nothing is unpacked


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/secret.png", "a/../../secret.png", "..\\secret.png", "\\x.png"]
)
def test_names_that_lead_out_are_failed_cases_and_write_nothing(pack, tmp_path, name) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = pack((entry(name), b"x"))
    (case,) = discover(path)
    assert case.case_id == "unreadable-0001"
    with pytest.raises(UnreadableFile, match="leads out of the zip") as error:
        read(case)
    assert "secret" not in str(error.value)
    assert set(tmp_path.rglob("*")) - set(before) == {path, path.parent}


def test_a_link_is_a_failed_case(pack, tmp_path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (case,) = discover(
        pack((entry("a.png", mode=stat.S_IFLNK | 0o777), str(tmp_path / "secret").encode()))
    )
    with pytest.raises(UnreadableFile, match="is a link"):
        read(case)


def test_a_zip_in_a_zip_is_not_opened(pack) -> None:
    inner = pack(("1.png", NOISE)).read_bytes()
    (case,) = discover(pack(("inner.zip", inner)))
    assert case.file_sha256 == hashlib.sha256(inner).hexdigest()
    with pytest.raises(NotARadiograph, match="a ZIP archive"):
        read(case)


def test_a_rare_method_and_a_password_are_failed_cases(pack) -> None:
    (case,) = discover(pack(("a.png", NOISE), method=zipfile.ZIP_LZMA))
    with pytest.raises(UnsupportedRadiograph, match="rare method"):
        read(case)
    path = pack(("a.png", NOISE))
    data = bytearray(path.read_bytes())
    data[6] |= 1  # general purpose bit 0, in the local header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    (case,) = discover(path)
    with pytest.raises(UnreadableFile, match="encrypted"):
        read(case)


def test_one_bomb_among_files_is_one_failed_case_and_no_memory(pack) -> None:
    path = pack(("noise.bin", os.urandom(2_000_000)), ("bomb.png", bytes(50_000_000)))
    tracemalloc.start()
    cases = {case.relative_path: case for case in discover(path)}
    with pytest.raises(UnsupportedRadiograph, match="more than 200 times"):
        read(cases["bomb.png"])
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert cases["noise.bin"].file_sha256


def test_a_zip_that_is_a_bomb_as_a_whole_is_refused(pack) -> None:
    with pytest.raises(ConfigError, match="more than 200 times its size"):
        discover(pack(("bomb.png", bytes(50_000_000))))


def test_an_entry_that_lies_about_its_size_gives_no_more_than_it_said(pack) -> None:
    path = pack(("a.png", NOISE * 50))
    data = bytearray(path.read_bytes())
    for header, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(header) + at, 10)
    path.write_bytes(data)
    os.utime(path, ns=(2, 2))
    (case,) = discover(path)
    with pytest.raises(UnreadableFile, match="BadZipFile"):  # ten bytes, whose CRC is another
        read(case)


def test_entries_that_overlap_are_refused(pack) -> None:
    """Fifield's bomb: every directory entry points at the same data."""
    path = pack(("0.png", NOISE))
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[start:end] * 9
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 9, 9, len(directory))
    path.write_bytes(data[:start] + directory + tail)
    with pytest.raises(ConfigError, match="overlap"):
        discover(path)


def test_too_many_entries_are_refused_before_the_directory_is_read(pack, monkeypatch) -> None:
    path = pack(*((f"{n}.png", b"") for n in range(20)))
    monkeypatch.setattr(archive, "MAX_ENTRIES", 19)
    with pytest.raises(ConfigError, match="lists 20 files; at most 19"):
        discover(path)
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 100)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the directory was read"))
    with pytest.raises(ConfigError, match="lists more than 19 files"):
        discover(path)


def test_the_length_of_a_directory_in_zip64(tmp_path) -> None:
    """4.3.14: the ZIP64 record counts, from offset 40, where the short field is 0xFFFFFFFF."""
    record = (
        b"PK\x06\x06" + bytes(36) + struct.pack("<QQ", 7 * 2**32, 0) + b"PK\x06\x07" + bytes(16)
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    comment = b"PK\x06\x06" + bytes(52)  # one that says 0 in the comment is none
    for data in (record + end, record + end[:-2] + struct.pack("<H", len(comment)) + comment):
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(ConfigError, match="lists more than"):
            discover(tmp_path / "x.zip")


@pytest.mark.parametrize("cut", [0, 10, 1000, -1])
def test_a_damaged_zip_is_refused(pack, cut) -> None:
    path = pack(("Doe^Jane.png", NOISE))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ConfigError, match="the zip is damaged") as error:
        discover(path)
    assert "Doe" not in str(error.value)


def test_one_damaged_entry_is_one_failed_case(pack) -> None:
    path = pack(("a.png", NOISE), ("b.png", NOISE[::-1]), method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(3, 3))
    cases = discover(path)
    assert [case.case_id == "unreadable-0001" for case in cases] == [True, False]
    with pytest.raises(UnreadableFile, match="cannot be read from its zip") as error:
        read(cases[0])
    assert "a.png" not in str(error.value)


def test_an_entry_without_a_name_is_a_case(pack) -> None:
    path = pack(("a.png", NOISE))
    path.write_bytes(
        path.read_bytes().replace(b"a.png", b"\0.png")
    )  # zipfile cuts a name at its first null
    assert [case.relative_path for case in discover(path)] == [""]


def test_an_empty_zip_holds_no_case(pack) -> None:
    with pytest.raises(ConfigError, match="no case"):
        discover(pack())
