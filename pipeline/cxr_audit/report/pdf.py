"""HTML and CSS -> PDF/A-3a and PDF/UA-1. The only module that knows WeasyPrint.

WeasyPrint may load nothing but the pictures given and files of the template folder, under addresses
of the reserved top level domain `.invalid` (RFC 2606) that never leave this process. The same input
gives the same bytes.
"""

from __future__ import annotations

import gc
import logging
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import cssselect2  # type: ignore[import-untyped]
import pydyf  # type: ignore[import-untyped]
from PIL import ImageFile

_truncated_images = ImageFile.LOAD_TRUNCATED_IMAGES
from weasyprint import CSS, HTML, Attachment  # noqa: E402
from weasyprint.logger import LOGGER  # noqa: E402
from weasyprint.text.fonts import FontConfiguration  # noqa: E402
from weasyprint.urls import URLFetcher, URLFetcherResponse  # noqa: E402

# WeasyPrint lets Pillow accept truncated files, for the whole process; ingestion must not.
ImageFile.LOAD_TRUNCATED_IMAGES = _truncated_images

TEMPLATE_URL = "https://template.invalid/"
TEMPLATE_FILES = {".css", ".woff2", ".woff", ".otf", ".ttf", ".png", ".jpg", ".jpeg", ".svg"}
# Of a case PDF, level 9 takes five times as long and saves 4 % of what is compressed.
DEFLATE_LEVEL = 5
# What XMP has to say of a document that is PDF/UA-1 besides (ISO 14289-1, 5; ISO 19005-3, 6.6.2.3:
# a schema that PDF/A does not know is declared). WeasyPrint identifies one standard only.
PDF_UA = b"""<rdf:Description rdf:about=""
 xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" pdfuaid:part="1" />
<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"
 xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Part of ISO 14289 that the document conforms to
</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property></rdf:li></rdf:Bag></pdfaExtension:schemas>
</rdf:Description>
</rdf:RDF>"""


FindFile = Callable[[str], Path]
"""The path of a template file by its name; `FileNotFoundError` where there is none."""


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file inside a PDF.

    Parameters
    ----------
    relationship : "Data", "Source" or "Supplement" (ISO 32000-2, 7.11.3).
    """

    name: str
    description: str
    relationship: str
    content: bytes


class Printer:
    """Fonts and parsed style sheets, loaded once a worker."""

    def __init__(self, find_file: FindFile) -> None:
        self._find_file = find_file
        self._fonts = FontConfiguration()
        self._fetcher = Fetcher(find_file)  # WeasyPrint sets up a web client for every one

    def stylesheet(self, names: Sequence[str], variables: Mapping[str, str]) -> CSS:
        """Template style sheets as one, the later ones last.

        Parameters
        ----------
        names : files of the templates.
        variables : take the place of those of `:root`.
        """
        css = "\n".join(self._find_file(name).read_text("utf-8") for name in names)
        return CSS(
            string=_expanded(css, variables),
            base_url=TEMPLATE_URL,
            url_fetcher=self._fetcher,
            font_config=self._fonts,
        )

    def pdf(
        self,
        html: str,
        css: CSS,
        pictures: Mapping[str, bytes],
        files: Sequence[AttachedFile],
        moment: datetime,
    ) -> bytes:
        """A document. A character that no font has is written as its code point.

        Parameters
        ----------
        html : the page.
        css : see `stylesheet`.
        pictures : by URL.
        files : to attach.
        moment : when they were made.
        """
        with _undrawn() as characters:
            document = self._pdf(html, css, pictures, files, moment)
        if not characters:
            return document
        # Boxes would tell no two classes apart.
        html = html.translate({point: f"[U+{point:04X}]" for point in characters})
        return self._pdf(html, css, pictures, files, moment)

    def form(self, html: str, css: CSS, pictures: Mapping[str, bytes]) -> bytes:
        """A tagged document whose fields can be filled in; no PDF/A.

        Parameters
        ----------
        html : the page, with `input` elements.
        css : see `stylesheet`.
        pictures : by URL.
        """
        self._fetcher.pictures = pictures
        page = _Html(html, self._fetcher)
        with warnings.catch_warnings(), _collected_once():
            warnings.simplefilter("ignore", ResourceWarning)
            document = page.write_pdf(
                stylesheets=[css], font_config=self._fonts, cache={}, pdf_forms=True, pdf_tags=True
            )
        return bytes(document)

    def _pdf(
        self,
        html: str,
        css: CSS,
        pictures: Mapping[str, bytes],
        files: Sequence[AttachedFile],
        moment: datetime,
    ) -> bytes:
        self._fetcher.pictures = pictures
        page = _Html(html, self._fetcher)
        attachments = [_attachment(file, moment, self._fetcher) for file in files]
        with warnings.catch_warnings(), _collected_once():
            # WeasyPrint leaves closing its sRGB profile to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            document = page.write_pdf(
                stylesheets=[css],
                font_config=self._fonts,
                cache={},  # one a document: a shared one shows one case's picture in another's
                pdf_variant="pdf/a-3a",
                attachments=attachments,
                finisher=_finish,
            )
        return bytes(document)


class _Html(HTML):  # type: ignore[misc]
    """A page, read by expat where it is XML, as ours is: WeasyPrint's own parser is in Python."""

    def __init__(self, html: str, fetcher: Fetcher) -> None:
        try:
            root = ElementTree.fromstring(html)
        except ElementTree.ParseError:
            super().__init__(string=html, base_url=TEMPLATE_URL, url_fetcher=fetcher)
            return
        self.base_url, self.url_fetcher, self.media_type = TEMPLATE_URL, fetcher, "print"
        self.wrapper_element = cssselect2.ElementWrapper.from_html_root(root, content_language=None)
        self.etree_element = self.wrapper_element.etree_element


