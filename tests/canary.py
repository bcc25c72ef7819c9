"""Search for names in everything that a run leaves: in many encodings, inside every container.

A document is opened as its own readers would: PDF objects, decoded streams, embedded files, text of the pages; text
chunks and EXIF of pictures; members of zip and npz files; then every byte of it is searched.
"""

from __future__ import annotations

import base64
import io
import json
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pikepdf
from PIL import ExifTags, Image
from pypdf import PdfReader

ENCODINGS = (
    *("utf-8", "utf-16-be", "utf-16-le", "utf-32-le", "latin-1", "cp437"),  # UTF-32: NumPy's own
    *("shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "iso2022_kr"),
)
SHORTEST = 6  # bytes; anything shorter is found by chance in compressed pictures


def forms(name: str) -> set[bytes]:
    """A name as it may stand in a file, in lower case. Give each part of a name on its own: it may stand alone."""
    plain = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    found = {
        text.encode(encoding) for text in plain for encoding in ENCODINGS if _fits(text, encoding)
    }
    for text in plain:
        escaped = {json.dumps(text)[1:-1], quote(text, safe="")}
        escaped |= {"".join(f"&#{ord(c)};" for c in text), "".join(f"&#x{ord(c):x};" for c in text)}
        found |= {form.encode(encoding) for form in escaped for encoding in ("utf-8", "utf-16-be")}
        for data in (text.encode(), text.encode("utf-16-be")):
            found.add(data.hex().encode())
            # Base64 of a longer text: the characters that depend on the name alone, at each of the three offsets.
            found |= {base64.b64encode(b"\0" * n + data)[(0, 2, 3)[n] : -4] for n in range(3)}
    return {form.lower() for form in found if len(form) >= SHORTEST}


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def find(names: list[str], where: Path) -> list[str]:
    """Every place below a folder that holds one of the names: "file -> part: name"."""
    wanted = {form: name for name in names for form in forms(name)}
    seen: set[bytes] = set()
    hits = []
    for path in sorted(where.rglob("*")):
        parts = [
            (
                "the file's name",
                path.relative_to(where).as_posix().encode("utf-8", "surrogateescape"),
            )
        ]
        if path.is_file() and not path.is_symlink():
            parts += parts_of(path.name, path.read_bytes())
        for part, data in parts:
            if data not in seen:  # every PDF has the same fonts
                seen.add(data)
                hits += [
                    f"{path.relative_to(where)} -> {part}: {name}"
                    for name in hidden_in(data, wanted)
                ]
    return hits


def hidden_in(data: bytes, wanted: dict[bytes, str]) -> set[str]:
    """The names that stand in some bytes."""
    small = data.lower()
    return {name for form, name in wanted.items() if form in small}


def parts_of(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, then what a reader of this kind of file would get out of them."""
    yield name, data
    if data.startswith(b"%PDF"):
        yield from _pdf(name, data)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield f"{name}/names", member.encode()
                yield from parts_of(f"{name}/{member}", archive.read(member))
    elif data.startswith((b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*")):
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            yield f"{name}/info", repr(image.info).encode()
            exif = image.getexif()
            for values in (dict(exif), *(exif.get_ifd(ifd) for ifd in ExifTags.IFD)):
                yield f"{name}/exif", repr(values).encode()


def _pdf(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    with pikepdf.open(io.BytesIO(data)) as pdf:
        for number, item in enumerate(pdf.objects):
            if isinstance(item, pikepdf.Stream):
                content = (
                    item.read_raw_bytes()
                    if "/DCTDecode" in repr(item.get("/Filter"))
                    else item.read_bytes()
                )
                yield from parts_of(f"{name}/object {number}", content)
            strings = [repr(item), *_strings(item)]
            yield f"{name}/object {number}", "\n".join(strings).encode("utf-8", "replace")
    for number, page in enumerate(PdfReader(io.BytesIO(data)).pages, 1):
        yield f"{name}/page {number}", page.extract_text().encode("utf-8", "replace")


def _strings(item: object) -> Iterator[str]:
    """Strings as a reader shows them: a PDF may write each as UTF-16, PDFDocEncoding or hex."""
    if isinstance(item, pikepdf.String):
        yield str(item)
    elif isinstance(item, pikepdf.Array):
        for one in item:
            yield from _strings(one)
    elif isinstance(item, pikepdf.Dictionary | pikepdf.Stream):
        for key, one in item.items():
            yield key
            if not isinstance(one, pikepdf.Object) or not one.is_indirect:
                yield from _strings(one)
