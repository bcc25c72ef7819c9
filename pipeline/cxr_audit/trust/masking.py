"""A model input with a part of the radiograph replaced, and the answer to it -> `Masking`: what the logit depends on.

A map says where evidence may lie; this says what happens without it. The part is replaced in the model's own input,
after preprocessing, so that nothing but its pixels differs; on the radiograph, CLAHE would change its surroundings too.
A pixel that touches the part is replaced whole: no outline of it is left. Two fills, since either is a picture that the
classifier has not learned from, and what only one of them does is the fill's doing:

    blurred  the input blurred, a Gaussian of 1/16 of the longer side: the brightness stays, what is finer goes
    mean     the mean of what is kept of the radiograph: nothing of the part stays, nor of padding

Refused, with the reason: a part that the model did not see, and one that leaves nothing of the radiograph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from cxr_audit.explain.probing import baseline
from cxr_audit.records import TOUCHES, Fill, Floats, Mask, Masking, Prediction, Region
from cxr_audit.vocabulary import Text

if TYPE_CHECKING:
    from cxr_audit.explain import Explainer

FILLS: tuple[Fill, ...] = get_args(Fill)
LUNGS, ALL_BUT_LUNGS = "lungs", "all but the lungs"


@dataclass(frozen=True, slots=True)
class Subject:
    """A case to be asked again.

    x : the model input (rows, columns, channels).
    on_radiograph : (rows, columns), each pixel's share on the radiograph; the rest is padding.
    parts, missing : what is replaced, by name, bool (rows, columns) each; what cannot be, with the reason.
    """

    x: Floats
    before: Prediction
    on_radiograph: Floats
    parts: dict[str, Mask]
    missing: dict[str, Text]

    @classmethod
    def of(
        cls,
        x: Floats,
        before: Prediction,
        on_radiograph: Floats,
        found: Sequence[Region],
        shares: Floats,
        lungs_missing: str | None,
    ) -> Subject:
        """The parts are the lungs, all but the lungs, each marker and the border; `shares` (N, rows, columns) are
        those of each pixel inside each region that was found."""
        parts: dict[str, Mask] = {}
        for region, share in zip(found, shares, strict=True):
            if region.facts.kind in ("lungs", "marker", "border"):
                parts[region.facts.name] = share > TOUCHES
            if region.facts.kind == "lungs":
                parts[ALL_BUT_LUNGS] = on_radiograph - share > TOUCHES
        missing: dict[str, Text] = {
            name: reason
            for name, part in parts.items()
            if (reason := _undefined(part, on_radiograph))
        }
        if LUNGS not in parts:
            missing |= dict.fromkeys(
                (LUNGS, ALL_BUT_LUNGS), lungs_missing or "the lungs were not looked for"
            )
        if not any(region.facts.kind == "marker" for region in found):
            missing["marker"] = "no marker is known"
        return cls(
            x,
            before,
            on_radiograph,
            {name: parts[name] for name in parts if name not in missing},
            missing,
        )


def ask_again(
    explainer: Explainer, subjects: Sequence[Subject], at_once: int
) -> list[tuple[tuple[Masking, ...], dict[str, Text]]]:
    """Every part of every subject by every fill, asked `at_once` at a time; beside it what is missing, and why."""
    tasks = [(n, name) for n, subject in enumerate(subjects) for name in subject.parts]
    inputs = (x for subject in subjects for x in fill(subject))
    logits = explainer.ask(inputs, at_once).reshape(
        len(tasks), len(FILLS), explainer.classifier.num_units
    )
    found: list[list[Masking]] = [[] for _ in subjects]
    missing = [dict(subject.missing) for subject in subjects]
    for (n, name), answers in zip(tasks, logits, strict=True):
        if not np.isfinite(answers).all():
            missing[n][name] = "the classifier's output is not a finite number"
            continue
        before = subjects[n].before
        for how, answer in zip(FILLS, answers, strict=True):
            after = explainer.classifier.predict(answer, None)
            bad = is_bad_news(name, before, after)
            found[n].append(Masking(name, how, after.logit, after.logit - before.logit, bad))
    return [(tuple(rows), reasons) for rows, reasons in zip(found, missing, strict=True)]


def fill(subject: Subject) -> Iterator[Floats]:
    """The model input with each part replaced, in the order of `parts`, by each of `FILLS`."""
    x, blurred = subject.x, baseline(subject.x, "blurred", np.zeros(1, np.float32))
    for part in subject.parts.values():
        kept = (subject.on_radiograph * ~part)[..., None].astype(np.float64)
        mean = ((x * kept).sum((0, 1)) / kept.sum()).astype(np.float32)
        for stand_in in (blurred, mean):
            yield np.where(part[..., None], stand_in, x)


def is_bad_news(removed: str, before: Prediction, after: Prediction) -> bool | None:
    """Whether a classifier that reads lungs, and nothing else, would not answer so.

    Without the lungs it has nothing to call the target class by: bad where it still does; where it did not, this says
    nothing (None). From the lungs alone, without a marker or the border, it answers the same: bad where it does not.
    How much a marker or the border moves the logit is judged by the flags.
    """
    is_other, is_target = (
        after.predicted != before.predicted,
        before.predicted == before.target_class,
    )
    if removed == LUNGS:
        return not is_other if is_target else None
    return is_other


def _undefined(part: Mask, on_radiograph: Floats) -> str | None:
    """Why a part cannot be replaced; None where it can."""
    if not part.any():
        return "the model did not see it"
    return (
        None if (on_radiograph[~part] > 0).any() else "nothing else is left of what the model saw"
    )
