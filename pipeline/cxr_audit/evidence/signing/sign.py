"""A signer and a sealed run -> its PDFs and its `SHA256SUMS`, signed.

Refuses to sign a run that does not verify.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pkcs11 import PKCS11Error
from pyhanko.pdf_utils import layout
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import signers, timestamps
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.general import SigningError
from pyhanko.stamp import StaticStampStyle

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
from cxr_audit.evidence.signing.trust import certified_name

MOST_SEEN = 2
"""Signatures of a document that are seen on it; more are in its signature panel only."""
SIDE_PT, HEIGHT_PT = 45.4, (7, 33)
_AS_DRAWN = layout.SimpleBoxLayoutRule(
    x_align=layout.AxisAlignment.ALIGN_MIN, y_align=layout.AxisAlignment.ALIGN_MID
)
DrawStamp = Callable[[str, str, str, datetime], bytes]
"""Name, meaning, name in the certificate, time -> a PDF of one page."""
FAILURES = (SigningError, PKCS11Error, PdfError, timestamps.TimestampRequestError, OSError)


def sign(
    folder: RunFolder,
    signer: Any,
    name: str,
    meaning: str,
    documents: Sequence[str],
    timestamper: Any = None,
    draw: DrawStamp | None = None,
) -> None:
    """Sign PDFs of a run and its `SHA256SUMS`.

    Parameters
    ----------
    folder : a finished run.
    signer : see `signer_of_files`, `signer_of_pkcs12` and `signer_of_pkcs11`.
    name, meaning : who signs and for what, such as "reviewed"; in the PDFs and in the events.
    documents : PDFs by their path in the run folder.
    timestamper : see `timestamper_at`.
    draw : what is to be seen of a signature on page 1; None = nothing.

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
                signed[file] = _signed_pdf(data, signer, name, meaning, timestamper, draw)
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


def _signed_pdf(
    data: bytes,
    signer: Any,
    name: str,
    meaning: str,
    timestamper: Any,
    draw: DrawStamp | None,
) -> bytes:
    number = len(PdfFileReader(io.BytesIO(data)).embedded_signatures) + 1
    facts = signers.PdfSignatureMetadata(
        field_name=f"cxr-audit-{number}",
        md_algorithm=DIGEST,
        name=name,
        reason=meaning,
        subfilter=SigSeedSubFilter.PADES,
    )
    pdf = IncrementalPdfFileWriter(io.BytesIO(data))
    if draw is None or number > MOST_SEEN:
        pdf_signer = signers.PdfSigner(facts, signer, timestamper=timestamper)
        return _bytes(pdf_signer.sign_pdf(pdf))
    moment = datetime.now(UTC)
    stamp = draw(name, meaning, certified_name(signer.signing_cert), moment)
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(stamp)
        file.flush()
        style = StaticStampStyle.from_pdf_file(
            file.name, border_width=0, background_layout=_AS_DRAWN
        )
        pdf_signer = signers.PdfSigner(
            facts,
            signer,
            timestamper=timestamper,
            stamp_style=style,
            new_field_spec=SigFieldSpec(facts.field_name, on_page=0, box=_place(pdf, number)),
        )
        return _bytes(pdf_signer.sign_pdf(pdf))


def _bytes(signed: io.BytesIO) -> bytes:
    return signed.getvalue()


def _place(pdf: IncrementalPdfFileWriter, number: int) -> tuple[int, int, int, int]:
    """Where a signature is seen: in the lower margin of page 1, the second right of the first."""
    page = pdf.root["/Pages"]
    while "/Kids" in page:
        page = page["/Kids"][0]
    width = float(page["/MediaBox"][2]) - 2 * SIDE_PT
    left = SIDE_PT + (number - 1) * width / MOST_SEEN
    low, high = HEIGHT_PT
    return round(left), low, round(left + width / MOST_SEEN - 6), high


def _pdf_of(folder: RunFolder, file: str) -> str:
    """A document by its path in the run folder, however it was written."""
    path = (folder.path / file).resolve()
    run = folder.path.resolve()
    if not path.is_relative_to(run) or path.suffix != ".pdf" or not path.is_file():
        raise ConfigError(f"{file} is no PDF of this run", "name one by its path in the run folder")
    return path.relative_to(run).as_posix()
