"""Records, pictures and templates -> the case PDF (PDF/A-3a, tagged) and the index of a run.

WeasyPrint may load nothing but the case's own pictures and files of the template folder, under
addresses of the reserved top level domain `.invalid` (RFC 2606) that never leave this process. The
same records and pictures give the same bytes. Refuses a picture that the record names and the folder lacks.
"""

from __future__ import annotations

import gc
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pydyf  # type: ignore[import-untyped]
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from PIL import ImageFile

from pipeline.records import CaseRecord, Comparison, RunRecord, to_json
from pipeline.report.comparison import comparison_view
from pipeline.report.view import View, case_view, index_view, w3c

_truncated_images = ImageFile.LOAD_TRUNCATED_IMAGES
from weasyprint import CSS, HTML, Attachment  # noqa: E402
from weasyprint.text.fonts import FontConfiguration  # noqa: E402
from weasyprint.urls import URLFetcher, URLFetcherResponse  # noqa: E402

# WeasyPrint lets Pillow accept truncated files, for the whole process; ingestion must not.
ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_images

TEMPLATE_URL = "https://template.invalid/"
PICTURE_URL = "https://case.invalid/"
TEMPLATE_FILES = {".css", ".woff2", ".woff", ".otf", ".ttf", ".png", ".jpg", ".jpeg", ".svg"}


def data_folder(name: str) -> Path:
    """A folder that ships: `pipeline/_data/<name>` in a wheel, else `<name>` beside `pipeline/`."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "_data" / name
    return packed if packed.is_dir() else package.parent / name


class Renderer:
    """Templates, fonts and parsed CSS, loaded once a worker.

    Parameters
    ----------
    template_dir : a hospital's own templates; a file that it lacks is taken from ours
    """

    def __init__(self, template_dir: Path | None = None) -> None:
        own = [template_dir] if template_dir else []
        self._folders = [folder.resolve() for folder in (*own, data_folder("templates"))]
        self._jinja = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in self._folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._fonts = FontConfiguration()
        self._css = CSS(
            string=_expanded(self._template_file("case.css").read_text("utf-8")),
            base_url=TEMPLATE_URL,
            url_fetcher=_Fetcher(self._template_file, {}),
            font_config=self._fonts,
        )

    def case_pdf(self, record: CaseRecord, run: RunRecord, folder: Path) -> bytes:
        """The PDF of one case, also of an excluded or failed one.

        Parameters
        ----------
        folder : the case's folder; holds the files that `record.pictures` names, and `map.npz` if any

        Returns
        -------
        PDF/A-3a bytes with the record, the config and the maps attached.
        """
        urls, pictures = _pictures(record, folder)
        html = self._jinja.get_template("case.html.j2").render(case_view(record, run, urls))
        return self._pdf(html, pictures, _attachments(record, run, folder))

    def comparison(self, found: Comparison) -> tuple[bytes, bytes]:
        """A comparison of two runs as HTML, one self-contained page, and as PDF/A-3a with the record attached."""
        html = self._jinja.get_template("compare.html.j2").render(comparison_view(found))
        record = ("compare.json", "The record of this comparison", "Data", to_json(found))
        return html.encode(), self._pdf(html, {}, _attached([record], found.b.started))

    def _pdf(self, html: str, pictures: Mapping[str, bytes], attachments: list[Any]) -> bytes:
        fetcher = _Fetcher(self._template_file, pictures)
        document = HTML(string=html, base_url=TEMPLATE_URL, url_fetcher=fetcher)
        with warnings.catch_warnings(), _collected_once():
            # WeasyPrint leaves closing its sRGB profile to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            return bytes(
                document.write_pdf(
                    stylesheets=[self._css],
                    font_config=self._fonts,
                    cache={},  # one a document: a shared one shows one case's picture in another's
                    pdf_variant="pdf/a-3a",
                    attachments=attachments,
                    finisher=_serialise_once,
                )
            )

    def index_html(self, records: Sequence[CaseRecord], run: RunRecord) -> str:
        """`index.html` of a run: one self-contained page, links relative to the run folder."""
        view: View = index_view(records, run)
        return self._jinja.get_template("index.html.j2").render(view)

    def _template_file(self, name: str) -> Path:
        """The first template folder that has the file. Nothing outside the folders is ever returned."""
        for folder in self._folders:
            path = (folder / name).resolve()
            if path.is_file() and path.is_relative_to(folder):
                return path
        raise FileNotFoundError(f"no template file {name!r} in {', '.join(map(str, self._folders))}")


class _Fetcher(URLFetcher):  # type: ignore[misc]
    """Denies everything but template files of known kinds and the pictures given."""

    def __init__(self, template_file: Any, pictures: Mapping[str, bytes]) -> None:
        super().__init__(allowed_protocols=())
        self._template_file = template_file
        self._pictures = pictures

    def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        if url in self._pictures:
            return URLFetcherResponse(url, self._pictures[url], {"Content-Type": "image/jpeg"})
        name = unquote(url.removeprefix(TEMPLATE_URL))
        if not url.startswith(TEMPLATE_URL) or Path(name).suffix.lower() not in TEMPLATE_FILES:
            raise ValueError(f"a report loads its own pictures and template files only, received {url!r}")
        return URLFetcherResponse(url, self._template_file(name).read_bytes())


def _expanded(css: str) -> str:
    """The stylesheet with its `:root` variables in place: WeasyPrint would resolve them once an element."""
    root = re.search(r":root\s*\{([^}]*)\}", css)
    if root is None:
        return css
    values = dict(re.findall(r"(--[\w-]+)\s*:\s*([^;]+);", root[1]))
    css = css.replace(root[0], "")
    return re.sub(r"var\((--[\w-]+)\)", lambda found: values.get(found[1], found[0]), css)


def _pictures(record: CaseRecord, folder: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Role -> URL and URL -> bytes. URLs carry the content's hash: WeasyPrint keys pictures by URL."""
    urls, pictures = {}, {}
    for role, name in record.pictures.items():
        if Path(name).name != name:
            raise ValueError(f"picture {role!r} must be a file name in the case's folder, received {name!r}")
        content = (folder / name).read_bytes()
        urls[role] = f"{PICTURE_URL}{hashlib.sha256(content).hexdigest()}"
        pictures[urls[role]] = content
    return urls, pictures


