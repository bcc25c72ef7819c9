"""One batch, where the classifier is: prepared cases -> predictions, maps, trust, lungs, masking.

A case that failed leaves its place empty, so that a batch is always the same cases in the same places.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxr_audit import preprocess as geometry
from cxr_audit import regions
from cxr_audit.audit.document import Explained, find_regions
from cxr_audit.audit.prepare import Prepared
from cxr_audit.config import AuditConfig
from cxr_audit.records import (
    CaseSource,
    Floats,
    ModelInput,
    RunRecord,
    StoppedCase,
)
from cxr_audit.trust import state
from cxr_audit.vocabulary import message

if TYPE_CHECKING:
    from cxr_audit.classifier import Classifier
    from cxr_audit.explain import Explainer
    from cxr_audit.regions import LungSegmenter
    from cxr_audit.trust.checks import Checks


def explain_batch(explainer: Explainer, batch: list[Prepared], batch_size: int) -> list[Explained]:
    """Stages 3 and 4 of one batch. A case that failed leaves its place empty."""
    tensor = stack(explainer.classifier, batch, batch_size)
    labels = [case.source.label for case in batch] + [None] * (batch_size - len(batch))
    is_present = [case.failure is None for case in batch] + [False] * (batch_size - len(batch))
    result = explainer.explain(tensor, labels, is_present)
    explained = []
    for n, case in enumerate(batch):
        if case.failure is not None:
            explained.append(Explained(case))
        elif not np.isfinite(result.logits[n]).all():
            failure = StoppedCase(
                case_id=case.source.case_id,
                status="failed",
                reason=message("audit.output_not_finite"),
                error="ModelError",
                hint=message("audit.check_scaling"),
                label=case.source.label,
                file_sha256=case.source.file_sha256,
                radiograph=case.facts,
            )
            explained.append(Explained(replace(case, failure=failure)))
        else:
            prediction = explainer.classifier.predict(result.logits[n], case.source.label)
            explained.append(Explained(case, prediction, result.maps[n], result.controls[n]))
    return explained


def vary_batch(
    explainer: Explainer, batch: list[Explained], config: AuditConfig, usual: Floats | None
) -> list[Explained]:
    """What the answer is where the whole radiograph is darker or brighter, and where a marker or the border is as usual
    in this run."""
    selector = explainer.classifier.selector(explainer.classifier.target_class)
    made: dict[int, tuple[dict[str, Floats], dict[str, Floats]]] = {}
    for n, case in enumerate(batch):
        if case.prediction is None or (seen := case.prepared.model_input) is None:
            continue
        markers = {
            one.facts.name: one.mask for one in case.prepared.regions if one.facts.kind == "marker"
        }
        replaced = {} if usual is None else geometry.as_usual(seen, usual, markers, regions.BORDER)
        made[n] = geometry.exposures(seen, config.preprocess), replaced
    inputs = (shown for varied in made.values() for by_name in varied for shown in by_name.values())
    logits = iter(explainer.ask(inputs, config.engine.batch_size) @ selector)
    for n, varied in made.items():
        before = batch[n].prediction
        assert before is not None
        exposure, as_usual = (
            {name: float(next(logits)) - before.logit for name in names} for names in varied
        )
        if np.isfinite([*exposure.values(), *as_usual.values()]).all():
            batch[n] = replace(batch[n], exposure=exposure, as_usual=as_usual)
    return batch


def check_batch(checks: Checks, batch: list[Explained], run: RunRecord) -> list[Explained]:
    """Whether the explanation of each case of one batch may be believed."""
    tensor = stack(checks.explainer.classifier, [case.prepared for case in batch], len(batch))
    found = checks.of_cases(tensor, [case.maps for case in batch])
    return [
        replace(case, trust=state.judge(case.maps[0].facts.status, run.checks, of_case))
        if case.maps
        else case
        for case, of_case in zip(batch, found, strict=True)
    ]


def segment_batch(segmenter: LungSegmenter, batch: list[Explained]) -> list[Explained]:
    """Stage 5 of one batch: where the lungs are, or why they were not found."""
    inputs = {
        n: case.prepared.lung_input
        for n, case in enumerate(batch)
        if case.prepared.lung_input is not None
    }
    if inputs:
        for n, lungs in zip(inputs, segmenter.find(np.stack(list(inputs.values()))), strict=True):
            batch[n] = replace(batch[n], lungs=lungs)
    return batch


def sample(sources: list[CaseSource], size: int | Literal["all", "none"]) -> set[str]:
    """The ids of so many cases, spread evenly over the run."""
    num = (
        {"all": len(sources), "none": 0}[size] if isinstance(size, str) else min(size, len(sources))
    )
    return {sources[n * len(sources) // num].case_id for n in range(num)}


def limited(sources: list[CaseSource], num: int) -> list[CaseSource]:
    """So many cases spread over the run, in its order; those of a smaller number are among those of a larger one."""
    digits = len(sources).bit_length()
    # By their binary digits read backwards (van der Corput): the first, the one at a half, at a quarter, and so on.
    ranked = sorted(range(len(sources)), key=lambda n: f"{n:0{digits}b}"[::-1])
    return [sources[n] for n in sorted(ranked[:num])]


def spread(explainer: Explainer, seen: list[ModelInput], batch_size: int) -> float | None:
    """The standard deviation of the explained logit over some model inputs; None where it is no number."""
    selector = explainer.classifier.selector(explainer.classifier.target_class)
    found = (
        float((explainer.ask((one.tensor for one in seen), batch_size) @ selector).std())
        if seen
        else np.nan
    )
    return found if np.isfinite(found) else None


def mask_batch(
    explainer: Explainer, batch: list[Explained], asked: set[str], batch_size: int
) -> list[Explained]:
    """Stage 7 of one batch: what the answer is without the lungs, a marker and so on, for the cases asked."""
    from cxr_audit.trust import masking

    subjects = {}
    for n, case in enumerate(batch):
        if case.prediction is None or case.prepared.source.case_id not in asked:
            continue
        assert case.prepared.model_input is not None
        tensor, placement = case.prepared.model_input.tensor, case.prepared.model_input.placement
        found = find_regions(case)
        size = placement.input_rows, placement.input_columns
        shares = geometry.region_shares(
            placement, *size, np.stack([region.mask for region in found])
        )
        seen, *_ = geometry.cell_shares(placement, *size)
        reason = case.lungs.reason if case.lungs else None
        subjects[n] = masking.Subject.of(tensor, case.prediction, seen, found, shares, reason)
    answers = masking.ask_again(explainer, list(subjects.values()), batch_size)
    for n, (masked, missing) in zip(subjects, answers, strict=True):
        batch[n] = replace(batch[n], masking=masked, masking_missing=missing)
    return batch


def stack(classifier: Classifier, batch: list[Prepared], batch_size: int) -> Floats:
    """Model inputs (batch_size, rows, columns, channels); places of failed or missing cases are 0."""
    tensor = np.zeros((batch_size, *classifier.input_shape), np.float32)
    for n, case in enumerate(batch):
        if case.model_input is not None:
            tensor[n] = case.model_input.tensor
    return tensor
