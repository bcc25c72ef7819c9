"""A run and the files that it was made from -> which case is which file.

The folder that is handed on has keyed hashes only: without the key, or `private/`, no one can
find the case of a radiograph that they have. An assessor who has both compares here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_audit import evidence, ingest
from cxr_audit.config import REFERENCE
from cxr_audit.errors import CaseError, ConfigError
from cxr_audit.evidence import CaseIdKey, Problem, RunFolder
from cxr_audit.records import CaseRecord, CaseSource, RunRecord


@dataclass(frozen=True, slots=True)
class Originals:
    """What came of comparing.

    Parameters
    ----------
    num_files : in the folder of originals.
    matched : ids of cases whose file is among them.
    missing : ids of cases whose file is not.
    problems : cases whose file is there and whose pixels are others than the record states.
    """

    num_files: int
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        num = len(self.matched) + len(self.missing)
        words = f"{len(self.matched)} of {num} cases are among {self.num_files} files"
        if self.missing:
            words += f"; not among them: {', '.join(self.missing[:5])}"
            if len(self.missing) > 5:
                words += f" and {len(self.missing) - 5} more"
        return words


def compare_originals(
    folder: RunFolder, originals: Path, key_file: Path | None = None
) -> Originals:
    """Find the file of each case by its hash and compare its pixels.

    Parameters
    ----------
    folder : a sealed run.
    originals : folder of the files that it was made from.
    key_file : the key of the case ids; None = beside the run or in the environment.

    Raises
    ------
    ConfigError : the key is not the run's, or neither it nor `private/` is here.
    """
    run = folder.read_run()
    key = _key_of(folder, run, key_file)
    plain = {source.case_id: source.file_sha256 for source in evidence.read_crosswalk(folder)}
    if key is None and not plain:
        raise ConfigError(
            "the cases cannot be matched: neither the key of the case ids nor private/ is here",
            "give the key: cxr-audit verify RUN --originals DIR --key-file FILE",
        )
    files = {}
    sources = ingest.discover(str(originals), key=b"" if key is None else key.value)
    for source in sources:
        if source.file_sha256 is not None:
            files[source.file_sha256] = source
    by_hmac = {} if key is None else {key.hmac(sha256): sha256 for sha256 in files}
    matched, missing, problems = [], [], []
    for case_id in folder.case_ids():
        record = folder.read_case(case_id)
        if record is None:
            continue
        sha256 = by_hmac.get(record.hashes.file_hmac) if key else plain.get(case_id)
        if sha256 is None or sha256 not in files:
            missing.append(case_id)
            continue
        matched.append(case_id)
        if key is not None and _has_other_pixels(record, files[sha256], key, run.config):
            why = "its original decodes to other pixels than the record states"
            problems.append(Problem("not reproduced", f"cases/{case_id}/case.json", why))
    return Originals(len(sources), tuple(matched), tuple(missing), tuple(problems))


def _key_of(folder: RunFolder, run: RunRecord, key_file: Path | None) -> CaseIdKey | None:
    """The key of the run, None where none is found."""
    if run.config.get("ingest", {}).get("source") == REFERENCE:
        return CaseIdKey(b"")
    key = CaseIdKey.find(folder.path.resolve().parent, key_file)
    if key.path is not None:  # a new one: there is none
        return None
    if key.fingerprint != run.cases.case_id_key:
        raise ConfigError(
            f"the key has the fingerprint {key.fingerprint}, the run's has {run.cases.case_id_key}",
            "give the key that the run was made with: --key-file FILE",
        )
    return key


def _has_other_pixels(
    record: CaseRecord, source: CaseSource, key: CaseIdKey, config: Mapping[str, object]
) -> bool:
    facts = record.radiograph
    if facts is None or facts.source.pixel_hmac is None:
        return False
    asked = config.get("ingest")
    frame = asked.get("frame") if isinstance(asked, dict) else None
    try:
        found = ingest.read(source, display=ingest.Display(frame=frame)).facts.source
    except CaseError:
        return True
    return key.hmac(found.pixel_sha256) != facts.source.pixel_hmac
