"""A sample of the run -> colour scales, checks of the model, mean model input.

Once a run, before its first picture is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from cxr_audit import evidence, quality
from cxr_audit.audit.auditor import Auditor, Calibration, Question
from cxr_audit.audit.document import npz
from cxr_audit.audit.engine import Engine
from cxr_audit.audit.failures import Failure, outcome
from cxr_audit.audit.measuring import round_up
from cxr_audit.audit.plan import Plan, sample
from cxr_audit.audit.prepare import Batch, Prepared, mark_duplicates, prepare
from cxr_audit.errors import VerificationError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import Floats, RunCalibration, RunRecord
from cxr_audit.vocabulary import message

SCALE_PERCENTILE = 90
MEAN_INPUT = "mean_input.npz"


def calibrate(
    folder: RunFolder, run: RunRecord, plan: Plan, engine: Engine
) -> tuple[RunRecord, Calibration]:
    """Calibrate a run on a sample spread evenly over its cases.

    What is excluded has no part in it; of duplicates that are excluded, the first in the sample
    stands for all. Writes the mean model input into the run folder.

    Returns
    -------
    The run's record with what was found, and all that was found.
    """
    batches = _sample(plan, engine)
    found = _ask(batches, engine)
    calibration = RunCalibration(
        num_cases=len(plan.sources),
        checks=found.checks,
        cascade=found.cascade,
        mean_input_sha256=_write_mean_input(folder, found),
        logit_spread=found.logit_spread,
        parity=found.parity,
    )
    run = replace(
        run,
        model=replace(run.model, is_deterministic=found.is_deterministic),
        calibration=_with_scales(calibration, plan, found),
    )
    return run, found


def _write_mean_input(folder: RunFolder, found: Calibration) -> str | None:
    """Write the mean model input of the sample; its SHA-256, None where the sample is too small."""
    if found.mean_input is None:
        return None
    path = folder.path / MEAN_INPUT
    evidence.write(path, npz({"usual": found.mean_input}))
    return evidence.file_sha256(path)


def _sample(plan: Plan, engine: Engine) -> list[Batch]:
    """The prepared cases of the sample, without any picture; those that cannot be are left out."""
    config = plan.config
    chosen = sample(plan.sources, config.trust.sample)
    sources = [source for source in plan.sources if source.case_id in chosen]
    duplicates = quality.Duplicates([source.case_id for source in sources])
    futures = [engine.light(prepare, source, config, None) for source in sources]
    size = config.engine.batch_size
    batches = []
    for start in range(0, len(futures), size):
        answers = [outcome(future) for future in futures[start : start + size]]
        batch = [None if isinstance(answer, Failure) else answer for answer in answers]
        batches.append(mark_duplicates(batch, duplicates, plan.key, config))
    return batches


def _ask(batches: list[Batch], engine: Engine) -> Calibration:
    """What the networks say of the sample; a case with which they are lost is left out."""
    answer = outcome(_calibration(batches, engine))
    if not isinstance(answer, Failure):
        return answer
    sound = [[case if _is_sound(case, engine) else None for case in batch] for batch in batches]
    return _calibration(sound, engine).result()


def _calibration(batches: list[Batch], engine: Engine) -> Future[Calibration]:
    num_cases = sum(len(batch) for batch in batches)
    return engine.auditor(Auditor.calibrate, batches, cases=max(1, num_cases))


def _is_sound(case: Prepared | None, engine: Engine) -> bool:
    """Whether the networks can explain a case, alone."""
    if case is None:
        return True
    question = Question((), None, frozenset())
    return not isinstance(outcome(engine.auditor(Auditor.explain, [case], question)), Failure)


def _with_scales(calibration: RunCalibration, plan: Plan, found: Calibration) -> RunCalibration:
    """The calibration with the colour scales, by the config."""
    if plan.config.report.scale == "case":
        return replace(calibration, scale_source=message("audit.scale_of_case"))
    scales = colour_scales(found.peaks)
    source = message("audit.scale_of_run", percentile=SCALE_PERCENTILE, num=found.num_mapped)
    scale = scales.get(found.primary, 1.0)
    return replace(calibration, scale=scale, scale_source=source, scales=scales)


def colour_scales(peaks: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The upper end of each colour scale, from the maxima of some maps, by `method@layer`."""
    return {
        key: round_up(float(np.percentile(values, SCALE_PERCENTILE)))
        for key, values in peaks.items()
    }


def read_mean_input(folder: RunFolder, run: RunRecord) -> Floats | None:
    """The mean model input of a run, None where its sample is too small.

    Raises
    ------
    VerificationError : it was changed.
    """
    if run.calibration.mean_input_sha256 is None:
        return None
    path = folder.path / MEAN_INPUT
    if evidence.file_sha256(path) != run.calibration.mean_input_sha256:
        raise VerificationError(
            f"{path} is not what the run has begun with", "set run.name to start another"
        )
    with np.load(path) as kept:
        return np.asarray(kept["usual"], np.float32)
