"""Records, pictures and templates -> the case PDF and the run report (PDF/A-3a and PDF/UA-1), and the index of a run.

WeasyPrint may load nothing but the case's own pictures and files of the template folder, under
addresses of the reserved top level domain `.invalid` (RFC 2606) that never leave this process. The
same records and pictures give the same bytes. Refuses a picture that the record names and the folder lacks.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import cssselect2  # type: ignore[import-untyped]
import pydyf  # type: ignore[import-untyped]
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import ImageFile

from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CohortRecord,
    Comparison,
    RunRecord,
    to_json,
)
from cxr_audit.report.case_page import case_view
from cxr_audit.report.comparison import comparison_view
from cxr_audit.report.index import index_view
from cxr_audit.report.language import SOURCE, _, marked_up, plural, spoken
from cxr_audit.report.pictures import colour_bar_stops
from cxr_audit.report.run_report import MeanMap, summary_pictures, summary_view, worst_cases
from cxr_audit.report.words import View, w3c

_truncated_images = ImageFile.LOAD_TRUNCATED_IMAGES
from weasyprint import CSS, HTML, Attachment  # noqa: E402
from weasyprint.html import UA, UA_COUNTER_STYLE  # noqa: E402
from weasyprint.logger import LOGGER  # noqa: E402
from weasyprint.text.fonts import FontConfiguration  # noqa: E402
from weasyprint.urls import URLFetcher, URLFetcherResponse  # noqa: E402

# WeasyPrint lets Pillow accept truncated files, for the whole process; ingestion must not.
ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_images

TEMPLATE_URL = "https://template.invalid/"
PICTURE_URL = "https://case.invalid/"
# `report.paper` -> variables of case.css; how large pictures are there: `case_page.layout`
PAPERS = {"a4": {"--paper": "A4"}, "letter": {"--paper": "letter"}}
# What every element is given by default, without rules that are tried on every element and never fit: those for
# footnotes and list markers (they would style six of each) and those for margins where a `dir` is given. PDF/A forbids
# that a picture asks to be smoothed (ISO 19005-3, 6.2.8), which "auto" does.
DEFAULT_STYLE = CSS(
    string=re.sub(r"^(::|:is\(|\[dir[^{]* (dd|:is)).*", "", UA, flags=re.MULTILINE)
    + "html { image-rendering: crisp-edges }",
    counter_style=UA_COUNTER_STYLE,
)
# What XMP has to say of a document that is PDF/UA-1 besides (ISO 14289-1, 5; ISO 19005-3, 6.6.2.3: a schema that PDF/A
# does not know is declared). WeasyPrint identifies one standard only.
PDF_UA = b"""<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" pdfuaid:part="1" />
<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" \
xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Part of ISO 14289 that the document conforms to</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>
</rdf:RDF>"""
TEMPLATE_FILES = {".css", ".woff2", ".woff", ".otf", ".ttf", ".png", ".jpg", ".jpeg", ".svg"}


def data_folder(name: str) -> Path:
    """A folder that ships: `cxr_audit/_data/<name>` in a wheel, else `<name>` at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "_data" / name
    return packed if packed.is_dir() else package.parents[1] / name


