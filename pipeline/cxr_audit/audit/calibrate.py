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
from cxr_audit.audit.engine import Engine, Progress
from cxr_audit.audit.failures import Failure, outcome
from cxr_audit.audit.measuring import round_up
from cxr_audit.audit.plan import Plan, sample
from cxr_audit.audit.prepare import Batch, Prepared, mark_duplicates, prepare
from cxr_audit.audit.sample import Sample
from cxr_audit.errors import VerificationError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import Floats, RunCalibration, RunRecord
from cxr_audit.vocabulary import message

SCALE_PERCENTILE = 90
MEAN_INPUT = "mean_input.npz"


class SampleOnItsWay:
    """The sample of a run, which light processes read while the networks are opened.

    It is spread evenly over the cases of the run. No picture is written.
    """

    def __init__(self, plan: Plan, engine: Engine) -> None:
        config = plan.config
        chosen = sample(plan.sources, config.trust.sample)
        self._plan = plan
        self._sources = [source for source in plan.sources if source.case_id in chosen]
        self._futures = [engine.light(prepare, source, config, None) for source in self._sources]

    def batches(self, progress: Progress) -> list[Batch]:
        """The prepared cases; those that cannot be prepared are left out."""
        config, key = self._plan.config, self._plan.key
        duplicates = quality.Duplicates([source.case_id for source in self._sources])
        size, total = config.engine.batch_size, len(self._futures)
        batches = []
        for start in range(0, total, size):
            progress("reading the sample", start, total)
            answers = [outcome(future) for future in self._futures[start : start + size]]
            batch = [None if isinstance(answer, Failure) else answer for answer in answers]
            batches.append(mark_duplicates(batch, duplicates, key, config))
        return batches


def calibrate(
    folder: RunFolder,
    run: RunRecord,
    plan: Plan,
    engine: Engine,
    on_its_way: SampleOnItsWay,
    progress: Progress,
) -> tuple[RunRecord, Calibration]:
    """Calibrate a run on a sample of its cases.

    What is excluded has no part in it; of duplicates that are excluded, the first in the sample
    stands for all. Writes the mean model input into the run folder.

    Parameters
    ----------
    on_its_way : the sample.
    progress : called with what is done, and how long it will take.

    Returns
    -------
    The run's record with what was found, and all that was found.
    """
    batches = on_its_way.batches(progress)
    progress("maps of the sample", 0, 1)
    looked_at = _look(batches, engine)
    progress(_checks_in_words(looked_at), 0, 1)
    found: Calibration = engine.auditor(
        Auditor.calibrate, looked_at, cases=max(1, plan.config.trust.sample)
    ).result()
    calibration = RunCalibration(
        num_cases=len(plan.sources),
        checks=found.checks,
        cascade=found.cascade,
        mean_input_sha256=_write_mean_input(folder, found),
        logit_spread=found.logit_spread,
        parity=found.parity,
        plain=found.plain,
        factor_ranges=found.factor_ranges,
        spread_within_label=found.spread_within_label,
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


def _look(batches: list[Batch], engine: Engine) -> Sample:
    """Outputs and maps of the sample; a case with which the networks are lost is left out."""
    answer = outcome(_looking(batches, engine))
    if not isinstance(answer, Failure):
        return answer
    sound = [[case if _is_sound(case, engine) else None for case in batch] for batch in batches]
    return _looking(sound, engine).result()


def _looking(batches: list[Batch], engine: Engine) -> Future[Sample]:
    num_cases = sum(len(batch) for batch in batches)
    return engine.auditor(Auditor.look, batches, cases=max(1, num_cases))


def _checks_in_words(looked_at: Sample) -> str:
    """What is done next, and how long it will take: for the progress line."""
    if looked_at.plain is None:
        return "checks of the model"
    num, wall_ms = looked_at.num_passes_left, looked_at.plain.wall_ms
    return (
        f"checks of the model: {num:,} passes at {wall_ms:.0f} ms, "
        f"about {num * wall_ms / 1000:.0f} s or more"
    )


def _is_sound(case: Prepared | None, engine: Engine) -> bool:
    """Whether the networks can explain a case, alone."""
    if case is None:
        return True
    question = Question((), None, frozenset(), frozenset())
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
