"""(State of the map, checks of the model, checks of the case) -> may this explanation be believed? By rule alone.

    not interpretable   the map is empty, saturated or not finite: there is nothing to read
                        `randomisation` failed: the map is not about what this classifier has learned
    caution             `randomisation` was not run: whether the map is about this classifier is open
                        any other check failed
    passed              none of these

The worst rule that holds decides; each that holds gives its reason. Any other check that was not run changes nothing:
it stands in the report as not run, with why. Nor does a map with evidence against the class only: it may be believed,
and that it has no place to look at is the map's own state.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import Check, MapStatus, Trust, TrustState

RANDOMISATION = "randomisation"
UNREADABLE: dict[MapStatus, str] = {
    "dead": "the map is zero everywhere",
    "saturated": "the last activation has lost the gradient",
    "not_finite": "the map is not finite",
}


def judge(status: MapStatus, of_model: Sequence[Check], of_case: Sequence[Check]) -> Trust:
    """The trust state of a case, from the status of its first map and the checks made once a model and of this case."""
    found: list[tuple[TrustState, str]] = []
    if status in UNREADABLE:
        found.append(("not_interpretable", UNREADABLE[status]))
    gate = next((check for check in of_model if check.name == RANDOMISATION), None)
    if gate is None or gate.state == "not_run":
        reason = "it was not made" if gate is None else gate.reason
        found.append(
            ("caution", f"whether the map depends on the trained weights is open: {reason}")
        )
    for check in (*of_model, *of_case):
        if check.state == "failed":
            state: TrustState = "not_interpretable" if check.name == RANDOMISATION else "caution"
            found.append((state, str(check.reason)))
    found.sort(key=lambda one: one[0] == "caution")
    worst = found[0][0] if found else "passed"
    return Trust(worst, tuple(reason for _, reason in found), tuple(of_case))