class Renderer:
    """Templates, fonts and parsed CSS, loaded once a worker.

    Parameters
    ----------
    template_dir : a hospital's own templates; a file that it lacks is taken from ours

    Raises
    ------
    ConfigError : a template folder that replaces nothing; when filled in, a template that is not Jinja or uses a
        name that does not exist.
    """

    def __init__(self, template_dir: Path | None = None) -> None:
        own = [template_dir] if template_dir else []
        self._folders = [folder.resolve() for folder in (*own, data_folder("templates"))]
        ours = sorted(
            path.name for path in self._folders[-1].iterdir() if path.suffix in (".j2", ".css")
        )
        if template_dir and not any((template_dir / name).is_file() for name in ours):
            raise ConfigError(
                f"{template_dir} replaces no template",
                f"name a file in it as one of {', '.join(ours)}",
            )
        # A hospital's own template may come from anywhere: it places text and runs no Python.
        self._jinja = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in self._folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.globals |= {"_": marked_up, "plural": plural}
        self._fonts = FontConfiguration()
        self._css = {
            paper: self._stylesheet(paper, "case.css", "letterhead.css") for paper in PAPERS
        }

    def case_pdf(
        self, record: CaseRecord, run: RunRecord, folder: Path, language: str | None = None
    ) -> bytes:
        """The PDF of one case, also of an excluded or failed one.

        Parameters
        ----------
        folder : the case's folder; holds the files that `record.pictures` names, and `map.npz` if any
        language : None = the one of the run's config

        Returns
        -------
        PDF/A-3a bytes with the record, the config and the maps attached.
        """
        urls, pictures = _addressed(
            {role: _content(folder, name) for role, name in _pictures(record).items()}
        )
        with spoken(language or _language(run)):
            files = [
                ("case.json", _("The record of this case"), "Data", to_json(record)),
                ("config.json", _("The resolved audit config"), "Source", to_json(run.config)),
            ]
            if (folder / "map.npz").is_file():
                files.append(
                    (
                        "map.npz",
                        _("Signed class activation maps"),
                        "Data",
                        (folder / "map.npz").read_bytes(),
                    )
                )
            html = self._filled("case.html.j2", case_view(record, run, urls))
        css = self._css[_paper(run)]

        def written(html: str) -> bytes:
            return self._pdf(html, css, pictures, _attachments(files, run.started))

        with _undrawn() as characters:
            pdf = written(html)
        # Boxes would tell no two classes apart.
        return (
            written(html.translate({one: f"[U+{one:04X}]" for one in characters}))
            if characters
            else pdf
        )

    def comparison(self, found: Comparison) -> tuple[bytes, bytes]:
        """A comparison of two runs as HTML, one self-contained page, and as PDF/A-3a with the record attached."""
        html = self._filled("compare.html.j2", comparison_view(found))
        record = ("compare.json", "The record of this comparison", "Data", to_json(found))
        return html.encode(), self._pdf(
            html, self._css["a4"], {}, _attachments([record], found.b.started)
        )

    def summary_pdf(
        self,
        records: Sequence[CaseRecord],
        run: RunRecord,
        cohort: CohortRecord,
        mean_maps: Mapping[str, MeanMap],
        cases: Path,
    ) -> bytes:
        """The run report.

        Parameters
        ----------
        mean_maps : by outcome; empty where none could be made
        cases : the folder of the cases' folders, for the pictures of the most wrong ones

        Returns
        -------
        PDF/A-3a bytes with what the run says of the classifier and the config attached.
        """
        drawn = summary_pictures(records, run, cohort, mean_maps)
        for role, (_case, record) in worst_cases(records, cohort).items():
            name = record.first_map.picture if record.first_map else None
            if name is not None:
                drawn[role] = _content(cases / record.case_id, name)
        urls, pictures = _addressed(drawn)
        files = [
            ("cohort.json", "What this run says of the classifier", "Data", to_json(cohort)),
            ("config.json", "The resolved audit config", "Source", to_json(run.config)),
        ]
        view = summary_view(records, run, cohort, mean_maps, urls)
        html = self._filled("summary.html.j2", view)
        css = self._stylesheet(_paper(run), "case.css", "summary.css", "letterhead.css")
        return self._pdf(html, css, pictures, _attachments(files, run.started))

    def _pdf(
        self, html: str, css: CSS, pictures: Mapping[str, bytes], attachments: Sequence[Any]
    ) -> bytes:
        with warnings.catch_warnings(), _collected_once():
            # WeasyPrint leaves closing its sRGB profile to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            return bytes(
                _Html(html, _Fetcher(self._template_file, pictures)).write_pdf(
                    stylesheets=[css],
                    font_config=self._fonts,
                    cache={},  # one a document: a shared one shows one case's picture in another's
                    pdf_variant="pdf/a-3a",
                    attachments=attachments,
                    finisher=_finish,
                )
            )

    def _stylesheet(self, paper: str, *names: str) -> CSS:
        """Template stylesheets as one, the later ones last."""
        css = "\n".join(self._template_file(name).read_text("utf-8") for name in names)
        fetcher = _Fetcher(self._template_file, {})
        css = _expanded(css, PAPERS[paper] | {"--cividis": ", ".join(colour_bar_stops())})
        return CSS(string=css, base_url=TEMPLATE_URL, url_fetcher=fetcher, font_config=self._fonts)

    def index_html(self, records: Sequence[CaseRecord], run: RunRecord) -> str:
        """`index.html` of a run: one self-contained page, links relative to the run folder."""
        return self._filled("index.html.j2", index_view(records, run))

    def _filled(self, name: str, view: View) -> str:
        try:
            return self._jinja.get_template(name).render(view)
        except TemplateError as error:
            # Jinja puts the templates' own lines into the traceback.
            frames = [
                one
                for one in traceback.extract_tb(error.__traceback__)
                if one.filename.endswith(".j2")
            ]
            raise ConfigError(
                f"{frames[-1].filename}, line {frames[-1].lineno}: {error.message}",
                "templates/README.md lists what a template may use",
            ) from error

    def _template_file(self, name: str) -> Path:
        """The first template folder that has the file. Nothing outside the folders is ever returned."""
        for folder in self._folders:
            path = (folder / name).resolve()
            if path.is_file() and path.is_relative_to(folder):
                return path
        raise FileNotFoundError(
            f"no template file {name!r} in {', '.join(map(str, self._folders))}"
        )


