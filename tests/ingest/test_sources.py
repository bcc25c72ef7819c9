from __future__ import annotations

import hashlib
import io
import os
import random
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cxr_audit.errors import CaseError, ConfigError, UnreadableFile
from cxr_audit.ingest import dicomdir, discover, read, sources
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "xrays"
    for name, content in {
        "b/2.png": b"two",
        "a/1.png": b"one",
        "a/10.png": b"one",
        "notes.txt": b"text",
        ".DS_Store": b"litter",
        "a/.hidden.png": b"litter",
        ".git/x.png": b"litter",
        "Thumbs.db": b"litter",
        "__MACOSX/1.png": b"litter",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def names(cases):
    return [case.relative_path for case in cases]


def test_folder(folder):
    cases = discover(folder)
    assert names(cases) == ["a/1.png", "a/10.png", "b/2.png", "notes.txt"]
    assert cases[0].file_sha256 == cases[1].file_sha256 == hashlib.sha256(b"one").hexdigest()
    assert [case.label for case in cases] == [None] * 4


def by_rfc_2104(key, message):
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


def test_case_ids_are_keyed(folder):
    one = by_rfc_2104(b"a secret of ours", hashlib.sha256(b"one").hexdigest().encode())[:15]
    one = f"c{one}"  # with a letter first, a spreadsheet takes no id for a number
    ids = [case.case_id for case in discover(folder, key=b"a secret of ours")]
    assert ids[:2] == [one, f"{one}-2"]
    others = {case.case_id for case in discover(folder, key=b"another secret..")}
    assert not others & set(ids)
    assert [case.case_id for case in discover(folder, key=b"a secret of ours")] == ids


def test_folder_labels(folder):
    assert [case.label for case in discover(str(folder), "folder")] == ["a", "a", "b", "xrays"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/*.png", ["1.png", "10.png"]),
        ("*/*.png", ["a/1.png", "a/10.png", "b/2.png"]),
        ("**/*.png", ["a/1.png", "a/10.png", "b/2.png"]),
        ("**", ["a/1.png", "a/10.png", "b/2.png", "notes.txt"]),
        ("**/1*.png", ["a/1.png", "a/10.png"]),
        ("[ab]/**/?.png", ["a/1.png", "b/2.png"]),
        ("*", ["notes.txt"]),
    ],
)
def test_pattern(folder, pattern, expected):
    assert names(discover(folder / pattern)) == expected


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "x[1].png").write_bytes(b"1")
    assert names(discover(tmp_path / "x[1].png")) == ["x[1].png"]


def test_nothing_there(folder, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        discover(tmp_path / "absent")
    with pytest.raises(ConfigError, match="no case"):
        discover(folder / "*.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no case") as error:
        discover(tmp_path / "empty")
    assert error.value.hint


def test_links_and_loops_end(folder):
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "up2").symlink_to(folder / "a")
    (folder / "self").symlink_to(folder / "self")
    (folder / "gone").symlink_to(folder / "nowhere")
    for source in (folder, folder / "**"):
        cases = discover(source)
        assert names(cases) == ["a/1.png", "a/10.png", "b/2.png", "gone", "notes.txt", "self"]
        by_name = {case.relative_path: case for case in cases}
        assert by_name["gone"].case_id == "unreadable-0001"
        assert by_name["self"].case_id == "unreadable-0002"
        assert by_name["self"].file_sha256 is None


def test_linked_folder_is_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "3.png").write_bytes(b"three")
    (folder / "c").symlink_to(outside)
    assert "c/3.png" in names(discover(folder))


def test_a_pipe_does_not_block(folder):
    os.mkfifo(folder / "pipe")
    assert [case.case_id for case in discover(folder) if case.relative_path == "pipe"] == [
        "unreadable-0001"
    ]


def test_no_permission_is_a_case(folder, monkeypatch):
    original = type(folder).open

    def refuse(self, *args, **kwargs):
        if self.name == "2.png":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(folder), "open", refuse)
    assert [case.case_id for case in discover(folder) if case.relative_path == "b/2.png"] == [
        "unreadable-0001"
    ]


def test_column_labels_and_splits_need_a_manifest(folder):
    with pytest.raises(
        ConfigError, match="'finding' names a manifest column, but the source is not"
    ) as error:
        discover(folder, "finding")
    assert "folder" in str(error.value.hint)
    with pytest.raises(
        ConfigError, match="split 'test' is given, but the source is not a manifest"
    ):
        discover(folder, split="test")


def test_too_many_cases_are_refused(folder, monkeypatch):
    manifest = folder / "cases.csv"
    manifest.write_text("path\n" + "a/1.png\n" * 4)
    monkeypatch.setattr(sources, "MAX_CASES", 3)
    for source in (folder, manifest):
        with pytest.raises(ConfigError, match="holds more than 3 cases") as error:
            discover(source)
        assert error.value.hint == "Split it."
    monkeypatch.setattr(sources, "MAX_CASES", 0)
    monkeypatch.setattr(sources, "_sha256", lambda _: pytest.fail("a file was read"))
    with pytest.raises(ConfigError, match="more than 0"):
        discover(folder)


