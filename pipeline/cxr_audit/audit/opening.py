"""A config -> what a run needs before its first case: key, cases, classifier, checks, segmenter, labels.

Refuses labels that are no class.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_audit import ingest, reference, regions
from cxr_audit import preprocess as geometry
from cxr_audit.cohort.intervals import score_interval
from cxr_audit.config import REFERENCE, AuditConfig, Card
from cxr_audit.config import Validation as AskedValidation
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import CaseIdKey
from cxr_audit.records import (
    CaseSource,
    ModelCard,
    ModelFacts,
    OutputBin,
    Validation,
)

if TYPE_CHECKING:
    from cxr_audit.classifier import Classifier
    from cxr_audit.explain import Explainer
    from cxr_audit.regions import LungSegmenter
    from cxr_audit.trust.checks import Checks


def find_key(config: AuditConfig) -> CaseIdKey:
    """The key of a config's case ids. The radiographs that ship show no patient: their ids are the same everywhere."""
    if config.ingest.source == REFERENCE:
        return CaseIdKey(b"")
    return CaseIdKey.find(config.run.output, config.privacy.key_file)


def find_sources(config: AuditConfig, key: CaseIdKey) -> list[CaseSource]:
    """The cases of a config; its labels must be names of classes."""
    source = config.ingest.source
    if source == REFERENCE:
        from cxr_audit.reference.radiographs import write_radiographs

        source = str(write_radiographs(config.run.output / "reference-radiographs"))
    return ingest.discover(
        source, config.ingest.labels, config.ingest.split, key.value, config.ingest.manifest
    )


def open_classifier(config: AuditConfig) -> tuple[Explainer, ModelFacts]:
    """The classifier of a config, checked against the config, with what it is for the record."""
    from cxr_audit.classifier import Classifier, file_sha256, load_keras
    from cxr_audit.explain import Explainer, Probing

    asked, card = config.classifier, None
    path, sha256 = Path(asked.path), asked.sha256
    if asked.path == REFERENCE:
        if asked.card is not None:
            raise ConfigError(
                "the classifier that ships has its own model card", "take classifier.card out"
            )
        card = reference.card_of("classifier")
        path, sha256 = reference.WEIGHTS / card.weights, sha256 or card.sha256
    size = config.preprocess
    classifier = Classifier(
        load_keras(path, sha256),
        (size.rows, size.columns, size.channels),
        asked.class_names or (card.class_names if card else ()),
        asked.target_class,
        asked.threshold if asked.threshold is not None or card is None else card.threshold,
        asked.threshold_source
        or (card.threshold_source if card and asked.threshold is None else None),
        asked.output,
    )
    explain = config.explain
    _, offset = geometry.scaling_of(config.preprocess)
    black = tuple(map(float, offset))
    explainer = Explainer(
        classifier,
        explain.methods,
        explain.target_layer,
        explain.layers,
        explain.classes,
        explain.against,
        Probing(
            explain.baseline, black, explain.steps, explain.score_cam_channels, config.run.seed
        ),
    )
    sha256 = file_sha256(path)
    return explainer, ModelFacts(
        name=path.name if asked.path != REFERENCE else "cxr-audit reference classifier",
        sha256=sha256,
        parameters=classifier.parameters,
        input_shape=classifier.input_shape,
        output_activation=classifier.output_activation,
        class_names=classifier.class_names,
        target_layer=explainer.target.layer.name,
        grid=explainer.target.layer.grid,
        head=explainer.target.head_in_words,
        is_exact=explainer.target.is_affine,
        labels=classifier.labels,
        card=card or _card(asked.card, path.name, sha256, classifier),
    )


def _card(asked: Card | None, name: str, sha256: str, classifier: Classifier) -> ModelCard | None:
    """The model card of a config, bound to the model."""
    if asked is None:
        return None
    return ModelCard(
        name=name,
        weights=name,
        sha256=sha256,
        parameters=classifier.parameters,
        input=" x ".join(map(str, classifier.input_shape)),
        intended_use=asked.intended_use,
        population=asked.population,
        limits=asked.limits,
        data=asked.data,
        data_licence=asked.data_licence,
        validation=_validation(asked.validation, classifier.target_class),
    )


def _validation(asked: AskedValidation | None, class_name: str) -> Validation | None:
    if asked is None:
        return None
    bins = (
        OutputBin(*one, score_interval(one[3] / one[2], one[2])) for one in asked.bins if one[2]
    )
    return Validation(asked.data, class_name, tuple(bins))


def open_checks(config: AuditConfig, explainer: Explainer) -> Checks:
    """The checks of the explanation that a config asks for."""
    from cxr_audit.trust.checks import Checks

    return Checks(explainer, config.trust, config.engine.batch_size, config.run.seed)


def open_segmenter(config: AuditConfig) -> LungSegmenter | None:
    """The lung segmenter that a config asks for."""
    return (
        regions.LungSegmenter(reference.WEIGHTS / "lungs.keras")
        if config.regions.lungs == REFERENCE
        else None
    )


def check_labels(
    sources: Iterable[CaseSource], known: tuple[str, ...], names: bool = False
) -> None:
    """Every label must name a class. Raises `ConfigError`; with `names` it quotes the labels that do not, which may
    be patients' names where ingest.labels names the wrong folder or column."""
    unknown = sorted({source.label for source in sources if source.label is not None} - set(known))
    if unknown:
        which = (
            ": " + ", ".join(map(repr, unknown[:10]))
            if names
            else " (cxr-audit check CONFIG --names prints them)"
        )
        raise ConfigError(
            f"{len(unknown)} labels are no class{which}; classes are {', '.join(known)}",
            "set classifier.class_names to the names that the labels use, or ingest.labels: none",
        )


def reading(config: AuditConfig) -> dict[str, Any]:
    """How `ingest` reads the cases of a config."""
    asked = config.ingest
    display = ingest.Display(
        voi_transform=asked.voi_transform,
        window=asked.window,
        frame=asked.frame,
        unreadable_values=asked.unreadable_values,
        damaged_pixels=asked.damaged_pixels,
    )
    return {"max_pixels": asked.max_pixels, "display": display}
