"""Where objects go: what every kind of destination can do, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cxr_audit.errors import AuditError
from cxr_audit.export.objects import MadeObject
from cxr_audit.vocabulary import Message


class NotDelivered(AuditError):
    """Some objects did not reach their destination; the ledger has the reason of each."""

    exit_code = 4


class TryAgain(Exception):
    """A failure that may pass: the network, or a server that is busy."""

    def __init__(self, reason: Message) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Stop(Exception):
    """A failure that every further object would meet as well: credentials, a full server."""

    def __init__(self, reason: Message, hint: Message | None = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a destination answered to one object.

    Parameters
    ----------
    is_stored : whether it took the object.
    reason : why not, or what it changed.
    """

    is_stored: bool
    reason: Message | None = None


class Destination(Protocol):
    """The folder or server that receives the objects."""

    def send(self, objects: Sequence[MadeObject]) -> dict[str, Outcome]:
        """Deliver objects of one study; SOP Instance UID -> what came of it.

        Raises
        ------
        TryAgain : nothing is known of the objects; the failure may pass.
        Stop : further objects would meet the same failure.
        """

    def has(self, made: MadeObject) -> bool | None:
        """Whether the object is there; None = the destination cannot be asked.

        Raises
        ------
        TryAgain, Stop
        """

    def close(self) -> None:
        """Release what was opened."""
