"""(State of the map, checks of the model, checks of the case) -> whether the map can be trusted.

not interpretable   the map is zero, saturated or not finite: there is nothing to read; or
                    `randomisation` failed: the map does not depend on what this classifier has
                    learned
caution             `randomisation` was not run: it is open whether the map depends on it; or any
                    other check failed
passed              none of these

The worst rule that holds decides, and each that holds gives its reason. Any other check that was
not run changes nothing; the report lists it as not run, with its reason. A map of evidence
against the class only can be trusted; that it has no place to look at is the state of the map
itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import Check, MapStatus, Trust, TrustState
from cxr_audit.vocabulary import Text, message

RANDOMISATION = "randomisation"
UNREADABLE: dict[MapStatus, str] = {
    "dead": "trust.map_is_zero",
    "saturated": "trust.gradient_lost",
    "not_finite": "trust.not_finite",
}


def judge(status: MapStatus, of_model: Sequence[Check], of_case: Sequence[Check]) -> Trust:
    """The trust state of a case.

    Parameters
    ----------
    status : of its first map.
    of_model : the checks made once a model.
    of_case : those made of this case.
    """
    severe: list[Text] = []
    mild: list[Text] = []
    if status in UNREADABLE:
        severe.append(message(UNREADABLE[status]))
    not_run = _why_open(of_model)
    if not_run is not None:
        mild.append(message("trust.dependence_open", reason=not_run))
    for check in (*of_model, *of_case):
        if check.state == "failed" and check.reason is not None:
            reasons = severe if check.name == RANDOMISATION else mild
            reasons.append(check.reason)
    state: TrustState = "passed"
    if severe:
        state = "not_interpretable"
    elif mild:
        state = "caution"
    return Trust(state, (*severe, *mild), tuple(of_case))


def _why_open(of_model: Sequence[Check]) -> Text | None:
    """Why `randomisation` was not run; None where it was."""
    gate = next((check for check in of_model if check.name == RANDOMISATION), None)
    if gate is None:
        return message("trust.not_made")
    return gate.reason if gate.state == "not_run" else None
