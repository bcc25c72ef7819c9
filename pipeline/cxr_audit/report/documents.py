"""Records, pictures and templates -> case PDF, run report, comparison and index of a run.

The same records and pictures give the same bytes. Refused: a picture that the record names and the
folder lacks.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CohortRecord,
    Comparison,
    ProtocolRecord,
    ReadersRecord,
    RunRecord,
    to_json,
)
from cxr_audit.report.case_page import case_view
from cxr_audit.report.comparison import comparison_view
from cxr_audit.report.index import index_view
from cxr_audit.report.language import SOURCE, _, marked_up, plural, spoken
from cxr_audit.report.pdf import AttachedFile, Printer
from cxr_audit.report.pictures import colour_bar_stops
from cxr_audit.report.run_report import (
    MeanMap,
    annexes_view,
    summary_pictures,
    summary_view,
    worst_cases,
)
from cxr_audit.report.stamp import stamp_view
from cxr_audit.report.words import View, w3c
from cxr_audit.report.worklist import Part, worklist_view

PICTURE_URL = "https://case.invalid/"
# `report.paper` -> the size as CSS has it; how large pictures are there: `case_page.layout`
PAPERS = {"a4": "A4", "letter": "letter"}


def data_folder(name: str) -> Path:
    """A folder that ships: `cxr_audit/_data/<name>` in a wheel, else at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "_data" / name
    return packed if packed.is_dir() else package.parents[1] / name


class Renderer:
    """Templates, fonts and parsed CSS, loaded once a worker.

    Parameters
    ----------
    template_dir : a hospital's own templates; a file that it lacks is taken from ours.

    Raises
    ------
    ConfigError : a template folder that replaces nothing; when filled in, a template that is not
        Jinja or uses a name that does not exist.
    """

    def __init__(self, template_dir: Path | None = None) -> None:
        own = [template_dir] if template_dir else []
        self._folders = [folder.resolve() for folder in (*own, data_folder("templates"))]
        if template_dir:
            _check_replaces(template_dir, self._folders[-1])
        # A hospital's own template may come from anywhere: it places text and runs no Python.
        self._jinja = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in self._folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.globals |= {"_": marked_up, "plural": plural}
        self._printer = Printer(self._template_file)
        self._css = {paper: self._stylesheet(paper, "case.css") for paper in PAPERS}

    def case_pdf(
        self, case: CaseRecord, run: RunRecord, folder: Path, language: str | None = None
    ) -> bytes:
        """The PDF of one case, also of an excluded or failed one.

        Parameters
        ----------
        case : its record.
        run : what it belongs to.
        folder : the case's folder; holds the pictures, and `map.npz` if any.
        language : None = the one of the run's config.

        Returns
        -------
        PDF/A-3a bytes with the record, the config and the maps attached.
        """
        contents = {role: _content(folder, name) for role, name in _pictures(case).items()}
        urls, pictures = _addressed(contents)
        with spoken(language or _language(run)):
            files = [
                AttachedFile("case.json", _("The record of this case"), "Data", to_json(case)),
                _config(run),
            ]
            maps = folder / "map.npz"
            if maps.is_file():
                words = _("Signed class activation maps")
                files.append(AttachedFile("map.npz", words, "Data", maps.read_bytes()))
            html = self._filled("case.html.j2", case_view(case, run, urls))
        css = self._css[_paper(run)]
        return self._printer.pdf(html, css, pictures, files, _moment(run.started))

    def summary_pdf(
        self,
        cases: Sequence[CaseRecord],
        run: RunRecord,
        cohort: CohortRecord,
        mean_maps: Mapping[str, MeanMap],
        folder: Path,
        language: str | None = None,
        protocol: ProtocolRecord | None = None,
        answers: ReadersRecord | None = None,
    ) -> bytes:
        """The run report, with its annexes attached.

        Parameters
        ----------
        cases, run, cohort : the records of the run.
        mean_maps : by outcome; empty where none could be made.
        folder : of the cases' folders, for the pictures of the most wrong ones.
        language : None = the one of the run's config.
        protocol : what was fixed before; None where an older version made the run.
        answers : of readers, where they were joined to the run.

        Returns
        -------
        PDF/A-3a bytes with the cohort, the config and the annexes attached.
        """
        with spoken(language or _language(run)):
            drawn = summary_pictures(cases, run, cohort, mean_maps)
            for role, (_wrong, case) in worst_cases(cases, cohort).items():
                first = case.first_map
                picture = case.pictures.get("marked") or (first.picture if first else None)
                if picture is not None:
                    drawn[role] = _content(folder / case.case_id, picture)
            urls, pictures = _addressed(drawn)
            words = _("What this run says of the classifier")
            files = [AttachedFile("cohort.json", words, "Data", to_json(cohort)), _config(run)]
            words = _("Regulatory map, model card, CLAIM checklist, hazards, monitoring")
            annexes = self.annexes_pdf(cases, run, cohort, language, answers)
            files.append(AttachedFile("annexes.pdf", words, "Supplement", annexes))
            view = summary_view(cases, run, cohort, mean_maps, urls, protocol, answers)
            html = self._filled("summary.html.j2", view)
        css = self._stylesheet(_paper(run), "case.css", "summary.css")
        return self._printer.pdf(html, css, pictures, files, _moment(run.started))

    def annexes_pdf(
        self,
        cases: Sequence[CaseRecord],
        run: RunRecord,
        cohort: CohortRecord,
        language: str | None = None,
        answers: ReadersRecord | None = None,
    ) -> bytes:
        """Regulatory map, model card, CLAIM checklist, hazards, baseline for monitoring.

        Parameters
        ----------
        cases, run, cohort, answers : the records of the run.
        language : None = the one of the run's config.
        """
        with spoken(language or _language(run)):
            html = self._filled("annexes.html.j2", annexes_view(cases, run, cohort, answers))
        css = self._stylesheet(_paper(run), "case.css", "summary.css")
        return self._printer.pdf(html, css, {}, [], _moment(run.started))

    def worklist_pdf(
        self, part: Part, cases: Sequence[AuditedCase], run: RunRecord, folder: Path
    ) -> bytes:
        """A sheet for readers, with fields to fill in.

        Parameters
        ----------
        part : "reading" for plain radiographs, "results" for what the model said.
        cases : in the order of the sheet.
        run : what they belong to.
        folder : of the cases' folders.
        """
        roles = ("radiograph",) if part == "reading" else ("radiograph", "marked")
        contents = {
            f"{role} {case.case_id}": _content(folder / case.case_id, case.pictures[role])
            for case in cases
            for role in roles
            if role in case.pictures
        }
        urls, pictures = _addressed(contents)
        with spoken(_language(run)):
            html = self._filled("worklist.html.j2", worklist_view(part, cases, run, urls))
        css = self._stylesheet(_paper(run), "case.css", "summary.css", "worklist.css")
        return self._printer.form(html, css, pictures)

    def stamp_pdf(self, name: str, meaning: str, certified: str, moment: datetime) -> bytes:
        """What is seen of a signature, as a page of its own size.

        Parameters
        ----------
        name, meaning, certified, moment : see `stamp_view`.
        """
        html = self._filled("stamp.html.j2", stamp_view(name, meaning, certified, moment))
        return self._printer.pdf(html, self._css["a4"], {}, [], moment)

    def index_html(
        self,
        cases: Sequence[CaseRecord],
        run: RunRecord,
        language: str | None = None,
        answers: ReadersRecord | None = None,
    ) -> str:
        """`index.html` of a run: one self-contained page, links relative to the run folder.

        Parameters
        ----------
        cases, run : the records of the run.
        language : None = the one of the run's config.
        answers : of readers, where they were joined to the run.
        """
        with spoken(language or _language(run)):
            return self._filled("index.html.j2", index_view(cases, run, answers))

    def comparison(self, comparison: Comparison, language: str) -> tuple[bytes, bytes]:
        """A comparison of two runs.

        Returns
        -------
        HTML, one self-contained page, and PDF/A-3a with the record attached.
        """
        record = to_json(comparison)
        with spoken(language):
            html = self._filled("compare.html.j2", comparison_view(comparison))
            words = _("The record of this comparison")
        file = AttachedFile("compare.json", words, "Data", record)
        moment = _moment(comparison.b.started)
        return html.encode(), self._printer.pdf(html, self._css["a4"], {}, [file], moment)

    def _stylesheet(self, paper: str, *names: str) -> Any:
        variables = {"--paper": PAPERS[paper], "--cividis": ", ".join(colour_bar_stops())}
        return self._printer.stylesheet((*names, "letterhead.css"), variables)

    def _filled(self, name: str, view: View) -> str:
        try:
            return self._jinja.get_template(name).render(view)
        except TemplateError as error:
            # Jinja puts the templates' own lines into the traceback.
            frames = traceback.extract_tb(error.__traceback__)
            last = [frame for frame in frames if frame.filename.endswith(".j2")][-1]
            raise ConfigError(
                f"{last.filename}, line {last.lineno}: {error.message}",
                "templates/README.md lists what a template may use",
            ) from error

    def _template_file(self, name: str) -> Path:
        """The first template folder that has the file. Nothing outside the folders is returned."""
        for folder in self._folders:
            path = (folder / name).resolve()
            if path.is_file() and path.is_relative_to(folder):
                return path
        folders = ", ".join(map(str, self._folders))
        raise FileNotFoundError(f"no template file {name!r} in {folders}")


