"""What a file leaves open (`Display`), and what reading it decided or found odd (`Notes`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cxr_audit.errors import UnreadableFile
from cxr_audit.records import Decision, VoiTransform
from cxr_audit.vocabulary import Message, message

Unreadable = Literal["warn", "refuse"]
Damaged = Literal["refuse", "warn"]


@dataclass(frozen=True, slots=True)
class Display:
    """How a file is read where more than one way is possible.

    Parameters
    ----------
    voi_transform : if_present (VOI LUT, else window, else the image's own range); lut, window,
        required (either): nothing else, or the file is refused; off (own range); percentile (own
        range without its ends).
    window : which of several windows, by number from 1 on or by its explanation.
    frame : which of several frames, from 1 on; None refuses them.
    unreadable_values : whether a header value that is present but cannot be read is a warning, or
        the file is refused.
    damaged_pixels : whether pixels that a decoder calls damaged refuse the file, or are a warning.
    """

    voi_transform: VoiTransform = "if_present"
    window: int | str = 1
    frame: int | None = None
    unreadable_values: Unreadable = "warn"
    damaged_pixels: Damaged = "refuse"


@dataclass(slots=True)
class Notes:
    """Decisions and warnings in the order in which they were made, each warning once.

    `not_understood` holds the attributes that are present but cannot be read, by keyword.
    """

    decisions: list[Decision] = field(default_factory=list)
    warnings: list[Message] = field(default_factory=list)
    not_understood: dict[str, Message] = field(default_factory=dict)

    def decide(self, what: Message, how: Message, why: Message) -> None:
        """Note a decision.

        Parameters
        ----------
        what : the subject of the decision.
        how : its outcome.
        why : its reason.
        """
        self.decisions.append(Decision(what, how, why))

    def warn(self, warning: Message) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def misread(self, keyword: str, problem: Message) -> None:
        """Note an attribute that is present but not understood; the first problem stands."""
        if keyword not in self.not_understood:
            self.not_understood[keyword] = problem
            warning = message("ingest.not_understood", keyword=keyword, problem=problem)
            self.warn(warning)

    def damaged(self, display: Display) -> None:
        """Refuse pixels that a codec calls damaged, or warn where the config asks for that."""
        problem = message("ingest.damaged_pixels")
        if display.damaged_pixels == "refuse":
            raise UnreadableFile(problem, message("ingest.damaged_pixels_hint"))
        self.warn(problem)
