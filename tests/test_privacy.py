"""No name ever out: canaries in every attribute, file name and tag; every byte left or printed is searched."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import os
import stat
import subprocess
import sys
import threading
import warnings
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pikepdf
import pydicom
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin
from pydicom.data import get_charset_files
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from tests.canary import find, forms, hidden_in, parts_of
from tests.classifier.models import nested

LATIN, JAPANESE, KOREAN = "Qanary^Doe", "長谷川^寿限無", "독고영^남궁민수"
NAME = f"{LATIN}={JAPANESE}={KOREAN}"
MARKUP = "Qanary<img src=http://127.0.0.1:{port}/leak>{{{{ 77117*77003 }}}}{{% include 'Qanary' %}}"
PRODUCT = str(77117 * 77003)  # what Jinja would make of it
BIRTH, UID, PATIENT = "19380914", "1.2.826.0.1.3680043.8.498.7777777777", "Qanary-4711"
TEXT, ASCII = {"LO", "SH", "LT", "ST", "UT", "UC"}, {"CS", "AE", "UR"}
DATES = {"DA": BIRTH, "DT": BIRTH + "101112", "TM": "101112", "AS": "087Y"}
NUMBERS = {"DS", "IS"}
NEEDED = {
    *(
        "SpecificCharacterSet",
        "Modality",
        "PhotometricInterpretation",
        "BurnedInAnnotation",
        "RescaleSlope",
    ),
    *(
        "RescaleIntercept",
        "WindowCenter",
        "WindowWidth",
        "NumberOfFrames",
        "PixelSpacing",
        "ImagerPixelSpacing",
    ),
    *(
        "SOPClassUID",
        "VOILUTFunction",
        "PresentationLUTShape",
        "PixelAspectRatio",
        "TransferSyntaxUID",
    ),
}
CONFIG = """\
run: {{name: test, output: runs}}
ingest: {{source: {source}, labels: finding}}
quality: {{exclude: []}}
preprocess: {{rows: 32, columns: 32, scaling: unit}}
classifier: {{path: model.keras, class_names: [NORMAL, '{positive}']}}
engine: {{batch_size: 8, workers: 1}}
"""


@pytest.fixture
def listener():
    """An address that a document might load from, and the requests that reach it."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def dicom_full_of_names(markup: str, every: bool = True) -> Dataset:
    """A CR in which every text, number and date of the dictionary holds a canary, also nested, private, in group 2."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationVersionName = "Qanary^Doe"
    dataset.file_meta.SourceApplicationEntityTitle = "Qanary^Doe"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    texts = [NAME, markup, PATIENT]
    with warnings.catch_warnings(action="ignore"):
        for number, (tag, (vr, _, _, _, keyword)) in enumerate(DicomDictionary.items()):
            if keyword in NEEDED or not keyword or tag >> 16 in (0, 2, 4) or tag >> 16 >= 0x5000:
                continue
            if vr in {"PN", *TEXT, *ASCII}:
                text = (
                    texts[number % 3]
                    if vr in TEXT
                    else NAME
                    if vr == "PN"
                    else (LATIN, markup)[number % 2]
                )
                setattr(dataset, keyword, text)
            elif vr in DATES:
                setattr(dataset, keyword, DATES[vr])
            elif vr == "UI":
                setattr(dataset, keyword, UID)
            elif vr in NUMBERS and every:
                dataset[keyword] = pydicom.DataElement(tag, "LO", LATIN)  # a number that is none
        item = Dataset()
        item.PatientName, item.LongCodeValue = NAME, markup
        dataset.RequestAttributesSequence = [item]
        dataset.private_block(0x0009, "Qanary^Doe", create=True).add_new(1, "LO", markup)
    dataset.PatientAge = "087Y"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = (
        ComputedRadiographyImageStorage
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID
    return with_pixels(dataset)


def with_pixels(dataset: Dataset) -> Dataset:
    stored = np.add.outer(np.arange(48), np.arange(40)).astype("<u2") * 40
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def save(dataset: Dataset, path: Path) -> None:
    dataset.preamble = b"Qanary^Doe".ljust(128, b"\0")
    with warnings.catch_warnings(action="ignore"):
        dataset.save_as(path, enforce_file_format=True)


def pictures_full_of_names(folder: Path, markup: str) -> None:
    image = Image.fromarray(np.add.outer(np.arange(60), np.arange(50)).astype(np.uint8))
    exif = Image.Exif()
    for tag in (270, 315, 33432, 305, 306):  # description, artist, copyright, software, date
        exif[tag] = LATIN
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Title", LATIN)
    chunks.add_text("Comment", LATIN, zip=True)
    chunks.add_itxt("XML:com.adobe.xmp", f"<dc:creator>{NAME}{markup}</dc:creator>", zip=True)
    image.save(folder / f"{JAPANESE}.png", pnginfo=chunks, exif=exif)
    image.save(
        folder / "Qanary^Doe.jpg", exif=exif, comment=NAME.encode(), xmp=f"<x>{NAME}</x>".encode()
    )
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = tags[315] = LATIN
    tags[65000], tags.tagtype[65000] = LATIN, 2  # one that no library knows
    image.save(folder / f"{KOREAN}.tif", tiffinfo=tags)


def write_sources(folder: Path, markup: str) -> list[str]:
    """Files, then the manifest's paths, tricks among them."""
    folder.mkdir()
    save(dicom_full_of_names(markup), folder / "Qanary^Doe.dcm")
    save(dicom_full_of_names(markup, every=False), folder / "numbers are numbers.dcm")
    for name in ("chrJapMulti.dcm", "chrKoreanMulti.dcm"):
        save(with_pixels(pydicom.dcmread(get_charset_files(name)[0])), folder / name)
    whole = (folder / "Qanary^Doe.dcm").read_bytes()
    (folder / "cut Qanary.dcm").write_bytes(whole[: len(whole) // 2])
    pictures_full_of_names(folder, markup)
    (folder / "<img src=x onerror=Qanary>{{ 77117*77003 }}.txt").write_text(
        f"{NAME} {markup}", "utf-8"
    )
    (folder / "Qanary.png").write_bytes((folder / f"{JAPANESE}.png").read_bytes()[:200])
    (folder / "loop-of-Qanary.png").symlink_to("loop-of-Qanary.png")
    with zipfile.ZipFile(folder / "Qanary.zip", "w") as archive:
        archive.writestr("Qanary^Doe.dcm", whole)
    outside = folder.parent / "Qanary outside.png"
    outside.symlink_to(folder / f"{JAPANESE}.png")
    tricks = [str(outside), "../../Qanary/../etc/passwd", "Qanary\0^Doe.png", "Qanary/" * 1000]
    return [*(path.name for path in sorted(folder.iterdir())), *tricks]


def write_manifest(folder: Path, paths: list[str], positive: str) -> None:
    rows = ["path,finding,patient_id,split,boxes,Qanary^Doe"]
    for path in paths:
        cells = [path, positive, NAME, PATIENT, "1,2,3,4", f"{NAME} {PATIENT} {BIRTH} {UID}"]
        rows.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")


class Loads(html.parser.HTMLParser):
    """What a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            (tag, value)
            for name, value in attrs
            if name in ("src", "srcset", "data") or name.startswith("on")
        ]


@pytest.mark.slow
def test_no_name_leaves_a_run(tmp_path: Path, listener) -> None:
    port, asked = listener
    markup = MARKUP.format(port=port)
    positive = f"<img src=http://127.0.0.1:{port}/label>{{{{ 77117*77003 }}}}"
    source = tmp_path / "ward Qanary"
    paths = write_sources(source, markup)
    write_manifest(source, paths, positive)
    nested().save(tmp_path / "model.keras")
    (tmp_path / "audit.yaml").write_text(
        CONFIG.format(source=source / "manifest.csv", positive=positive), "utf-8"
    )
    (tmp_path / "temporary").mkdir()
    code = (
        "import sys\n"
        "from cxr_audit.cli import main\n"
        "if __name__ == '__main__':\n"
        "    run = ['runs/test']\n"
        "    given = [['check', 'audit.yaml'], ['run', 'audit.yaml'], ['export', *run], ['verify', *run]]\n"
        "    for arguments in given:\n"
        "        sys.argv = ['cxr-audit', *arguments]\n"
        "        try: main()\n"
        "        except SystemExit as end: print('exit code', end.code)\n"
    )
    (tmp_path / "commands.py").write_text(code)
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": str(Path.cwd()),
    }
    environment["PYTHONDONTWRITEBYTECODE"] = (
        "1"  # else TensorFlow leaves the folder of its compiled graph code
    )
    done = subprocess.run(
        [sys.executable, "commands.py"], cwd=tmp_path, env=environment, capture_output=True
    )
    ends = [line for line in done.stdout.decode().split("\n") if "exit code" in line]
    assert ends == ["exit code 4"] * 2 + ["exit code 0"] * 2, done.stderr.decode()

    run = tmp_path / "runs" / "test"
    crosswalk = (run / "private" / "crosswalk.csv").read_text("utf-8")
    assert all(text in crosswalk for text in (NAME, PATIENT, BIRTH, UID))
    statuses = [line.split(",")[1] for line in (run / "cases.csv").read_text().splitlines()[1:]]
    assert len(statuses) == len(paths)
    assert statuses.count("ok") == 8
    assert statuses.count("failed") >= 6
    assert "87" not in (run / "cases.csv").read_text("utf-8").split("file_hmac")[0]
    assert any(
        '"PatientAge": "80-89"' in path.read_text("utf-8") for path in run.glob("cases/*/case.json")
    )

    # What may be handed on: everything but private/. And what was printed, and what was left in the temporary folder.
    names = ["Qanary", *JAPANESE.split("^"), *KOREAN.split("^"), "やまだ", "たろう", "김희중"]
    names += [PATIENT, BIRTH, "1938-09-14", UID, PRODUCT]
    assert stat.S_IMODE((run / "private").stat().st_mode) == 0o700
    private = [path for path in (run / "private").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    exported = [path for path in private if path.suffix == ".dcm"]
    assert len(exported) >= 6
    assert any(NAME.encode() in path.read_bytes() for path in exported)
    assert find(names, run / "private")
    (run / "private").rename(tmp_path / "private")
    (tmp_path / "runs" / "stdout").write_bytes(done.stdout)
    (tmp_path / "runs" / "stderr").write_bytes(done.stderr)
    assert find(names, tmp_path / "runs") == []
    assert list((tmp_path / "temporary").iterdir()) == []

    # Nothing was loaded, nothing would be, and the label is text.
    assert asked == []
    page = Loads()
    page.feed((run / "index.html").read_text("utf-8"))
    assert not [value for _, value in page.found if "127.0.0.1" in str(value)]
    assert f"&lt;img src=http://127.0.0.1:{port}/label&gt;" in (run / "index.html").read_text(
        "utf-8"
    )


FAILURES = """\
import os, sys
import cxr_audit.cli.options
from cxr_audit.engines.local import LocalEngine
import broken

def cause(*_):
    try: {}["Qanary^Doe"]
    except KeyError as error: raise RuntimeError("長谷川^寿限無") from error
def context(*_):
    try: {}["Qanary^Doe"]
    except KeyError: raise OSError(2, "no such file", "Qanary^Doe.dcm")
def note(*_):
    error = ValueError("Qanary^Doe"); error.add_note("Qanary"); raise error
def worker(*_):
    with LocalEngine(workers=1) as engine: engine.light(broken.read, 'Qanary^Doe\\n  File "Qanary", line 1, in x').result()
def loop(*_):
    error, other = ValueError("Qanary^Doe"), KeyError("Qanary")
    error.__cause__, other.__cause__ = other, error
    raise error

if __name__ == "__main__":
    for failure in [globals()[name] for name in sys.argv[1:]]:
        cxr_audit.cli.options.load_config = failure
        sys.argv = ["cxr-audit", "check", "none.yaml"]
        try: cxr_audit.cli.main()
        except Exception as error: sys.excepthook(type(error), error, error.__traceback__)  # as Python does at its end
"""


def test_the_traceback_of_an_unexpected_error_has_no_words(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(FAILURES, "utf-8")
    (tmp_path / "broken.py").write_text("def read(name):\n    raise ValueError(name)\n")
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd() / 'pipeline'}{os.pathsep}{tmp_path}"}
    aloud = {**environment, "CXR_AUDIT_TRACEBACK_MESSAGES": "1"}
    quiet, loud = (
        subprocess.run(
            [sys.executable, "main.py", *failures.split()],
            cwd=tmp_path,
            env=env,
            capture_output=True,
        )
        for failures, env in (("cause context note worker loop", environment), ("cause", aloud))
    )
    said = quiet.stdout + quiet.stderr
    wanted = {form: name for name in ("Qanary", "長谷川") for form in forms(name)}
    assert not hidden_in(said, wanted)
    assert said.count(b"unexpected; please report") == 5
    for place in (
        b'main.py", line 7, in cause',
        b'main.py", line 13, in note',
        b'broken.py", line 2, in read',
    ):
        assert place in said, said.decode()
    for kind in (b"KeyError", b"RuntimeError", b"FileNotFoundError", b"ValueError"):
        assert b"builtins." + kind in said
    assert hidden_in(loud.stderr, wanted)  # the search would have found them


def planted(tmp_path: Path, name: str) -> dict[str, bytes]:
    """A file of each kind with the name in one place only."""
    made: dict[str, bytes] = {}

    def pdf(key: str, change) -> None:
        data, document = io.BytesIO(), pikepdf.new()
        document.add_blank_page()
        change(document)
        document.save(
            data, compress_streams=True, object_stream_mode=pikepdf.ObjectStreamMode.generate
        )
        made[f"{key}.pdf"] = data.getvalue()

    def xmp(document: pikepdf.Pdf) -> None:
        with document.open_metadata() as metadata:
            metadata["dc:creator"] = [name]

    def attach(document: pikepdf.Pdf) -> None:
        document.attachments["notes.txt"] = pikepdf.AttachedFileSpec(
            document, f"of {name}".encode("utf-16")
        )

    pdf("info", lambda document: document.docinfo.__setitem__("/Author", name))
    pdf("xmp", xmp)
    pdf("attachment", attach)
    pdf(
        "attachment name",
        lambda d: d.attachments.__setitem__(name, pikepdf.AttachedFileSpec(d, b"x", filename=name)),
    )
    pdf(
        "stream",
        lambda d: d.Root.__setitem__(
            "/X", pikepdf.Stream(d, zlib.compress(name.encode()), Filter=pikepdf.Name.FlateDecode)
        ),
    )
    pdf(
        "hex",
        lambda d: d.Root.__setitem__(
            "/X", pikepdf.Stream(d, b"<" + name.encode("utf-16-be").hex().encode() + b">")
        ),
    )
    image, data = Image.new("L", (8, 8)), io.BytesIO()
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("Comment", name, zip=True)
    image.save(data, "PNG", pnginfo=chunks)
    made["chunk.png"] = data.getvalue()
    exif, data = Image.Exif(), io.BytesIO()
    exif[270] = name.encode()
    image.save(data, "JPEG", exif=exif)
    made["exif.jpg"] = data.getvalue()
    data = io.BytesIO()
    np.savez_compressed(data, names=np.array([name]))
    made["array.npz"] = data.getvalue()
    made["table.json"] = json.dumps({"x": name}).encode()
    made["page.html"] = "".join(f"&#{ord(c)};" for c in name).encode()
    made["data.txt"] = base64.b64encode(b"?" + name.encode() + b"???")
    return made


@pytest.mark.parametrize("name", ["Qanary", "長谷川", "독고영"])
def test_the_search_finds_what_is_planted(tmp_path: Path, name: str) -> None:
    for file, data in planted(tmp_path, name).items():
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / file).write_bytes(data)
        assert find([name], tmp_path / "out"), file
        assert not find(["Nobody", "佐々木"], tmp_path / "out")
        (tmp_path / "out" / file).unlink()
    (tmp_path / "out" / f"{name}.txt").touch()
    assert find([name], tmp_path / "out")


def test_the_search_reads_the_text_of_a_page(tmp_path: Path) -> None:
    """Glyphs of an embedded font: no byte of the file is a letter of the name."""
    from weasyprint import HTML

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        data = HTML(string=f"<p>{LATIN}</p>").write_pdf()
    wanted = dict.fromkeys(forms(LATIN), LATIN)
    assert [part for part, content in parts_of("x.pdf", data) if hidden_in(content, wanted)] == [
        "x.pdf/page 1"
    ]
