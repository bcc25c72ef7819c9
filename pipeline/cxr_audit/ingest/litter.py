"""Files that operating systems and network drives leave beside images: skipped and counted."""

from __future__ import annotations

from dataclasses import dataclass

NAMES = frozenset(
    {
        "thumbs.db",  # Windows
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "__macosx",  # macOS
        "icon\r",
        "@eadir",  # Synology
        "#recycle",
        "lost+found",  # Linux
    }
)
OFFICE_LOCK = "~$"
DOWNLOAD_MARK = ":zone.identifier"


@dataclass(slots=True)
class Skipped:
    """How many files and folders were skipped as litter or as hidden."""

    num: int = 0


def is_litter(name: str, skipped: Skipped) -> bool:
    """Whether a file or folder is hidden or litter by its name; counted where it is."""
    small = name.lower()
    is_hidden = name.startswith(".") and name != ".."
    is_left = small in NAMES or small.startswith(OFFICE_LOCK) or small.endswith(DOWNLOAD_MARK)
    if is_hidden or is_left:
        skipped.num += 1
        return True
    return False
