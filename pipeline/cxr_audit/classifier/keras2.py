"""A model file of an older Keras -> a `.keras` file that computes the same."""

from __future__ import annotations

from pathlib import Path

from cxr_audit.classifier.load import load_keras
from cxr_audit.errors import ModelError


def convert(old: Path, new: Path) -> None:
    """Write the model `old` (.h5 or .keras) as `new` (.keras).

    Raises
    ------
    ModelError : code in the file, a network that Keras 3 cannot build, a SavedModel folder.
    """
    if new.suffix != ".keras":
        raise ModelError(f"{new} has not the suffix .keras", "give a name such as classifier.keras")
    load_keras(old).save(new)
