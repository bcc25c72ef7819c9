"""A signer and a sealed run -> its PDFs and its `SHA256SUMS`, signed.

Refuses to sign a run that does not verify.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from typing import Any

from pkcs11 import PKCS11Error
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import signers, timestamps
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.general import SigningError

from cxr_audit.errors import ConfigError
from cxr_audit.evidence.checksums import line_of, seal
from cxr_audit.evidence.differences import BEGINNING, SIGNING, put_back, require_unchanged
from cxr_audit.evidence.events import EventLog
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    SIGNATURE,
    SIGNATURE_SUM,
    SIGNATURES,
    RunFolder,
    file_sha256,
    write,
)
from cxr_audit.evidence.lock import locked
from cxr_audit.evidence.signing.keys import DIGEST

FAILURES = (SigningError, PKCS11Error, PdfError, timestamps.TimestampRequestError, OSError)


def sign(
    folder: RunFolder,
    signer: Any,
    name: str,
    meaning: str,
    documents: Sequence[str],
    timestamper: Any = None,
) -> None:
    """Sign PDFs of a run and its `SHA256SUMS`.

    Parameters
    ----------
    folder : a finished run.
    signer : see `signer_of_files`, `signer_of_pkcs12` and `signer_of_pkcs11`.
    name, meaning : who signs and for what, such as "reviewed"; in the PDFs and in the events.
    documents : PDFs by their path in the run folder.
    timestamper : see `timestamper_at`.

    Raises
    ------
    ConfigError : the run has not finished, there is no such PDF, or the key or the time-stamp
        server cannot be used.
    VerificationError : the run was changed after it was sealed.
    RunLocked : another command writes to the run folder.
    """
    with locked(folder.path):
        run = folder.read_run()
        if run.status != "finished" or not folder.is_sealed:
            raise ConfigError(
                f"{folder.path} has not finished", "go on with it: cxr-audit run CONFIG --resume"
            )
        problems = require_unchanged(folder, but={*SIGNATURES, BEGINNING, SIGNING})
        files = [_pdf_of(folder, file) for file in documents]
        was_interrupted = SIGNING in problems
        if was_interrupted:
            put_back(folder)
        try:
            signed = {}
            for file in files:
                data = (folder.path / file).read_bytes()
                signed[file] = _signed_pdf(data, signer, name, meaning, timestamper)
            events = EventLog.open(folder)
            if was_interrupted:
                events.append("restored")
            events.adopt(folder, run)
            _write(folder, events, signer, name, meaning, signed)
            data = (folder.path / CHECKSUMS).read_bytes()
            signature = _signature(data, signer, timestamper)
        except FAILURES as error:
            raise ConfigError(
                f"not signed: {error}", "the key or the time-stamp server cannot be used; try again"
            ) from error
        write(folder.path / SIGNATURE, signature)
        write(folder.path / SIGNATURE_SUM, line_of(folder.path / SIGNATURE))


def _write(
    folder: RunFolder,
    events: EventLog,
    signer: Any,
    name: str,
    meaning: str,
    signed: dict[str, bytes],
) -> None:
    """Write the signed PDFs and the events that say so, and seal the run again."""
    events.append("rewriting", documents=list(signed))
    for file, data in signed.items():
        write(folder.path / file, data)
    events.append(
        "signed",
        name=name,
        meaning=meaning,
        certificate_sha256=signer.signing_cert.sha256.hex(),
        documents={file: file_sha256(folder.path / file) for file in signed},
    )
    seal(folder, events)


def _signature(data: bytes, signer: Any, timestamper: Any) -> bytes:
    signing = signer.async_sign_general_data(
        data, DIGEST, detached=True, use_cades=True, timestamper=timestamper
    )
    content: bytes = asyncio.run(signing).dump()
    return content


def _signed_pdf(data: bytes, signer: Any, name: str, meaning: str, timestamper: Any) -> bytes:
    number = len(PdfFileReader(io.BytesIO(data)).embedded_signatures) + 1
    facts = signers.PdfSignatureMetadata(
        field_name=f"cxr-audit-{number}",
        md_algorithm=DIGEST,
        name=name,
        reason=meaning,
        subfilter=SigSeedSubFilter.PADES,
    )
    pdf = IncrementalPdfFileWriter(io.BytesIO(data))
    signed: io.BytesIO = signers.PdfSigner(facts, signer, timestamper=timestamper).sign_pdf(pdf)
    return signed.getvalue()


def _pdf_of(folder: RunFolder, file: str) -> str:
    """A document by its path in the run folder, however it was written."""
    path = (folder.path / file).resolve()
    run = folder.path.resolve()
    if not path.is_relative_to(run) or path.suffix != ".pdf" or not path.is_file():
        raise ConfigError(f"{file} is no PDF of this run", "name one by its path in the run folder")
    return path.relative_to(run).as_posix()
