"""Whether a radiograph was seen before in the run; by key, the rows of the stage "run"."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.quality.results import by_statement, not_run
from cxr_audit.records import CaseRecord, Check, SourceFile
from cxr_audit.vocabulary import message

RUN_CHECKS = {"duplicate_uid": "quality.same_uid", "duplicate_pixels": "quality.same_pixels"}


def _pixels_of(source: SourceFile) -> str | None:
    """What stands for the pixels: the keyed hash, in an older record the plain one."""
    return source.pixel_hmac or source.pixel_sha256


class Duplicates:
    """Which case came first with the same SOP Instance UID, or with the same pixels.

    Parameters
    ----------
    case_ids : of the whole run, in its order, which decides; not the order in which cases are
    noted.
    """

    def __init__(self, case_ids: Sequence[str]) -> None:
        self._case_ids = case_ids
        self._place = {case_id: place for place, case_id in enumerate(case_ids)}
        self._first: dict[str, int] = {}

    def note(self, case_id: str, source: SourceFile) -> None:
        """Remember a case. All earlier cases must be noted before the checks of a case are made."""
        place = self._place[case_id]
        for key in (source.instance_hmac, _pixels_of(source)):
            if key:
                self._first[key] = min(place, self._first.get(key, place))

    def checks(self, case_id: str, source: SourceFile) -> tuple[Check, Check]:
        """Whether an earlier case has the same UID, and whether one has the same pixels."""
        return (
            self._check("duplicate_uid", case_id, source.instance_hmac),
            self._check("duplicate_pixels", case_id, _pixels_of(source)),
        )

    def are_other_than(self, record: CaseRecord) -> bool:
        """Whether the checks of a record would differ now that more cases have been noted."""
        if record.radiograph is None:
            return False
        checks = self.checks(record.case_id, record.radiograph.source)
        return any(check not in record.quality for check in checks)

    def _check(self, name: str, case_id: str, key: str | None) -> Check:
        if key is None:
            return not_run(name, message("quality.no_uid"))
        place = self._place[case_id]
        first = self._first.get(key, place)
        reason = None
        if first < place:
            reason = message(RUN_CHECKS[name], case=self._case_ids[first])
        return by_statement(name, message("quality.none"), reason)