def medium(folder, *file_ids, kind="IMAGE", syntax=ExplicitVRLittleEndian):
    """A DICOMDIR without any links between its records, as PS3.3 F forbids and real ones have."""
    folder.mkdir(exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    records = []
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = kind
        with warnings.catch_warnings(action="ignore"):
            record.ReferencedFileID = file_id
        records.append(record)
    dataset.DirectoryRecordSequence = records
    dataset.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_dicomdir_lists_images_found_and_missing_in_either_case(tmp_path):
    path = medium(tmp_path / "cd", ["IMG", "0001"], ["IMG", "0002"], ["IMG", "GONE"])
    (tmp_path / "cd" / "IMG").mkdir()
    (tmp_path / "cd" / "img").mkdir()
    (tmp_path / "cd" / "IMG" / "0001").write_bytes(b"one")
    (tmp_path / "cd" / "img" / "0002").write_bytes(b"two")  # as Linux mounts a CD
    cases = discover(path)
    assert names(cases) == ["IMG/0001", "IMG/GONE", "img/0002"]
    assert cases[0].file_sha256 == hashlib.sha256(b"one").hexdigest()
    assert cases[1].case_id == "unreadable-0001"
    with pytest.raises(UnreadableFile, match="does not exist"):
        read(cases[1])


def test_dicomdir_lists_images_only(tmp_path):
    with pytest.raises(ConfigError, match="no case"):
        discover(medium(tmp_path / "cd", ["SR", "0001"], kind="SR DOCUMENT"))


@pytest.mark.parametrize(
    "file_id", [["..", "SECRET"], ["/etc", "passwd"], ["A/../../B"], ["IMG", "A\0B"], ["."]]
)
def test_dicomdir_does_not_lead_out_of_its_medium(tmp_path, file_id):
    with pytest.raises(ConfigError, match="not on its medium") as error:
        discover(medium(tmp_path / "cd", file_id))
    assert "SECRET" not in str(error.value)


def test_dicomdir_of_pydicom():
    found = get_testdata_file("DICOMDIR", download=False)
    cases = discover(found)
    assert len(cases) == 31
    assert len({case.file_sha256 for case in cases}) == 31
    assert all(case.file_sha256 for case in cases)


def test_a_dicomdir_that_is_none(tmp_path, monkeypatch):
    (tmp_path / "DICOMDIR").write_bytes(b"not DICOM")
    with pytest.raises(ConfigError, match="cannot be read"):
        discover(tmp_path / "DICOMDIR")
    with pytest.raises(ConfigError, match="deflated"):
        discover(medium(tmp_path / "cd", ["A"], syntax=DeflatedExplicitVRLittleEndian))
    monkeypatch.setattr(dicomdir, "MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="more than 100 bytes"):
        discover(medium(tmp_path / "cd", ["A"]))


def container(kind):
    if kind == "DICOMDIR":
        return Path(get_testdata_file(kind, download=False)).read_bytes()
    data = io.BytesIO()
    if kind == "x.zip":
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
            for n in range(3):
                file.writestr(f"a/{n}.png", bytes(range(200)) * 3)
    elif kind == "x.parquet":
        pq.write_table(
            pa.table({"path": ["a.png"] * 20, "boxes": pa.array([[[1.0, 2, 3, 4]]] * 20)}), data
        )
    else:
        data.write(b'path,label,boxes,mask,split\na.png,x,"1,2,3,4",,test\n' * 3)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["x.zip", "x.parquet", "x.csv", "DICOMDIR"])
def test_a_damaged_container_is_a_named_error_or_cases(tmp_path, kind):
    """60 seeded mutations; 60,000 were run once. Any other exception, or a warning, fails."""
    whole, outcomes = container(kind), set()
    for seed in range(60):
        rng = random.Random(seed)
        data = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5, 20])):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 30])] = rng.choice(
                [b"\0", b"\xff" * 4, bytes(whole[:20])]
            )
        path = tmp_path / str(seed) / kind
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            for case in discover(path)[:5]:
                read(case)
        except (ConfigError, CaseError) as error:
            outcomes.add(type(error))
    assert outcomes


@pytest.mark.parametrize(
    "source",
    [
        "x" * 300,
        "x" * 300 + ".csv",
        "x" * 300 + ".zip",
        "/".join(["y" * 200] * 25),
        "~nobody-of-this-name/x",
    ],
)
def test_a_name_that_can_be_no_file(source):
    with pytest.raises(ConfigError, match="no path that can be looked up"):
        discover(source)


def test_a_pattern_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="stands beside other letters"):
        discover(tmp_path / "**a" / "*.dcm")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
def test_a_file_of_the_kernel_is_not_read(tmp_path):
    """It says that it has no bytes; /proc/kmsg would be waited for."""
    manifest = tmp_path / "cases.csv"
    manifest.write_text("path\n/proc/self/environ\n")
    (case,) = discover(manifest)
    assert case.file_sha256 == hashlib.sha256(b"").hexdigest()
    with pytest.raises(UnreadableFile, match="empty"):
        read(case)