def _pictures(case: CaseRecord) -> dict[str, str]:
    """Role, or key of a map -> file name in the case's folder."""
    files = dict(case.pictures)
    if isinstance(case, AuditedCase):
        files |= {drawn.key: drawn.picture for drawn in case.maps if drawn.picture}
    return files


def _language(run: RunRecord) -> str:
    return str(
        run.config.get("report", {}).get("language", SOURCE)
    )  # a run before there was a choice


def _paper(run: RunRecord) -> str:
    return str(run.config.get("report", {}).get("paper", "a4"))  # a run before there was a choice


class _Html(HTML):  # type: ignore[misc]
    """A page, read by expat where it is XML too, as ours is: WeasyPrint's own parser is slower, being Python."""

    def __init__(self, html: str, fetcher: _Fetcher) -> None:
        try:
            root = ElementTree.fromstring(html)
        except ElementTree.ParseError:
            super().__init__(string=html, base_url=TEMPLATE_URL, url_fetcher=fetcher)
            return
        self.base_url, self.url_fetcher, self.media_type = TEMPLATE_URL, fetcher, "print"
        self.wrapper_element = cssselect2.ElementWrapper.from_html_root(root, content_language=None)
        self.etree_element = self.wrapper_element.etree_element

    def _ua_stylesheets(self, forms: bool = False) -> list[CSS]:
        return [DEFAULT_STYLE]


class _Fetcher(URLFetcher):  # type: ignore[misc]
    """Denies everything but template files of known kinds and the pictures given."""

    def __init__(self, template_file: Any, pictures: Mapping[str, bytes]) -> None:
        super().__init__(allowed_protocols=())
        self._template_file = template_file
        self._pictures = pictures

    def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        if url in self._pictures:
            content = self._pictures[url]
            kind = "image/svg+xml" if content.startswith(b"<?xml") else "image/jpeg"
            return URLFetcherResponse(url, content, {"Content-Type": kind})
        name = unquote(url.removeprefix(TEMPLATE_URL))
        if not url.startswith(TEMPLATE_URL) or Path(name).suffix.lower() not in TEMPLATE_FILES:
            raise ValueError(
                f"a report loads its own pictures and template files only, received {url!r}"
            )
        return URLFetcherResponse(url, self._template_file(name).read_bytes())


def _expanded(css: str, given: dict[str, str]) -> str:
    """The stylesheet with its `:root` variables in place: WeasyPrint would resolve them once an element."""
    root = re.search(r":root\s*\{([^}]*)\}", css)
    if root is None:
        return css
    values = dict(re.findall(r"(--[\w-]+)\s*:\s*([^;]+);", root[1])) | given
    css = css.replace(root[0], "")
    return re.sub(r"var\((--[\w-]+)\)", lambda found: values.get(found[1], found[0]), css)


def _content(folder: Path, name: str) -> bytes:
    """A picture of a case."""
    if Path(name).name != name:
        raise ValueError(f"a picture must be a file name in the case's folder, received {name!r}")
    return (folder / name).read_bytes()


def _addressed(contents: Mapping[str, bytes]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Role -> URL and URL -> bytes. URLs carry the content's hash: WeasyPrint keys pictures by URL."""
    urls = {
        role: f"{PICTURE_URL}{hashlib.sha256(content).hexdigest()}"
        for role, content in contents.items()
    }
    return urls, {urls[role]: content for role, content in contents.items()}


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


@contextmanager
def _undrawn() -> Iterator[set[int]]:
    """Code points that no font of the templates or of this machine has, as WeasyPrint meets them."""
    found: set[int] = set()

    def is_other(entry: logging.LogRecord) -> bool:
        if not entry.msg.startswith(".notdef"):
            return True
        found.add(ord(entry.args[0]))  # type: ignore[arg-type, index]
        return False

    LOGGER.addFilter(is_other)
    try:
        yield found
    finally:
        LOGGER.removeFilter(is_other)


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


def _finish(_document: Any, pdf: Any) -> None:
    _identify_as_pdf_ua(pdf)
    _serialise_once(pdf)


def _identify_as_pdf_ua(pdf: Any) -> None:
    metadata = next(
        one for one in pdf.objects if getattr(one, "extra", {}).get("Type") == "/Metadata"
    )
    metadata.stream = [part.replace(b"</rdf:RDF>", PDF_UA) for part in metadata.stream]


def _serialise_once(pdf: Any) -> None:
    """pydyf would format and compress every object twice, once for the file's identifier. The bytes are the same."""
    pdf.objects[:] = [_Serialised(one) for one in pdf.objects]


def _attachments(files: Sequence[tuple[str, str, str, bytes]], timestamp: str) -> list[Any]:
    """Files (name, description, relationship, content), dated with the run's start."""
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
