"""The error tree; each class carries the exit code of the command.

    AuditError                  1   anything unexpected that we can still name
    ├── ConfigError             2   the audit config, the command line, or the run folder it names
    ├── ModelError              3   the classifier: file, hash, class, layer, shape
    ├── CaseError               4   one case; recorded with its reason, the run goes on
    │   ├── UnreadableFile          empty, truncated, corrupt, no permission, not a file
    │   ├── NotARadiograph          readable, but no radiograph (text, a structured report, no pixels)
    │   ├── UnsupportedRadiograph   a radiograph that this tool does not decode, by choice or missing codec
    │   ├── UnusableAnnotation      boxes or a mask that do not fit the radiograph, or no mask
    │   ├── NotRetrieved            a server did not give the file; --resume asks it again
    │   └── UnfitRadiograph         beyond a limit that the config lists under quality.fail
    ├── EngineError             5   where the work runs: a worker died, the disk is full
    │   └── RunLocked               another command writes to the run folder
    ├── AcceptanceError         6   the run is complete, but does not meet the config's acceptance criteria
    └── VerificationError       7   the run folder is not what it was

A message says what happened and what was expected; `hint` says what to do.
"""

from __future__ import annotations

from cxr_audit.vocabulary import Text


class AuditError(Exception):
    """Base of all named errors.

    Parameters
    ----------
    message : what happened and what was expected.
    hint : one sentence: what to do.
    """

    exit_code = 1

    def __init__(self, message: Text, hint: Text | None = None) -> None:
        super().__init__(str(message))
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[AuditError], tuple[Text, Text | None]]:
        return type(self), (self.message, self.hint)


class ConfigError(AuditError):
    exit_code = 2


class ModelError(AuditError):
    exit_code = 3


class CaseError(AuditError):
    """One case cannot be audited. Never carries a path, a name or an attribute's text."""

    exit_code = 4


class UnreadableFile(CaseError):
    pass


class NotARadiograph(CaseError):
    pass


class UnsupportedRadiograph(CaseError):
    pass


class NotRetrieved(CaseError):
    pass


class UnusableAnnotation(CaseError):
    pass


class UnfitRadiograph(CaseError):
    pass


class EngineError(AuditError):
    exit_code = 5


class RunLocked(EngineError):
    """Another command writes to the run folder, or may do so."""


class AcceptanceError(AuditError):
    exit_code = 6


class VerificationError(AuditError):
    exit_code = 7
