"""Packages that a config names -> their layers, which a model file may then use.

A model file never brings code. A site's own layers can be in an installed package that registers
them with `keras.saving.register_keras_serializable`; the config names the package and the SHA-256
of its files. The hash is checked before anything of the package is imported. It covers the files
of this package, not of those that it imports: the bill of materials lists these.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from cxr_audit.errors import ModelError


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose layers a model may use.

    Parameters
    ----------
    module : what is imported, such as `keras_hub`.
    sha256 : of its files, see `package_sha256`; None = not stated.
    """

    module: str
    sha256: str | None


def custom_objects(packages: Iterable[Package]) -> dict[str, Any]:
    """What the packages register with Keras, by registered name.

    Raises
    ------
    ModelError : a package is not installed, has other files than its hash says, cannot be
        imported, or registers nothing.
    """
    registered: dict[str, Any] = {}
    for package in packages:
        registered |= _objects_of(package)
    return registered


def package_sha256(module: str) -> str:
    """One hash of the files of a package, without compiled copies.

    The SHA-256 of the lines "SHA-256, two spaces, path" of its files in order, as `sha256sum`
    prints them; paths begin with the package.

    Raises
    ------
    ModelError : it is not installed.
    """
    place = _place(module.partition(".")[0])
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    lines = []
    for path in paths:
        name = path.relative_to(place.parent)
        if path.is_file() and "__pycache__" not in name.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {name.as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def described(package: Package) -> str:
    """A package with its version and hash, for the record."""
    top = package.module.partition(".")[0]
    names = metadata.packages_distributions().get(top, [])
    version = f" ({names[0]} {metadata.version(names[0])})" if names else ""
    return f"{package.module}{version}, SHA-256 {package_sha256(package.module)}"


def _place(top: str) -> Path:
    """The folder or file of a top-level module; finding it imports nothing."""
    spec = importlib.util.find_spec(top)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    if spec is not None and spec.has_location and spec.origin is not None:
        return Path(spec.origin).resolve()
    raise ModelError(
        f"classifier.custom_objects names the package {top!r}, which is not installed here",
        "install it into the environment of cxr-audit",
    )


def _objects_of(package: Package) -> dict[str, Any]:
    found = package_sha256(package.module)
    if package.sha256 is None or package.sha256.lower() != found:
        stated = f"expected {package.sha256}" if package.sha256 else "the config states none"
        raise ModelError(
            f"the files of the package {package.module!r} have the SHA-256 {found}; {stated}",
            "its code will run: check the package, then set sha256 in classifier.custom_objects",
        )
    try:
        importlib.import_module(package.module)
    except Exception as error:  # whatever the package raises
        raise ModelError(
            f"the package {package.module!r} of classifier.custom_objects cannot be imported: "
            f"{type(error).__name__}: {error}",
            "install what it needs",
        ) from error
    top = package.module.partition(".")[0]
    registered = {
        name: value
        for name, value in keras.saving.get_custom_objects().items()
        if getattr(value, "__module__", "").partition(".")[0] == top
    }
    if not registered:
        raise ModelError(
            f"the package {package.module!r} registers no class with Keras",
            "register them with keras.saving.register_keras_serializable, in the module named",
        )
    return registered
