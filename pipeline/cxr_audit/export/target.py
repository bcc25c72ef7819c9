"""The words after `--to` -> a destination."""

from __future__ import annotations

from pathlib import Path

from cxr_audit.config import Export
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import DELIVERED, RunFolder
from cxr_audit.export.destination import Destination
from cxr_audit.export.folder import FolderDestination
from cxr_audit.ingest import web

OBJECTS = "objects"  # below private/dicom/
FORMS = "give a folder, dicomweb+https://HOST/PATH, or dicom://AET@HOST:PORT"


def target_name(to: str | None, folder: RunFolder) -> str:
    """The name of a destination in the ledger: the same for the same place."""
    if to is None:
        return f"private/{DELIVERED}/{OBJECTS}"
    if "://" not in to:
        return str(Path(to).expanduser().absolute())
    return to.rstrip("/")


def open_destination(to: str | None, folder: RunFolder, settings: Export) -> Destination:
    """The destination that `--to` names.

    Parameters
    ----------
    to : a folder, or the address of a server; None = a folder below `private/`.
    folder : the run.
    settings : the config's section `export`.

    Raises
    ------
    ConfigError : it is neither.
    """
    if to is None:
        return FolderDestination(folder.private / DELIVERED / OBJECTS, folder)
    if "://" not in to:
        return FolderDestination(Path(to).expanduser(), folder)
    scheme = to.partition("://")[0]
    if to.startswith(web.SCHEMES):
        from cxr_audit.export.stow import DicomwebDestination

        return DicomwebDestination(to)
    if scheme in ("dicom", "dicom+tls"):
        from cxr_audit.export.dimse import DimseDestination

        return DimseDestination(to, settings.aet)
    raise ConfigError(f"{scheme}:// is no destination", FORMS)
