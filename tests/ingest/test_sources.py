from __future__ import annotations

import hashlib
import os

import pytest

from pipeline.errors import ConfigError
from pipeline.ingest import discover


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
    one = hashlib.sha256(b"one").hexdigest()
    assert [case.case_id for case in cases[:2]] == [one[:16], f"{one[:16]}-2"]
    assert cases[0].file_sha256 == cases[1].file_sha256 == one
    assert [case.label for case in cases] == [None] * 4


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
    assert [case.case_id for case in discover(folder) if case.relative_path == "pipe"] == ["unreadable-0001"]


def test_no_permission_is_a_case(folder, monkeypatch):
    original = type(folder).open

    def refuse(self, *args, **kwargs):
        if self.name == "2.png":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(folder), "open", refuse)
    assert [case.case_id for case in discover(folder) if case.relative_path == "b/2.png"] == ["unreadable-0001"]


def manifest(folder, text, encoding="utf-8"):
    path = folder / "cases.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_manifest(folder):
    path = manifest(
        folder,
        "path,finding,patient_id,site\r\n"
        'a/1.png,PNEUMONIA,P1,"Ward 3, bed 2"\r\n'
        "\r\n"
        "absent.png,,,\r\n"
        f"{folder}/b/2.png,NORMAL,P2,x\r\n"
        "b,NORMAL,,\r\n",
        "utf-8-sig",
    )
    cases = discover(path, "finding")
    assert names(cases) == ["a/1.png", "absent.png", f"{folder}/b/2.png", "b"]
    assert [case.label for case in cases] == ["PNEUMONIA", None, "NORMAL", "NORMAL"]
    assert [case.patient_id for case in cases] == ["P1", None, "P2", None]
    assert cases[0].metadata == {"site": "Ward 3, bed 2"}
    assert [case.case_id for case in cases[1::2]] == ["unreadable-0001", "unreadable-0002"]
    assert cases[2].path == folder / "b" / "2.png"


def test_manifest_labels_by_folder_or_none(folder):
    path = manifest(folder, "path,label\na/1.png,X\n")
    assert discover(path)[0].label is None
    assert discover(path)[0].metadata == {"label": "X"}
    assert discover(path, "folder")[0].label == "a"


@pytest.mark.parametrize(
    ("text", "labels", "message", "hint"),
    [
        ("path,finding\na/1.png,X\n", "findings", "'findings'", "Perhaps you meant 'finding'."),
        ("path,finding\na/1.png,X\n", "zzz", "'zzz'", "'finding'"),
        ("file,finding\na/1.png,X\n", "finding", "'path'", "add 'path'"),
        ("path;finding\na/1.png;X\n", "finding", "'path'", "commas"),
        ("path,x,x\na/1.png,1,2\n", "none", "twice", "Rename"),
        ("path,x\na/1.png\n", "none", "line 2", "quotes"),
        ("path,x\n ,1\n", "none", "line 2", "Fill"),
        ("", "none", "empty", "path"),
        ("path\n", "none", "no case", ""),
        ('path\n"a\n', "none", "CSV", "UTF-8"),
    ],
)
def test_manifest_refusals(folder, text, labels, message, hint):
    with pytest.raises(ConfigError, match=message) as error:
        discover(manifest(folder, text), labels)
    assert hint in str(error.value.hint)


def test_manifest_in_another_encoding(folder):
    with pytest.raises(ConfigError, match="UTF-8"):
        discover(manifest(folder, "path,x\na/1.png,M\u00fcller\n", "latin-1"))


def test_null_character_in_a_path(folder):
    assert discover(manifest(folder, "path\na/1\0.png\n"))[0].case_id == "unreadable-0001"


def test_column_labels_need_a_manifest(folder):
    with pytest.raises(ConfigError, match="not a CSV manifest") as error:
        discover(folder, "finding")
    assert "folder" in str(error.value.hint)
