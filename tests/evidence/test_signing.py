"""Signatures with throwaway keys: what they bind, and that tampering is found; openssl, where it is, agrees."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydyf
import pytest
from asn1crypto import keys, x509
from cryptography import x509 as pyca
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cxr_audit import evidence
from cxr_audit.cli import app
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import EventLog, RunFolder
from cxr_audit.evidence.signing import check_signatures, sign, signer_of_files, signer_of_pkcs12
from pkcs11 import PKCS11Error
from pyhanko.sign.timestamps import DummyTimeStamper, TimestampRequestError
from typer.testing import CliRunner

from tests.evidence.test_events import (
    UNFINISHED,
    audited,
    lines_of,
    resum,
    sealed,
    started,
    with_schema,
)
from tests.evidence.test_folder import said

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


@dataclass
class Identity:
    name: str
    certificate: Path
    key: Path
    pyca_key: Any
    pyca_certificate: Any

    @property
    def signer(self) -> Any:
        return signer_of_files(self.key, self.certificate, (), None)


def identity(
    folder: Path,
    name: str,
    issuer: Identity | None = None,
    purpose: Any = None,
    key: Any = None,
    valid: tuple[int, int] = (-1, 1),
    signs: bool = True,
) -> Identity:
    """A key with a certificate, its own or the issuer's; `valid` from and until so many days from now."""
    key = key or rsa.generate_private_key(65537, 2048)
    subject = pyca.Name([pyca.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(
        (
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    first, last = valid
    builder = (
        pyca.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.pyca_certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(pyca.random_serial_number())
        .not_valid_before(NOW + first * DAY)
        .not_valid_after(NOW + last * DAY)
        .add_extension(pyca.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            pyca.KeyUsage(
                signs,
                signs and issuer is not None and purpose is None,
                **{**usage, "key_encipherment": not signs},
                key_cert_sign=issuer is None,
                crl_sign=False,
            ),
            critical=True,
        )
    )
    if purpose:
        builder = builder.add_extension(pyca.ExtendedKeyUsage([purpose]), critical=True)
    certificate = builder.sign(issuer.pyca_key if issuer else key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return Identity(name, folder / f"{name}.pem", folder / f"{name}.key", key, certificate)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("ca"), "Test CA")


@pytest.fixture(scope="module")
def reviewer(issuer: Identity) -> Identity:
    return identity(issuer.key.parent, "R. Reviewer", issuer)


@pytest.fixture(scope="module")
def stamper(issuer: Identity) -> DummyTimeStamper:
    clock = identity(issuer.key.parent, "Test clock", issuer, ExtendedKeyUsageOID.TIME_STAMPING)
    der, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return DummyTimeStamper(
        x509.Certificate.load(clock.pyca_certificate.public_bytes(der)),
        keys.PrivateKeyInfo.load(
            clock.pyca_key.private_bytes(der, form, serialization.NoEncryption())
        ),
        fixed_dt=NOW,
    )


def rewritten(folder: RunFolder) -> None:
    """The run sealed again, as `render` does."""
    log = EventLog.open(folder)
    log.append("rewriting")
    evidence.seal(folder, log)


def a_pdf(path: Path) -> None:
    pdf = pydyf.PDF()
    pdf.add_page(
        pydyf.Dictionary(
            {"Type": "/Page", "Parent": pdf.pages.reference, "MediaBox": pydyf.Array([0, 0, 9, 9])}
        )
    )
    with path.open("wb") as file:
        pdf.write(file)


@pytest.fixture(scope="module")
def signed(
    tmp_path_factory: pytest.TempPathFactory, reviewer: Identity, stamper: DummyTimeStamper
) -> Path:
    folder, log = started(tmp_path_factory.mktemp("signed") / "run")
    audited(folder, log, "a")
    audited(folder, log, "b")
    sealed(folder, log, has_summary=True)
    sign(folder, reviewer.signer, "R. Reviewer", "reviewed", ["summary.pdf"], stamper)
    return folder.path


@pytest.fixture
def folder(signed: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(signed, tmp_path / "run")))


def test_a_signed_run_says_who_when_and_what_for(
    folder: RunFolder, reviewer: Identity, issuer: Identity
) -> None:
    assert evidence.verify(folder) == []
    found = check_signatures(folder, issuer.certificate)
    assert [(one.file, one.problem) for one in found] == [
        ("SHA256SUMS.p7s", None),
        ("summary.pdf", None),
    ]
    certificate = reviewer.pyca_certificate.fingerprint(hashes.SHA256()).hex()
    for one in found:
        assert (one.name, one.certified, one.meaning) == ("R. Reviewer", "R. Reviewer", "reviewed")
        assert one.is_same_name
        assert (one.time, one.has_timestamp) == (NOW, True)
        assert one.certificate_sha256 == certificate
        assert str(one).startswith(
            f'{one.file}: signed by R. Reviewer, meaning "reviewed", '
            f"{NOW:%Y-%m-%dT%H:%M:%SZ} by time-stamp; certificate SHA-256 {certificate}"
        )
    event = lines_of(folder)[-3].decode()
    assert all(text in event for text in ('"event":"signed"', '"meaning":"reviewed"', certificate))
    assert b"/Reason (reviewed)" in (folder.path / "summary.pdf").read_bytes()


def test_who_signed_is_asked_only_if_told_whom_to_trust(folder: RunFolder, tmp_path: Path) -> None:
    assert not any(one.is_trust_checked for one in check_signatures(folder))
    stranger = identity(tmp_path, "Stranger")
    problems = [str(one.problem) for one in check_signatures(folder, stranger.certificate)]
    assert all(problem.startswith("not trusted: ") for problem in problems)
    assert "--trust takes" in evidence.remedy(
        [one.problem for one in check_signatures(folder, stranger.certificate)]
    )
    assert len(problems) == 2
    with pytest.raises(ConfigError, match="no certificates can be read"):
        check_signatures(folder, stranger.key.with_name("none"))


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("Expired", {"valid": (-9, -2)}, "cannot sign: it expired on"),
        ("Not yet", {"valid": (2, 9)}, "cannot sign: it is valid from"),
        ("Decrypts", {"signs": False}, "cannot sign documents: its key is for key_encipherment"),
        (
            "Web server",
            {"purpose": ExtendedKeyUsageOID.SERVER_AUTH},
            "cannot sign documents: it is for server_auth",
        ),
    ],
)
def test_a_certificate_that_cannot_sign_documents_now_is_refused(
    issuer: Identity, tmp_path: Path, name: str, options: dict[str, Any], why: str
) -> None:
    found = identity(tmp_path, name, issuer, **options)
    with pytest.raises(ConfigError) as error:
        _ = found.signer
    assert f"the certificate of Common Name: {name} {why}" in str(error.value)


def test_a_key_of_another_certificate_is_refused(reviewer: Identity, tmp_path: Path) -> None:
    other = identity(tmp_path, "Other")
    with pytest.raises(ConfigError, match="does not belong to the certificate of Common Name: R"):
        signer_of_files(other.key, reviewer.certificate, (), None)


@pytest.mark.parametrize("purpose", [None, ExtendedKeyUsageOID.EMAIL_PROTECTION])
def test_what_is_wrong_with_a_signer_is_named(
    folder: RunFolder, issuer: Identity, tmp_path: Path, purpose: Any
) -> None:
    """Each apart: chain, dates, name. The certificate is good when it signs and is looked at later."""
    signer = identity(tmp_path, "B. Physicist", issuer, purpose)
    sign(folder, signer.signer, "A. Radiologist", "approved", [])
    stranger = identity(tmp_path, "Another CA")

    def why(trust: Identity) -> str:
        return str(check_signatures(folder, trust.certificate)[0].problem)

    name = "signer: the certificate is B. Physicist's, the signature names A. Radiologist"
    assert why(issuer) == f"not trusted: SHA256SUMS.p7s: {name}"
    unknown = "chain: it was issued by Common Name: Test CA, which is not among those given"
    assert why(stranger) == f"not trusted: SHA256SUMS.p7s: {unknown}; {name}"
    (found,) = (one for one in check_signatures(folder) if one.file == "SHA256SUMS.p7s")
    assert found.problem is None
    assert "signed by B. Physicist (the signature states another name: A. Radiologist)" in str(
        found
    )


def test_a_certificate_that_has_expired_since_is_named(issuer: Identity, tmp_path: Path) -> None:
    from asn1crypto.x509 import Certificate
    from cxr_audit.evidence.signing.trust import distrust

    def load(one: Identity) -> Certificate:
        der = one.pyca_certificate.public_bytes(serialization.Encoding.DER)
        return Certificate.load(der)

    signer = load(identity(tmp_path, "R. Reviewer", issuer))
    roots = [load(issuer)]
    assert distrust(signer, [], roots, NOW) == []
    later = distrust(signer, [], roots, NOW + 5 * DAY)
    assert later == [f"dates: it expired on {NOW + DAY:%Y-%m-%d}"]
    server = load(identity(tmp_path, "Server", issuer, ExtendedKeyUsageOID.SERVER_AUTH))
    assert distrust(server, [], roots, NOW) == ["usage: it is for server_auth"]
    alone = load(identity(tmp_path, "Alone"))
    assert distrust(alone, [], roots, NOW) == ["chain: it is self-signed and not among those given"]
    assert distrust(alone, [], [alone], NOW) == []
    assert distrust(server, [], [signer], NOW + 5 * DAY) == [
        "chain: it was issued by Common Name: Test CA, which is not among those given",
        f"dates: it expired on {NOW + DAY:%Y-%m-%d}",
        "usage: it is for server_auth",
    ]


@pytest.mark.parametrize(
    ("name", "is_same"),
    [
        ("R. Reviewer", True),
        ("reviewer, R", True),
        ("Dr. R. Reviewer", True),
        ("R", True),
        ("R. Other", False),
        ("A. Approver", False),
        ("", False),
        ("...", False),
    ],
)
def test_names_are_compared_by_their_words(reviewer: Identity, name: str, is_same: bool) -> None:
    from cxr_audit.evidence.signing import is_same_name

    assert is_same_name(name, reviewer.signer.signing_cert) is is_same


def test_openssl_finds_the_signature_good(folder: RunFolder, issuer: Identity) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    command = [
        openssl,
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "SHA256SUMS.p7s",
        "-content",
        "SHA256SUMS",
    ]
    command += ["-CAfile", str(issuer.certificate), "-purpose", "any", "-out", "/dev/null"]
    done = subprocess.run(command, cwd=folder.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder.path / "SHA256SUMS").write_bytes(b"x" + (folder.path / "SHA256SUMS").read_bytes()[1:])
    assert subprocess.run(command, cwd=folder.path, capture_output=True).returncode != 0


def test_who_makes_the_whole_folder_anew_lacks_the_signature(folder: RunFolder) -> None:
    """A record, its event, the chain and the checksums are all made to fit: only the signature is left to say so."""
    forged, log = started(folder.path.parent / "forged")
    for case_id in ("b", "a"):
        audited(forged, log, case_id)
    sealed(forged, log)
    for name in ("SHA256SUMS.p7s", "SHA256SUMS.p7s.sha256"):
        shutil.copy(folder.path / name, forged.path)
    assert said(forged) == ["added: SHA256SUMS.p7s: events.jsonl names no signature of this seal"]
    (found,) = check_signatures(forged)
    assert str(found.problem) == "changed: SHA256SUMS.p7s: the signed bytes are others"


@pytest.mark.parametrize("name", ["SHA256SUMS.p7s", "SHA256SUMS.p7s.sha256"])
def test_a_flipped_byte_of_the_signature_is_found(folder: RunFolder, name: str) -> None:
    """Every seventh byte, also of what a CMS signature leaves unsigned."""
    path = folder.path / name
    whole = path.read_bytes()
    assert evidence.verify(folder) == []
    for place in range(0, len(whole), max(7, len(whole) // 12)):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        assert said(folder) == ["changed: SHA256SUMS.p7s: it does not fit SHA256SUMS.p7s.sha256"]
    path.unlink()
    assert evidence.verify(folder) != []


def test_a_signature_of_nonsense_is_named(folder: RunFolder) -> None:
    path = folder.path / "SHA256SUMS.p7s"
    whole = path.read_bytes()
    for data in (
        b"",
        b"x",
        whole[:100],
        whole[:-1],
        whole.replace(b"\x2a\x86\x48\x86\xf7\x0d", b"\x2a\x86\x48\x86\xf7\x0e"),
    ):
        path.write_bytes(data)
        assert str(check_signatures(folder)[0].problem).startswith("changed: SHA256SUMS.p7s: ")


def test_a_flipped_byte_of_a_signed_pdf_is_found_even_with_new_checksums(folder: RunFolder) -> None:
    path = folder.path / "summary.pdf"
    path.write_bytes(path.read_bytes().replace(b"/MediaBox", b"/MediaBoy"))
    resum(folder)
    problems = {one.file: str(one.problem) for one in check_signatures(folder)}
    assert problems["summary.pdf"] == "changed: summary.pdf: the signed bytes are others"


def test_a_pdf_that_lost_its_signature_is_found(folder: RunFolder) -> None:
    a_pdf(folder.path / "summary.pdf")
    assert [str(one.problem) for one in check_signatures(folder)][
        1
    ] == "changed: summary.pdf: its signature was removed"
    (folder.path / "summary.pdf").unlink()
    os.mkfifo(folder.path / "summary.pdf")
    assert (
        "its signature cannot be read" in [str(one.problem) for one in check_signatures(folder)][1]
    )


def test_two_people_sign_one_after_the_other(folder: RunFolder, tmp_path: Path) -> None:
    """The PDF keeps both; the signature of SHA256SUMS is the last one's, and the events know the first."""
    second = identity(tmp_path, "A. Approver")
    sign(folder, second.signer, "A. Approver", "approved", ["summary.pdf"])
    found = check_signatures(folder)
    assert [one.problem for one in found] == [None, None, None]
    assert [one.name for one in found] == ["A. Approver", "R. Reviewer", "A. Approver"]
    assert [one.meaning for one in found] == ["approved", "reviewed", "approved"]
    assert evidence.verify(folder) == []


@pytest.mark.parametrize("event", ["rendered", "resumed"])
def test_what_is_sealed_again_is_no_longer_signed(folder: RunFolder, event: str) -> None:
    log = EventLog.open(folder)
    folder.unseal()
    if event == "resumed":
        log.begin(folder, folder.read_run(), ["a", "b"])
    else:
        log.append("rendered", cases=2)
    a_pdf(folder.path / "summary.pdf")
    evidence.seal(folder, log)
    assert check_signatures(folder) == []
    assert evidence.verify(folder) == []


def test_documents_that_broke_off_leave_the_signature_until_they_are_sealed(
    folder: RunFolder,
) -> None:
    log = EventLog.open(folder)
    log.append("rewriting")
    (folder.path / "summary.pdf").write_bytes(b"half of the new ones")
    assert said(folder) == UNFINISHED
    assert [(one.file, one.problem) for one in check_signatures(folder)] == [
        ("SHA256SUMS.p7s", None)
    ]
    a_pdf(folder.path / "summary.pdf")
    log.append("rendered", cases=2)
    evidence.seal(folder, log)
    assert (evidence.verify(folder), check_signatures(folder)) == ([], [])


def test_documents_are_written_again_after_signing_broke_off(folder: RunFolder) -> None:
    """Before SHA256SUMS was written: no signature is missed."""
    log = EventLog.open(folder)
    for event in ("rewriting", "signed"):
        log.append(event, documents=["summary.pdf"])
    log.append("rewriting")
    assert said(folder) == UNFINISHED
    log.append("rendered", cases=2)
    evidence.seal(folder, log)
    assert (evidence.verify(folder), check_signatures(folder)) == ([], [])


def test_a_signature_that_the_events_do_not_know_is_named(
    folder: RunFolder, reviewer: Identity
) -> None:
    """Sound in itself, on a run that was not signed: taken from this very run before it was sealed again."""
    log, names = EventLog.open(folder), ("SHA256SUMS.p7s", "SHA256SUMS.p7s.sha256")
    kept = {name: (folder.path / name).read_bytes() for name in names}
    log.append("rewriting")
    log.append("rendered", cases=2)
    evidence.seal(folder, log)
    assert evidence.verify(folder) == []
    for name, data in kept.items():
        (folder.path / name).write_bytes(data)
    assert said(folder) == ["added: SHA256SUMS.p7s: events.jsonl names no signature of this seal"]


class NoServer:
    """A time-stamp server that cannot be reached."""

    async def async_timestamp(self, *_: object) -> None:
        raise TimestampRequestError("no answer")

    async_dummy_response = async_timestamp


class NoToken:
    """A signer whose token is pulled out when it is to sign."""

    def __init__(self, signer: Any) -> None:
        self.signing_cert = signer.signing_cert

    async def async_sign_general_data(self, *_: object, **__: object) -> None:
        raise PKCS11Error("the token is gone")


def test_what_a_server_or_a_token_has_broken_off_is_signed_again(
    folder: RunFolder, reviewer: Identity
) -> None:
    for signer, clock, what in (
        (reviewer.signer, NoServer(), "no answer"),
        (NoToken(reviewer.signer), None, "token"),
    ):
        with pytest.raises(ConfigError, match=f"not signed: .*{what}") as error:
            sign(folder, signer, "R", "reviewed", [], clock)
        assert "try again" in str(error.value.hint)
        assert said(folder) == ["missing: SHA256SUMS.p7s: events.jsonl says that it was made"]
        assert "cxr-audit sign RUN" in evidence.remedy(evidence.verify(folder))
    sign(folder, reviewer.signer, "R", "reviewed", [])
    assert evidence.verify(folder) == []
    (folder.path / "SHA256SUMS.p7s.sha256").unlink()  # as after a kill between the two
    sign(folder, reviewer.signer, "R", "reviewed", [])
    assert evidence.verify(folder) == []
    assert [one.problem for one in check_signatures(folder)] == [None, None]


class Killed(BaseException):
    """As SIGKILL: nothing is tidied up."""


def kill_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Die at one of the steps that change the disk: half of a write, or in place of a rename or of a removal.

    The lock is left out: this process lives on, and holds it.
    """
    left, write = [step], os.write

    def is_last() -> bool:
        left[0] -= 1
        return left[0] < 0

    def written(descriptor: int, data: bytes) -> int:
        if is_last():
            write(descriptor, data[: len(data) // 2])
            raise Killed
        return write(descriptor, data)

    patch.setattr(os, "write", written)
    for name in ("replace", "unlink"):
        real = getattr(Path, name)

        def moved(path: Path, *arguments: Any, real: Any = real, **options: Any) -> Any:
            if not path.name.startswith(".lock") and is_last():
                raise Killed
            return real(path, *arguments, **options)

        patch.setattr(Path, name, moved)


def test_signing_that_is_killed_at_any_step_is_signed_again(
    folder: RunFolder, tmp_path: Path, reviewer: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two PDFs, one of them signed before; the second time only that one. What did not come to count is gone from the
    PDFs, what did is there."""
    approver, seen = (
        identity(tmp_path, "A. Approver", key=ec.generate_private_key(ec.SECP256R1())),
        [],
    )
    a_pdf(folder.case("a") / "report.pdf")
    rewritten(folder)
    sign(folder, reviewer.signer, "R. Reviewer", "approved", ["summary.pdf"])
    before, whole = (folder.path / "summary.pdf").read_bytes(), folder.path
    for step in itertools.count():
        folder = RunFolder(Path(shutil.copytree(whole, tmp_path / str(step))))
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                sign(
                    folder, approver.signer, "A", "approved", ["summary.pdf", "cases/a/report.pdf"]
                )
                break
            except Killed:
                pass
        seen.append(said(folder))
        assert not any(one.problem for one in check_signatures(folder))
        assert "sign RUN" in evidence.remedy(evidence.verify(folder)), seen[-1]
        is_sealed = not any("unfinished" in one for one in seen[-1])
        sign(folder, approver.signer, "A", "approved", ["./summary.pdf"])
        assert evidence.verify(folder) == []
        found = [(one.file, one.problem) for one in check_signatures(folder)]
        # Where the first one was sealed it counts, though the signature of SHA256SUMS was not made.
        num = 4 if is_sealed else 3
        files = ["summary.pdf"] * num + ["cases/a/report.pdf"] * is_sealed
        assert found == [("SHA256SUMS.p7s", None), *((file, None) for file in files)]
        assert (folder.path / "summary.pdf").read_bytes().startswith(before)
    begun, gone = (
        "unfinished: sign: a command was interrupted while it signed documents",
        "missing: SHA256SUMS.p7s",
    )
    assert [lines for lines, _ in itertools.groupby(seen)] == [
        ["unfinished: render or sign: a command was interrupted before it wrote documents"],
        [begun],
        [f"{gone}.sha256", begun],
        [f"{gone}: events.jsonl says that it was made", begun],
        [f"{gone}: events.jsonl says that it was made"],
        [f"{gone}.sha256"],
        [],  # all is signed; what was left to remove was not
    ]
    assert evidence.verify(folder) == []


def test_signing_that_broke_off_excuses_no_other_change(
    folder: RunFolder, reviewer: Identity
) -> None:
    """Nor another PDF in the place of one that was to be signed: only what is appended to it."""
    EventLog.open(folder).append("rewriting", documents=["summary.pdf"])
    path = folder.path / "summary.pdf"
    whole = path.read_bytes()
    path.write_bytes(whole + b"half of an update")
    assert said(folder) == ["unfinished: sign: a command was interrupted while it signed documents"]
    elsewhere = folder.path.parent / "elsewhere.pdf"
    elsewhere.write_bytes(whole)
    for change in (
        lambda: path.write_bytes(whole.replace(b"/MediaBox", b"/MediaBoy")),
        lambda: path.unlink(),
        lambda: path.symlink_to(elsewhere),
    ):
        change()
        with pytest.raises(VerificationError, match=r"(changed|missing): summary\.pdf"):
            sign(folder, reviewer.signer, "R", "reviewed", ["summary.pdf"])
    path.unlink()
    path.write_bytes(whole)
    (folder.path / "index.html").write_bytes(b"x")
    with pytest.raises(VerificationError, match=r"changed: index\.html"):
        sign(folder, reviewer.signer, "R", "reviewed", ["summary.pdf"])


def test_a_run_that_goes_on_is_not_signed(folder: RunFolder, reviewer: Identity) -> None:
    """Sealed, as `render` once did with an unfinished one."""
    log = EventLog.open(folder)
    folder.unseal()
    folder.write_run(replace(folder.read_run(), status="running"))
    evidence.seal(folder, log)
    with pytest.raises(ConfigError, match="has not finished"):
        sign(folder, reviewer.signer, "R", "reviewed", [])


def test_a_run_older_than_events_is_signed_and_verifies(
    folder: RunFolder, reviewer: Identity
) -> None:
    folder.unseal()
    folder.events.unlink()
    with_schema(folder, 1)
    assert evidence.verify(folder) == []
    with pytest.raises(ConfigError, match="no answer"):
        sign(folder, reviewer.signer, "R", "reviewed", ["summary.pdf"], NoServer())
    assert evidence.verify(folder) == []
    sign(folder, reviewer.signer, "R", "reviewed", ["summary.pdf"])
    assert evidence.verify(folder) == []
    assert {one.problem for one in check_signatures(folder)} == {None}
    kinds = [json.loads(line)["event"] for line in lines_of(folder)]
    assert kinds == ["started", "found", "found", "rewriting", "signed", "reported", "sealed"]
    folder.events.unlink()
    assert "missing: events.jsonl" in said(folder)
    assert [one.file for one in check_signatures(folder)] == ["SHA256SUMS.p7s"]


def test_a_run_that_does_not_verify_is_not_signed(folder: RunFolder, reviewer: Identity) -> None:
    before = (folder.path / "SHA256SUMS").read_bytes()
    (folder.path / "cases.csv").write_text("case_id\n")
    with pytest.raises(VerificationError, match=r"changed: cases\.csv"):
        sign(folder, reviewer.signer, "R", "reviewed", [])
    assert (folder.path / "SHA256SUMS").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["none.pdf", "run.json", "../run/summary.pdf/..", "../../outside.pdf"]
)
def test_only_pdfs_of_the_run_are_signed(folder: RunFolder, reviewer: Identity, name: str) -> None:
    a_pdf(folder.path.parent / "outside.pdf")
    with pytest.raises(ConfigError, match="is no PDF of this run"):
        sign(folder, reviewer.signer, "R", "reviewed", [name])
    assert (folder.path / "SHA256SUMS.p7s").is_file()


def test_keys_come_from_pkcs12_too_and_bad_ones_are_refused(
    folder: RunFolder, reviewer: Identity, issuer: Identity, tmp_path: Path
) -> None:
    data = pkcs12.serialize_key_and_certificates(
        b"r",
        reviewer.pyca_key,
        reviewer.pyca_certificate,
        [issuer.pyca_certificate],
        serialization.BestAvailableEncryption(b"pw"),
    )
    (tmp_path / "r.p12").write_bytes(data)
    sign(folder, signer_of_pkcs12(tmp_path / "r.p12", "pw"), "R", "reviewed", [])
    assert [one.problem for one in check_signatures(folder, issuer.certificate)] == [None, None]
    for load in (
        lambda: signer_of_pkcs12(tmp_path / "r.p12", "wrong"),
        lambda: signer_of_pkcs12(tmp_path / "none.p12", None),
        lambda: signer_of_files(reviewer.certificate, reviewer.certificate, (), None),
    ):
        with pytest.raises(ConfigError, match="no key can be read"):
            load()


def test_the_commands_sign_and_verify(
    folder: RunFolder, reviewer: Identity, issuer: Identity
) -> None:
    """In this process: `main` only turns the named errors into exit codes."""

    def command(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(one) for one in arguments])

    files = ("--key", reviewer.key, "--cert", reviewer.certificate)
    asked = ("sign", folder.path, "--name", "R. Reviewer", "--meaning", "reviewed")
    done = command(*asked, *files)
    assert done.exit_code == 0, done.exception
    assert "signed summary.pdf\nsigned SHA256SUMS\n" in done.stderr
    assert done.stdout == f"{folder.path / 'SHA256SUMS.p7s'}\n"
    verified = command("verify", folder.path, "--trust", issuer.certificate)
    assert verified.exit_code == 0, verified.exception
    assert verified.stderr.count('signed by R. Reviewer, meaning "reviewed"') == 3
    assert "Traceback" not in command("verify", folder.path).stderr
    for keys_given in ((), (*files, "--pkcs12", "x.p12"), files[:2]):
        assert isinstance(command(*asked, *keys_given).exception, ConfigError)
    # Sealed again, as if it had never been signed: that the PDF is signed is not enough where a signer is asked for.
    rewritten(folder)
    rewritten(folder)
    assert command("verify", folder.path).exit_code == 0
    unsigned = command("verify", folder.path, "--trust", issuer.certificate).exception
    assert isinstance(unsigned, VerificationError)
    assert str(unsigned).endswith("missing: SHA256SUMS.p7s: this run is not signed")
    assert command(*asked, *files).exit_code == 0
    (folder.path / "SHA256SUMS.p7s").unlink()
    (folder.path / "SHA256SUMS.p7s.sha256").unlink()
    unsigned = command("verify", folder.path, "--trust", issuer.certificate).exception
    assert isinstance(unsigned, VerificationError)
    assert str(unsigned).endswith("missing: SHA256SUMS.p7s: events.jsonl says that it was made")


SOFTHSM = [path for path in Path("/usr").glob("lib*/**/libsofthsm2.so") if path.is_file()]
IN_ITS_OWN_PROCESS = """
import sys
from pathlib import Path
import pkcs11
from pkcs11.util.x509 import decode_x509_certificate
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.evidence.signing import sign, signer_of_pkcs11
library, certificate, run = map(Path, sys.argv[1:])
with pkcs11.lib(str(library)).get_token(token_label="audit").open(user_pin="1234", rw=True) as session:
    facts = decode_x509_certificate(certificate.read_bytes())
    session.create_object({**facts, pkcs11.Attribute.LABEL: "reviewer", pkcs11.Attribute.TOKEN: True})
sign(RunFolder(run), signer_of_pkcs11(library, "audit", "reviewer", "1234"), "R", "reviewed", ["summary.pdf"])
for path, *asked in ((library, "audit", "reviewer", "9999"), (library, "none", "reviewer", "1234"),
                     (library, "audit", "none", "1234"), (Path("none.so"), "audit", "reviewer", "1234")):
    try:
        signer_of_pkcs11(path, *asked)
    except ConfigError as error:
        print(error)
"""


@pytest.mark.skipif(not SOFTHSM, reason="no SoftHSM on this machine")
def test_a_key_stays_in_its_token(
    folder: RunFolder,
    reviewer: Identity,
    issuer: Identity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SoftHSM, a token in software; the key goes in by its own tool, the certificate by PKCS#11. In a process without
    TensorFlow, as `cxr-audit sign` is: beside it the token's library crashes."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    for arguments in (
        ("--init-token", "--free", "--label", "audit", "--so-pin", "123456"),
        ("--import", str(reviewer.key), "--token", "audit", "--label", "reviewer", "--id", "A1"),
    ):
        subprocess.run(
            ["softhsm2-util", *arguments, "--pin", "1234"], check=True, capture_output=True
        )
    (tmp_path / "r.der").write_bytes(
        reviewer.pyca_certificate.public_bytes(serialization.Encoding.DER)
    )
    command = [
        sys.executable,
        "-c",
        IN_ITS_OWN_PROCESS,
        str(SOFTHSM[0]),
        str(tmp_path / "r.der"),
        str(folder.path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused = done.stdout.splitlines()
    assert len(refused) == 4
    assert all(
        line.startswith("the PKCS#11 token '") and "cannot be used" in line for line in refused
    )
    assert [one.problem for one in check_signatures(folder, issuer.certificate)] == [
        None,
        None,
        None,
    ]
