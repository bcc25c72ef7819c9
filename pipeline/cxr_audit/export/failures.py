"""Status codes of DICOM -> words, the same for STOW-RS and C-STORE.

PS3.18 I.2.2 (Store Instances Response) and PS3.4 B.2.3 (C-STORE) share the codes; PS3.7 C has those
of the service itself. Codes that end in XX stand for 256 of them.
"""

from __future__ import annotations

from cxr_audit.vocabulary import Message, message

WORDS = {
    0x0110: "processing",
    0x0111: "duplicate",
    0x0112: "no_such_instance",
    0x0117: "invalid_instance",
    0x0118: "no_such_class",
    0x0119: "class_conflict",
    0x0122: "class_not_supported",
    0x0124: "not_authorised",
    0x0131: "class_not_supported",
    0x0132: "class_not_supported",
    0x0210: "duplicate",
    0xA770: "class_not_supported",
    0xC122: "transfer_syntax",
}
RANGES = {0xA7: "full", 0xA9: "other_class", 0xC0: "not_understood"}
"""By the first two of four digits."""
FULL = "export.status_full"
IS_THERE = {0x0111}
"""The object is stored already."""
WARNINGS = {0xB000, 0xB006, 0xB007}
"""Coercion of elements, elements discarded, data set does not match the class: stored all the
same."""


def reason_of(status: int) -> Message:
    """What a status says."""
    name = WORDS.get(status) or RANGES.get(status >> 8) or "unknown"
    if name == "not_understood" or status >> 12 == 0xC:
        name = WORDS.get(status, "not_understood")
    return message(f"export.status_{name}", status=f"{status:04X}")


def is_full(status: int) -> bool:
    """Whether the destination is out of resources: further objects would meet the same."""
    return status >> 8 == 0xA7 and status != 0xA770
