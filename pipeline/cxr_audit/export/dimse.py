"""A PACS over the DICOM protocol as the destination: C-STORE stores, C-FIND confirms (PS3.4 B, C).

By pynetdicom. `dicom://AET@HOST:PORT`; `dicom+tls://` is the same over TLS, with the certificates
that REQUESTS_CA_BUNDLE names, else those of the system. Messages name no address and no UID.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from cxr_audit.errors import ConfigError
from cxr_audit.export.destination import Outcome, Stop, TryAgain
from cxr_audit.export.failures import IS_THERE, WARNINGS, is_full, reason_of
from cxr_audit.export.objects import MadeObject
from cxr_audit.ingest import web
from cxr_audit.vocabulary import message

STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
CLASSES = (
    EncapsulatedPDFStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
SCHEMES = ("dicom", "dicom+tls")
EXAMPLE = "give dicom://AET@HOST:PORT, for example dicom://ORTHANC@pacs.example:4242"
CONNECT_S, ANSWER_S = 10, 60


class DimseDestination:
    """An application entity that stores and, perhaps, searches.

    Parameters
    ----------
    address : `dicom://AET@HOST:PORT`.
    aet : our own application entity title.

    Raises
    ------
    ConfigError : the address is not complete.
    """

    def __init__(self, address: str, aet: str) -> None:
        self._host, self._port, self._aet, self._tls = _parsed(address)
        self._entity = ApplicationEntity(ae_title=aet)
        self._entity.connection_timeout = self._entity.acse_timeout = CONNECT_S
        self._entity.dimse_timeout = self._entity.network_timeout = ANSWER_S
        for class_uid in CLASSES:
            self._entity.add_requested_context(class_uid, SYNTAXES)
        self._entity.add_requested_context(STUDY_ROOT_FIND)
        self._association: Association | None = None

    def send(self, objects: Sequence[MadeObject]) -> dict[str, Outcome]:
        return {made.uid: self._store(made) for made in objects}

    def _store(self, made: MadeObject) -> Outcome:
        association = self._open()
        class_uid = str(made.dataset.SOPClassUID)
        if not _is_accepted(association, class_uid):
            return Outcome(False, message("export.class_refused", kind=made.kind))
        status = self._status(association.send_c_store(made.dataset))
        if status == 0 or status in IS_THERE:
            return Outcome(True)
        if status in WARNINGS:
            return Outcome(True, message("export.status_warning", status=f"{status:04X}"))
        if is_full(status):
            raise Stop(reason_of(status), message("export.full_hint"))
        return Outcome(False, reason_of(status))

    def has(self, made: MadeObject) -> bool | None:
        association = self._open()
        if not _is_accepted(association, STUDY_ROOT_FIND):
            return None
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = made.dataset.StudyInstanceUID
        query.SeriesInstanceUID = made.dataset.SeriesInstanceUID
        query.SOPInstanceUID = made.uid
        found = False
        answers = association.send_c_find(query, STUDY_ROOT_FIND)
        for status, identifier in answers:
            code = self._status(status)
            if code in (0xFF00, 0xFF01):
                is_it = identifier is not None and identifier.get("SOPInstanceUID") == made.uid
                found = found or is_it
            elif code != 0:
                return None  # it does not search for instances
        return found

    def _status(self, answer: Dataset) -> int:
        """The status of an answer; an empty one says that the connection is gone."""
        if "Status" not in answer:
            self.close()
            raise TryAgain(message("export.connection_lost"))
        return int(answer.Status)

    def _open(self) -> Association:
        """The association, opened again where it was lost."""
        if self._association is not None and self._association.is_established:
            return self._association
        association = self._entity.associate(
            self._host,
            self._port,
            ae_title=self._aet,
            tls_args=(_tls_context(), self._host) if self._tls else None,
        )
        if association.is_rejected:
            hint = message("export.rejected_hint", aet=self._entity.ae_title, called=self._aet)
            raise Stop(message("export.rejected"), hint)
        if not association.is_established:
            raise TryAgain(message("export.no_association"))
        self._association = association
        return association

    def close(self) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None


def _parsed(address: str) -> tuple[str, int, str, bool]:
    """Host, port, called application entity title, and whether TLS is asked for."""
    try:
        parts = urlsplit(address)
        host, port, aet = parts.hostname, parts.port, parts.netloc.rpartition("@")[0]
    except ValueError:
        host, port, aet = None, None, ""
    if not host or not port or not 1 <= len(aet) <= 16:
        raise ConfigError("--to names no application entity", EXAMPLE)
    return host, port, aet, parts.scheme == "dicom+tls"


def _is_accepted(association: Association, class_uid: str) -> bool:
    return any(context.abstract_syntax == class_uid for context in association.accepted_contexts)


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
    certificate = web.client_certificate()
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
