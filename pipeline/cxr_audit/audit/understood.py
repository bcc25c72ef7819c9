"""What a config and its radiographs were understood as, for `cxr-audit check`; nothing is written.

Every function returns plain values, ready for JSON.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_audit import ingest, preprocess
from cxr_audit.audit.expected import expected_passes
from cxr_audit.audit.further_inputs import Further, further_of
from cxr_audit.audit.plan import limited
from cxr_audit.audit.prepare import reading
from cxr_audit.config import AuditConfig
from cxr_audit.errors import CaseError
from cxr_audit.records import CaseSource

if TYPE_CHECKING:
    from cxr_audit.explain import AnyExplainer
    from cxr_audit.trust.checks import Checks

Facts = dict[str, Any]

USUAL_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "holdout")
NUM_ASKED = 20
"""Labelled cases that the classifier is asked about, and annotated ones that are opened."""
CONSTANT = 1e-3
"""Outputs that differ by less do not vary."""
MIB_A_CASE, MIB_A_LEAN_CASE = 0.45, 0.25  # of the runs in docs/measured.md
LIGHT_SECONDS_A_CASE = 0.3  # CPU time to read a radiograph, measure its maps and write its PDF
MOST_VALUES = 10
CONVENTION = (
    "x,y,width,height in pixels from the top left corner of the upright radiograph; "
    "masks: every pixel that is not 0"
)


def understood_folder(config: AuditConfig, num_cases: int) -> Facts:
    """Whether the run folder is free and can be written, and the disk that a run needs."""
    path = config.run.output / config.run.name
    parent = path
    while not parent.exists():
        parent = parent.parent
    state = "free"
    if (path / "run.json").is_file():
        state = "holds a run"
    elif path.exists():
        state = "exists"
    mib = MIB_A_CASE if config.report.documents else MIB_A_LEAN_CASE
    return {
        "path": str(path),
        "state": state,
        "is_writable": os.access(parent, os.W_OK),
        "disk_needed_mib": round(num_cases * mib, 1),
        "disk_free_mib": round(shutil.disk_usage(parent).free / 2**20),
    }


def _split_name(split: str) -> str:
    """A usual name of a split as it is; any other text of the manifest may name a patient."""
    return split if split.casefold() in USUAL_SPLITS else "of another name"


def understood_cases(sources: Sequence[CaseSource], classes: Sequence[str]) -> Facts:
    """Cases by class, and what the manifest says beside the label.

    Parameters
    ----------
    classes : the labels that a case may have.
    """
    labels = Counter(source.label for source in sources)
    patients = {source.patient_id for source in sources if source.patient_id is not None}
    known = sum(source.patient_id is not None for source in sources)
    splits = Counter(_split_name(source.split) for source in sources if source.split is not None)
    return {
        "num_cases": len(sources),
        "by_class": {name: labels[name] for name in classes if labels[name]},
        "without_case": [name for name in classes if not labels[name]],
        "num_unlabelled": labels[None],
        "num_of_known_patients": known,
        "num_patients": len(patients) + len(sources) - known,
        "splits": dict(splits),
        "num_with_boxes": sum(bool(source.boxes) for source in sources),
        "num_with_mask": sum(source.mask is not None for source in sources),
    }


def understood_subgroups(
    config: AuditConfig,
    sources: Sequence[CaseSource],
    attributes: Mapping[str, Mapping[str, str]],
) -> Facts:
    """The sizes of the subgroups.

    Parameters
    ----------
    attributes : of the DICOM files whose headers were read, by case id.
    """
    found: Facts = {}
    for column in config.cohort.subgroups:
        values: Counter[str] = Counter()
        for source in sources:
            stated = attributes.get(source.case_id, {}).get(column) or source.metadata.get(column)
            if stated:
                values[stated] += 1
        shown = dict(values.most_common(MOST_VALUES))
        found[column] = {
            "values": shown,
            "num_further_values": len(values) - len(shown),
            "num_without": len(sources) - values.total(),
            "least_shown": config.cohort.min_cases,
        }
    return found


def understood_annotations(config: AuditConfig, sources: Sequence[CaseSource]) -> Facts:
    """Whether boxes lie on their radiographs and masks fit: of up to 20 cases, spread."""
    annotated = [source for source in sources if source.boxes or source.mask is not None]
    chosen = limited(annotated, NUM_ASKED) if len(annotated) > NUM_ASKED else annotated
    problems: Counter[str] = Counter()
    for source in chosen:
        try:
            facts = ingest.read(source, **reading(config)).facts
            ingest.read_annotation(source, facts.rows, facts.columns, config.ingest.max_pixels)
        except CaseError as error:
            problems[str(error)] += 1
    return {
        "num_annotated": len(annotated),
        "num_opened": len(chosen),
        "num_unusable": problems.total(),
        "problems": dict(problems.most_common(MOST_VALUES)),
        "convention": CONVENTION,
    }


def understood_answers(
    config: AuditConfig, explainer: AnyExplainer, sources: Sequence[CaseSource]
) -> Facts:
    """What the classifier answers to up to 20 labelled cases, half of them of the target class."""
    classifier = explainer.classifier
    positive = [source for source in sources if source.label == classifier.target_class]
    negative = [
        source
        for source in sources
        if source.label in classifier.labels and source.label != classifier.target_class
    ]
    half = NUM_ASKED // 2
    chosen = [source for group in (positive, negative) for source in _few(group, half)]
    chosen = chosen or _few(list(sources), NUM_ASKED)
    tensors, labels = [], []
    for source in chosen:
        try:
            radiograph = ingest.read(source, **reading(config))
        except CaseError:
            continue  # named among the headers, or in the run
        further = further_of(source, radiograph.facts, config.classifier.inputs)
        if not isinstance(further, Further):
            continue  # fails in the run, with its reason
        model_input, *_ = preprocess.preprocess(radiograph, config.preprocess)
        tensors.append(replace(model_input, further=further.numbers).packed())
        labels.append(source.label)
    outputs: list[float] = []
    if tensors:
        asked = explainer.ask(tensors, config.engine.batch_size)
        outputs = [classifier.predict(logits, None).probability for logits in asked]
    is_target = [label == classifier.target_class for label in labels]
    auc = auc_of(outputs, is_target) if positive and negative else None
    return {
        "num_asked": len(outputs),
        "least": min(outputs, default=None),
        "largest": max(outputs, default=None),
        "auc": auc,
        "warnings": [*_answer_warnings(outputs, auc), *_range_warnings(config, explainer)],
    }


def _few(sources: list[CaseSource], num: int) -> list[CaseSource]:
    return limited(sources, num) if len(sources) > num else sources


def auc_of(outputs: Sequence[float], is_positive: Sequence[bool]) -> float | None:
    """The share of pairs of a positive and a negative that the output ranks rightly; ties half."""
    values, positive = np.asarray(outputs), np.asarray(is_positive, bool)
    if not positive.any() or positive.all():
        return None
    pairs = values[positive][:, None] - values[~positive][None, :]
    return float(((pairs > 0) + (pairs == 0) / 2).mean())


def _answer_warnings(outputs: Sequence[float], auc: float | None) -> list[str]:
    found = []
    if len(outputs) > 1 and max(outputs) - min(outputs) < CONSTANT:
        found.append(
            "the output hardly varies between radiographs: see preprocess.scaling and "
            "classifier.output"
        )
    elif auc is not None and auc < 0.5:
        found.append(
            f"the AUC of {len(outputs)} labelled cases is {auc:.2f}: are the classes swapped? See "
            "classifier.class_names and classifier.target_class"
        )
    return found


def _range_warnings(config: AuditConfig, explainer: AnyExplainer) -> list[str]:
    from cxr_audit.classifier import Classifier, read_value_range

    if not isinstance(explainer.classifier, Classifier):
        return []  # it can only be asked
    expected = read_value_range(explainer.classifier)
    stated = config.preprocess.scaling
    if expected.scaling is None or stated is None or stated == expected.scaling:
        return []
    return [
        f"preprocess.scaling is {stated}, but the model seems to expect {expected.scaling} "
        f"({expected.reason})"
    ]


def understood_costs(
    config: AuditConfig, explainer: AnyExplainer, checks: Checks, sources: list[CaseSource]
) -> Facts:
    """The passes of a run by purpose, and about how long it takes on this machine."""
    plain = checks.plain_pass()
    expected = expected_passes(config, checks, sources)
    total = sum(row.num for row in expected)
    workers = config.engine.workers or os.cpu_count() or 1
    light = LIGHT_SECONDS_A_CASE * len(sources) / workers
    return {
        "depth": config.run.depth,
        "passes": {row.purpose: {"num_cases": row.num_cases, "num": row.num} for row in expected},
        "further_inputs_a_radiograph": dict(explainer.passes),
        "plain_pass_ms": plain.wall_ms,
        "seconds": round(plain.wall_ms / 1000 * total + light),
    }
