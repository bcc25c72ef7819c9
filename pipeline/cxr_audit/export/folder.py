"""A folder as the destination: one `.dcm` file an object, mode 0600, in a folder a case."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder, write
from cxr_audit.export.destination import Outcome
from cxr_audit.export.objects import MadeObject


class FolderDestination:
    """Files that name patients: for their owner only.

    Parameters
    ----------
    path : the folder.
    run : a folder inside the run must be below its `private/`.

    Raises
    ------
    ConfigError : the folder is part of what is handed on, or cannot be made.
    """

    def __init__(self, path: Path, run: RunFolder) -> None:
        self._path = path.absolute()
        resolved, handed_on = self._path.resolve(), run.path.resolve()
        is_private = resolved.is_relative_to(run.private.resolve())
        if resolved.is_relative_to(handed_on) and not is_private:
            raise ConfigError(
                f"{path} is a part of the run folder, which is handed on; objects name patients",
                f"give a folder elsewhere, or one below {run.private}",
            )

    def send(self, objects: Sequence[MadeObject]) -> dict[str, Outcome]:
        outcomes = {}
        for made in objects:
            place = self.place(made)
            try:
                self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
                place.parent.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"cannot write the folder {self._path}: {error.strerror}",
                    "give a folder that you can write",
                ) from error
            write(place, encoded(made.dataset), 0o600)
            outcomes[made.uid] = Outcome(True)
        return outcomes

    def has(self, made: MadeObject) -> bool | None:
        """Whether the file is there, byte for byte."""
        place = self.place(made)
        return place.is_file() and place.read_bytes() == encoded(made.dataset)

    def place(self, made: MadeObject) -> Path:
        """The file of an object; a case that was exported again has further files."""
        return self._path / made.case_id / f"{made.kind}-{made.uid[-8:]}.dcm"

    def close(self) -> None:
        """A folder has nothing to close."""


def encoded(dataset: Dataset) -> bytes:
    """An object as a file (PS3.10)."""
    data = io.BytesIO()
    dataset.save_as(data, enforce_file_format=True)
    return data.getvalue()
