"""Manifests: CSV and Parquet mean the same, boxes and masks are kept, refusals quote no cell."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.ingest import discover
from cxr_audit.ingest import manifest as room
from cxr_audit.records import Box


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_bytes(name.encode())
    return tmp_path


def names(cases):
    return [case.relative_path for case in cases]


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
    assert cases[2].location == folder / "b" / "2.png"


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
        ("file,finding\na/1.png,X\n", "finding", "'path'", "Perhaps you meant 'file'"),
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


def parquet(folder, **columns):
    path = folder / "cases.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_means_the_same_as_csv(folder):
    header = "path,finding,patient_id,split,boxes,site\n"
    text = header + 'a/1.png,1,P1,test,"10,20,30,40;1.5,2,3,4",x\nabsent.png,,,train,,\n'
    by_csv = discover(manifest(folder, text), "finding")
    by_parquet = discover(
        parquet(
            folder,
            path=["a/1.png", "absent.png"],
            finding=pa.array([1.0, None]),  # an integer column with a gap
            patient_id=["P1", None],
            split=pa.array(["test", "train"]).dictionary_encode(),
            boxes=pa.array(
                [[[10, 20, 30, 40], [1.5, 2, 3, 4]], None], pa.list_(pa.list_(pa.float64()))
            ),
            site=["x", None],
            __index_level_0__=[7, 8],  # what pandas adds
        ),
        "finding",
    )
    assert by_parquet == by_csv
    assert by_csv[0].boxes == (Box(20, 10, 40, 30), Box(2, 1.5, 4, 3))
    assert (by_csv[0].label, by_csv[0].split, by_csv[1].boxes) == ("1", "test", ())


def test_pandas_writes_a_manifest(folder):
    import pandas as pd

    table = pd.DataFrame({"path": ["b/2.png", "a/1.png"], "label": ["X", None]}, index=[5, 3])
    table.to_parquet(folder / "cases.parquet")
    cases = discover(folder / "cases.parquet", "label")
    assert [(case.relative_path, case.label, case.metadata) for case in cases] == [
        ("b/2.png", "X", {}),
        ("a/1.png", None, {}),
    ]


def test_one_split(folder):
    path = manifest(folder, "path,split\na/1.png,train\nb/2.png,test\n")
    assert names(discover(path, split="test")) == ["b/2.png"]
    with pytest.raises(ConfigError, match="no row of the manifest has the split 'val'"):
        discover(path, split="val")
    with pytest.raises(ConfigError, match="no column 'split'"):
        discover(manifest(folder, "path\na/1.png\n"), split="test")


def test_masks_are_paths_like_the_images(folder):
    (case,) = discover(manifest(folder, "path,mask\na/1.png,b/2.png\n"))
    assert case.mask == folder / "b" / "2.png"
    assert case.metadata == {}


@pytest.mark.parametrize("mask", ["Doe^Jane.png", "b", "x" * 5000, "a\0b", "a/1.png/x"])
def test_a_mask_that_is_not_there_is_refused_without_its_name(folder, mask):
    with pytest.raises(
        ConfigError, match=r"^line 2 of the manifest names a mask that is not there$"
    ):
        discover(manifest(folder, f"path,mask\na/1.png,{mask}\n"))


@pytest.mark.parametrize(
    "boxes",
    [
        "1,2,3",
        "1,2,3,4,5",
        "1,2,0,4",
        "1,2,3,-4",
        "-1,2,3,4",
        "nan,1,1,1",
        "1,1,inf,1",
        "Doe",
        "1,2,3,4;Doe^Jane",
    ],
)
def test_a_box_that_is_none_is_refused_without_its_text(folder, boxes):
    with pytest.raises(ConfigError, match=r"^line 2 of the manifest has a box that is none$"):
        discover(manifest(folder, f'path,boxes\na/1.png,"{boxes}"\n'))


@pytest.mark.parametrize("column", ["patient_id", "boxes", "mask"])
def test_columns_with_a_meaning_of_their_own_are_no_labels(folder, column):
    with pytest.raises(ConfigError, match=f"no column '{column}' for the labels"):
        discover(manifest(folder, f"path,{column},finding\na/1.png,,\n"), column)


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1" + b"Doe^Jane" * 100 + b"PAR1", b"path\na/1.png\n"]
)
def test_a_damaged_parquet_file(folder, data):
    (folder / "cases.parquet").write_bytes(data)
    with pytest.raises(ConfigError, match="not a Parquet file") as error:
        discover(folder / "cases.parquet")
    assert "Doe" not in str(error.value)


def test_a_damaged_page_is_refused_without_its_text(folder):
    path = parquet(folder, path=["Doe^Jane.png"] * 1000)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="not a Parquet file") as error:
        discover(path)
    assert "Doe" not in str(error.value)


def test_sizes_are_checked_before_rows_are_read(folder, monkeypatch):
    text, rows = "path,x\n" + "a/1.png,1\n" * 10, 10
    for limit, value, words in (
        ("MAX_BYTES", 50, "at most 50"),
        ("MAX_ROWS", 9, "9"),
        ("MAX_COLUMNS", 1, "1"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(room, limit, value)
            for path in (
                manifest(folder, text),
                parquet(folder, path=["a/1.png"] * rows, x=[1] * rows),
            ):
                with pytest.raises(ConfigError, match=words) as error:
                    discover(path)
                assert error.value.hint


def test_what_a_parquet_file_inflates_to_is_checked_by_its_header(folder, monkeypatch):
    """4 million equal characters in a few hundred bytes."""
    path = folder / "cases.parquet"
    pq.write_table(pa.table({"path": ["x" * 4_000_000]}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(room, "MAX_BYTES", 1_000_000)
    with pytest.raises(ConfigError, match="at most 500000, 500 and 1000000 are read"):
        discover(path)


def test_a_cell_without_end(folder):
    with pytest.raises(ConfigError, match="field larger than field limit"):
        discover(manifest(folder, f"path\n{'x' * 200_000}\n"))
    with pytest.raises(ConfigError, match="a cell of the manifest has more than 131072 characters"):
        discover(parquet(folder, path=["x" * 200_000]))


# ---- as spreadsheets and other systems write them


def test_trailing_commas_are_no_cells(folder):
    path = manifest(folder, "path,finding,,\na/1.png,X,,\nb/2.png,Y\n")
    cases = discover(path, "finding")
    assert [case.label for case in cases] == ["X", "Y"]
    assert all(case.metadata == {} for case in cases)


def test_the_separator_that_excel_names(folder):
    path = manifest(folder, "sep=;\npath;finding\na/1.png;X\nb/2.png\n")
    with pytest.raises(ConfigError, match="line 4"):
        discover(path, "finding")
    path = manifest(folder, 'sep=;\npath;finding\na/1.png;"X;Y"\n')
    assert [case.label for case in discover(path, "finding")] == ["X;Y"]


def test_paths_of_windows(folder):
    (case,) = discover(manifest(folder, "path\na\\1.png\n"))
    assert case.location == folder / "a" / "1.png"
    assert case.file_sha256 is not None


@pytest.mark.parametrize(("disk", "cell"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_in_either_form(folder, disk, cell):
    name = unicodedata.normalize(disk, "Müller.png")
    (folder / name).write_bytes(b"x")
    (case,) = discover(manifest(folder, f"path\n{unicodedata.normalize(cell, name)}\n"))
    assert case.location == folder / name
    assert case.file_sha256 is not None


@pytest.mark.parametrize("other", ["a/1.png", "./a/1.png", "a\\1.png"])
def test_one_file_under_two_labels_is_an_error(folder, other):
    path = manifest(folder, f"path,finding\na/1.png,X\nb/2.png,Y\n{other},Z\n")
    with pytest.raises(ConfigError, match="different labels: lines 2, 4"):
        discover(path, "finding")
    same = manifest(folder, f"path,finding\na/1.png,X\n{other},X\n")
    assert len(discover(same, "finding")) == 2


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("Path,x", "Perhaps you meant 'Path'"),
        ("image_path,x", "Perhaps you meant 'image_path'"),
        ("Image Path,x", "Perhaps you meant 'Image Path'"),
        ("paths,x", "Perhaps you meant 'paths'"),
        ("one,two", "Its columns are 'one', 'two'."),
    ],
)
def test_the_columns_are_named(folder, header, hint):
    with pytest.raises(ConfigError) as error:
        discover(manifest(folder, f"{header}\na/1.png,1\n"))
    assert hint in error.value.hint


def test_a_row_in_place_of_the_columns_is_not_echoed(folder):
    with pytest.raises(ConfigError) as error:
        discover(manifest(folder, "a/Doe^Jane.png,Jane\nb/2.png,x\n"))
    assert "Jane" not in str(error.value) + error.value.hint
