"""UIDs that follow from what they name: the same evidence has the same UIDs, on every machine.

The form is 2.25 with a UUID of version 5 as a number (PS3.5 B.2, RFC 9562), which needs no
registered root.
"""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID("5f0c1a52-9c06-5b0e-8f5c-1b7a43c0d8e1")
ROOT = "2.25."


def uid_of(*parts: str) -> str:
    """The UID of what these texts name; their order and number count."""
    name = "\n".join(f"{len(part)}:{part}" for part in parts)
    return f"{ROOT}{uuid.uuid5(NAMESPACE, name).int}"


def device_uid(weights_sha256: str) -> str:
    """The Device UID of a model: other weights are another device (IHE AI Results, 2020).

    Parameters
    ----------
    weights_sha256 : SHA-256 of the model file, hexadecimal.
    """
    return uid_of("device", weights_sha256)