@contextmanager
def _collected_once() -> Iterator[None]:
    """No cycle collection while a document's many boxes are built and kept; one pass over them at the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
            gc.collect(0)


class _Serialised(pydyf.Object):  # type: ignore[misc]
    """A PDF object that is bytes already."""

    data: bytes = b""
    compressible: bool = False

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.number, self.generation, self.free = source.number, source.generation, source.free
        self.compressible = source.compressible
        if self.free != "f":
            self.data = source.data


def _serialise_once(_document: Any, pdf: Any) -> None:
    """pydyf would format and compress every object twice, once for the file's identifier. The bytes are the same."""
    pdf.objects[:] = [_Serialised(one) for one in pdf.objects]


def _attachments(record: CaseRecord, run: RunRecord, folder: Path) -> list[Any]:
    files = [
        ("case.json", "The record of this case", "Data", to_json(record)),
        ("config.json", "The resolved audit config", "Source", to_json(run.config)),
    ]
    if (folder / "map.npz").is_file():
        files.append(("map.npz", "Signed class activation maps", "Data", (folder / "map.npz").read_bytes()))
    return _attached(files, run.started)


def _attached(files: Sequence[tuple[str, str, str, bytes]], timestamp: str) -> list[Any]:
    """Attachments from (name, description, relationship, content)."""
    moment = datetime.fromisoformat(w3c(timestamp))
    return [
        Attachment(
            string=content,
            name=name,
            description=description,
            relationship=relationship,
            created=moment,
            modified=moment,
        )
        for name, description, relationship, content in files
    ]
