"""A model input with a part of the radiograph replaced, and the answer to it -> `Masking`.

A map says where evidence may lie; masking says what the logit does without that place. The part
is replaced in the model's own input, after preprocessing, so that nothing but its pixels differs;
on the radiograph, CLAHE would change its surroundings too. A pixel that touches the part is
replaced whole, so that no outline of it is left. There are two fills, since the classifier has
learned from neither kind of image, and a change that only one of them makes is the effect of the
fill:

blurred  the input blurred, a Gaussian of 1/16 of the longer side: brightness stays, finer detail
goes
mean     the mean of what is kept of the radiograph: nothing of the part stays, nor of padding

A part that the model did not see, and one that leaves nothing of the radiograph, is not replaced;
the reason is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from cxr_audit.explain.probing import baseline
from cxr_audit.records import TOUCHES, Fill, Floats, Mask, Masking, Prediction, Region
from cxr_audit.vocabulary import Text, message

if TYPE_CHECKING:
    from cxr_audit.explain import AnyExplainer

FILLS: tuple[Fill, ...] = get_args(Fill)
LUNGS, ALL_BUT_LUNGS = "lungs", "all but the lungs"
REPLACED_KINDS = ("lungs", "marker", "border")


@dataclass(frozen=True, slots=True)
class Subject:
    """A case whose parts are replaced.

    Parameters
    ----------
    x : the model input (rows, columns, channels).
    before : the prediction for it.
    on_radiograph : (rows, columns), each pixel's share on the radiograph; the rest is padding.
    parts : what is replaced, by name, bool (rows, columns) each.
    missing : what cannot be replaced, by name, with the reason.
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
        lungs_missing: Text | None,
    ) -> Subject:
        """The parts are the lungs, all but the lungs, each marker and the border.

        Parameters
        ----------
        x, before, on_radiograph : see the class.
        found : the regions of the case.
        shares : (N, rows, columns), each pixel's share inside each region.
        lungs_missing : why no lungs were found; None where they were, or were not looked for.
        """
        parts = _parts(on_radiograph, found, shares)
        missing: dict[str, Text] = {}
        for name, part in parts.items():
            reason = _undefined(part, on_radiograph)
            if reason is not None:
                missing[name] = reason
        if LUNGS not in parts:
            reason = lungs_missing or message("regions.lungs_not_looked_for")
            missing |= {LUNGS: reason, ALL_BUT_LUNGS: reason}
        if not any(region.facts.kind == "marker" for region in found):
            missing["marker"] = message("trust.no_marker")
        kept = {name: part for name, part in parts.items() if name not in missing}
        return cls(x, before, on_radiograph, kept, missing)


def _parts(on_radiograph: Floats, found: Sequence[Region], shares: Floats) -> dict[str, Mask]:
    parts: dict[str, Mask] = {}
    for region, share in zip(found, shares, strict=True):
        if region.facts.kind in REPLACED_KINDS:
            parts[region.facts.name] = share > TOUCHES
        if region.facts.kind == "lungs":
            parts[ALL_BUT_LUNGS] = on_radiograph - share > TOUCHES
    return parts


def all_fills(subjects: Sequence[Subject]) -> Iterator[Floats]:
    """The model inputs to ask, subject by subject."""
    for subject in subjects:
        yield from fill(subject)


def read_answers(
    explainer: AnyExplainer, subjects: Sequence[Subject], answers: Floats
) -> list[tuple[tuple[Masking, ...], dict[str, Text]]]:
    """What the answers to `all_fills` say.

    Parameters
    ----------
    answers : logits (N, units), one row an input.

    Returns
    -------
    For each subject, its answers, and what is missing with the reason.
    """
    tasks = [(n, name) for n, subject in enumerate(subjects) for name in subject.parts]
    logits = answers.reshape(len(tasks), len(FILLS), explainer.classifier.num_units)
    maskings: list[list[Masking]] = [[] for _ in subjects]
    missing = [dict(subject.missing) for subject in subjects]
    for (n, name), of_fills in zip(tasks, logits, strict=True):
        if not np.isfinite(of_fills).all():
            missing[n][name] = message("trust.output_not_finite")
            continue
        before = subjects[n].before
        for how, answer in zip(FILLS, of_fills, strict=True):
            after = explainer.classifier.predict(answer, None)
            bad = is_bad_news(name, before, after)
            change = after.logit - before.logit
            maskings[n].append(Masking(name, how, after.logit, change, bad))
    return [(tuple(rows), reasons) for rows, reasons in zip(maskings, missing, strict=True)]


def fill(subject: Subject) -> Iterator[Floats]:
    """The model input with each part replaced, in the order of `parts`, by each of `FILLS`."""
    x, blurred = subject.x, baseline(subject.x, "blurred", np.zeros(1, np.float32))
    for part in subject.parts.values():
        kept = (subject.on_radiograph * ~part)[..., None].astype(np.float64)
        mean = ((x * kept).sum((0, 1)) / kept.sum()).astype(np.float32)
        for stand_in in (blurred, mean):
            yield np.where(part[..., None], stand_in, x)


def is_bad_news(removed: str, before: Prediction, after: Prediction) -> bool | None:
    """Whether the answer is unexpected of a classifier that uses the lungs and nothing else.

    Without the lungs nothing is left to call the target class by: unexpected where it is still
    called; where it was not called, this says nothing. From the lungs alone, without a marker or
    without the border, the same class is expected. How far a marker or the border moves the logit
    is judged by the flags.

    Parameters
    ----------
    removed : name of the part.
    before, after : predictions for the input as it is, and with the part replaced.

    Returns
    -------
    None where it says nothing.
    """
    is_other = after.predicted != before.predicted
    is_target = before.predicted == before.target_class
    if removed == LUNGS:
        return not is_other if is_target else None
    return is_other


def _undefined(part: Mask, on_radiograph: Floats) -> Text | None:
    """Why a part cannot be replaced; None where it can."""
    if not part.any():
        return message("trust.part_not_seen")
    if not (on_radiograph[~part] > 0).any():
        return message("trust.nothing_left")
    return None