class Fetcher(URLFetcher):  # type: ignore[misc]
    """Denies everything but template files of known kinds and the pictures of the document.

    Attributes
    ----------
    pictures : of the document at hand, by URL.
    """

    def __init__(self, find_file: FindFile) -> None:
        super().__init__(allowed_protocols=())
        self._find_file = find_file
        self.pictures: Mapping[str, bytes] = {}

    def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        if url in self.pictures:
            content = self.pictures[url]
            kind = "image/svg+xml" if content.startswith(b"<?xml") else "image/jpeg"
            return URLFetcherResponse(url, content, {"Content-Type": kind})
        name = unquote(url.removeprefix(TEMPLATE_URL))
        if not url.startswith(TEMPLATE_URL) or Path(name).suffix.lower() not in TEMPLATE_FILES:
            raise ValueError(
                f"a report loads its own pictures and template files only, received {url!r}"
            )
        return URLFetcherResponse(url, self._find_file(name).read_bytes())


def _expanded(css: str, given: Mapping[str, str]) -> str:
    """The style sheet with its `:root` variables in place.

    WeasyPrint would resolve them once an element.
    """
    root = re.search(r":root\s*\{([^}]*)\}", css)
    if root is None:
        return css
    values = {**dict(re.findall(r"(--[\w-]+)\s*:\s*([^;]+);", root[1])), **given}
    css = css.replace(root[0], "")
    return re.sub(r"var\((--[\w-]+)\)", lambda match: values.get(match[1], match[0]), css)


@contextmanager
def _collected_once() -> Iterator[None]:
    """No cycle collection while a document's many boxes are built; one pass at the end."""
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
    """Code points that no font of the templates or of this machine has."""
    points: set[int] = set()

    def is_other(entry: logging.LogRecord) -> bool:
        if not entry.msg.startswith(".notdef"):
            return True
        points.add(ord(entry.args[0]))  # type: ignore[arg-type, index]
        return False

    LOGGER.addFilter(is_other)
    try:
        yield points
    finally:
        LOGGER.removeFilter(is_other)


class _Serialised(pydyf.Object):  # type: ignore[misc]
    """A PDF object that is bytes already."""

    data: bytes = b""
    compressible: bool = False

    def __init__(self, source: Any) -> None:
        super().__init__()
        if isinstance(source, pydyf.Stream) and source.compress:
            _deflate(source)
        self.number, self.generation, self.free = source.number, source.generation, source.free
        self.compressible = source.compressible
        if self.free != "f":
            self.data = source.data


def _finish(_document: Any, pdf: Any) -> None:
    _identify_as_pdf_ua(pdf)
    _serialise_once(pdf)


def _identify_as_pdf_ua(pdf: Any) -> None:
    for holder in pdf.objects:
        if getattr(holder, "extra", {}).get("Type") == "/Metadata":
            holder.stream = [part.replace(b"</rdf:RDF>", PDF_UA) for part in holder.stream]


def _deflate(stream: Any) -> None:
    """Compress a stream at `DEFLATE_LEVEL`; pydyf would do it at level 9."""
    stream.compress = False
    _extra, _, rest = stream.data.partition(b"\nstream\n")
    content = rest.removesuffix(b"\nendstream")
    stream.stream = [zlib.compress(content, DEFLATE_LEVEL)]
    stream.extra["Filter"] = "/FlateDecode"


def _serialise_once(pdf: Any) -> None:
    """pydyf would format and compress every object twice, once for the file's identifier."""
    pdf.objects[:] = [_Serialised(source) for source in pdf.objects]


def _attachment(file: AttachedFile, moment: datetime, fetcher: Fetcher) -> Any:
    return Attachment(
        string=file.content,
        url_fetcher=fetcher,
        name=file.name,
        description=file.description,
        relationship=file.relationship,
        created=moment,
        modified=moment,
    )