def _check_replaces(template_dir: Path, ours: Path) -> None:
    names = sorted(path.name for path in ours.iterdir() if path.suffix in (".j2", ".css"))
    if not any((template_dir / name).is_file() for name in names):
        raise ConfigError(
            f"{template_dir} replaces no template",
            f"name a file in it as one of {', '.join(names)}",
        )


def _config(run: RunRecord) -> AttachedFile:
    content = to_json(run.config)
    return AttachedFile("config.json", _("The resolved audit config"), "Source", content)


def _pictures(case: CaseRecord) -> dict[str, str]:
    """Role, or key of a map -> file name in the case's folder."""
    files = dict(case.pictures)
    if isinstance(case, AuditedCase):
        files |= {drawn.key: drawn.picture for drawn in case.maps if drawn.picture}
    return files


def _language(run: RunRecord) -> str:
    """A run from before there was a choice is in English."""
    return str(run.config.get("report", {}).get("language", SOURCE))


def _paper(run: RunRecord) -> str:
    """A run from before there was a choice is on A4."""
    return str(run.config.get("report", {}).get("paper", "a4"))


def _moment(timestamp: str) -> datetime:
    return datetime.fromisoformat(w3c(timestamp))


def _content(folder: Path, name: str) -> bytes:
    """A picture of a case."""
    if Path(name).name != name:
        raise ValueError(f"a picture must be a file name in the case's folder, received {name!r}")
    return (folder / name).read_bytes()


def _addressed(contents: Mapping[str, bytes]) -> tuple[dict[str, str], dict[str, bytes]]:
    """Role -> URL and URL -> bytes.

    URLs carry the content's hash: WeasyPrint keys pictures by URL.
    """
    urls = {
        role: f"{PICTURE_URL}{hashlib.sha256(content).hexdigest()}"
        for role, content in contents.items()
    }
    return urls, {urls[role]: content for role, content in contents.items()}
