"""A config -> the networks that it names: classifier with its card, checks, lung segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_audit import preprocess as geometry
from cxr_audit import reference, regions
from cxr_audit.audit.closed import is_closed, open_closed
from cxr_audit.cohort.intervals import score_interval
from cxr_audit.config import REFERENCE, AuditConfig, Card
from cxr_audit.config import Classifier as ClassifierSettings
from cxr_audit.config import Validation as ValidationSettings
from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    CardData,
    ModelCard,
    ModelFacts,
    ModelParts,
    OutputBin,
    Population,
    Validation,
)
from cxr_audit.vocabulary.depths import DEPTHS

if TYPE_CHECKING:
    from cxr_audit.classifier import Classifier
    from cxr_audit.explain import AnyExplainer, Explainer, Probing
    from cxr_audit.regions import LungSegmenter
    from cxr_audit.trust.checks import Checks


def open_classifier(config: AuditConfig) -> tuple[AnyExplainer, ModelFacts]:
    """The classifier of a config, checked against the config, with what it is for the record.

    Raises
    ------
    ConfigError, ModelError : it is missing, or does not fit the config.
    """
    from cxr_audit.classifier import (
        Classifier,
        OnnxRuntime,
        Package,
        described,
        file_sha256,
        load_keras,
    )

    settings = config.classifier
    if is_closed(config):
        closed, model = open_closed(config, _probing(config))
        card = _card(settings.card, model, closed.classifier.target_class)
        return closed, replace(model, card=card)
    packages = [Package(named.module, named.sha256) for named in settings.custom_objects]
    path, sha256, card = _weights(settings)
    size = config.preprocess
    front = None if size.model is None else load_keras(Path(size.model), size.model_sha256)
    threshold, threshold_source = settings.threshold, settings.threshold_source
    if card is not None and threshold is None:
        threshold = card.operation.threshold
        threshold_source = threshold_source or card.operation.threshold_source
    classifier = Classifier(
        load_keras(path, sha256, packages),
        (size.rows, size.columns, size.channels),
        settings.class_names or (card.operation.class_names if card else ()),
        settings.target_class,
        threshold,
        threshold_source,
        settings.output,
        settings.output_name,
        front,
        tuple(wanted.name for wanted in settings.inputs),
    )
    _check_widths(classifier, settings)
    if config.engine.runtime == "onnxruntime":
        classifier.runtime = OnnxRuntime()
    explainer = _explainer(config, classifier)
    sha256 = file_sha256(path)
    is_reference = settings.path == REFERENCE
    model = ModelFacts(
        name="cxr-audit reference classifier" if is_reference else path.name,
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
        parts=ModelParts(
            settings.output_name,
            tuple(described(package) for package in packages),
            None if size.model is None else file_sha256(Path(size.model)),
        ),
        card=card,
    )
    if card is None:
        model = replace(model, card=_card(settings.card, model, classifier.target_class))
    return explainer, model


def _check_widths(classifier: Classifier, settings: ClassifierSettings) -> None:
    """Refuse a config whose further inputs have more or fewer values than the model takes."""
    widths = {tensor.name: int(tensor.shape[-1]) for tensor in classifier.model.inputs}
    for wanted in settings.inputs:
        num = len(wanted.numbers(wanted.reference) or ())
        if num != widths[wanted.name]:
            raise ConfigError(
                f"classifier.inputs gives {num} numbers for {wanted.name!r}, the model takes "
                f"{widths[wanted.name]}",
                "list as many numbers for each category",
            )


def _weights(settings: ClassifierSettings) -> tuple[Path, str | None, ModelCard | None]:
    """File, SHA-256 that it must have, and card if it is the classifier that ships."""
    if settings.path != REFERENCE:
        assert settings.path is not None  # else there is a command
        return Path(settings.path), settings.sha256, None
    if settings.card is not None:
        raise ConfigError(
            "the classifier that ships has its own model card", "take classifier.card out"
        )
    card = reference.card_of("classifier")
    return reference.WEIGHTS / card.weights, settings.sha256 or card.sha256, card


def _explainer(config: AuditConfig, classifier: Classifier) -> Explainer:
    from cxr_audit.explain import Explainer

    settings = config.explain
    return Explainer(
        classifier,
        settings.methods,
        settings.target_layer,
        settings.layers,
        settings.classes,
        settings.against,
        _probing(config),
    )


def _probing(config: AuditConfig) -> Probing:
    from cxr_audit.explain import Probing

    settings = config.explain
    _, offset = geometry.scaling_of(config.preprocess)
    return Probing(
        baseline=settings.baseline,
        black=None if config.preprocess.standardise else tuple(map(float, offset)),
        steps=settings.steps,
        score_cam_channels=settings.score_cam_channels,
        seed=config.run.seed,
        occlusion_cells=settings.occlusion_cells,
        rise_masks=settings.rise_masks,
    )


def _card(card: Card | None, model: ModelFacts, target_class: str) -> ModelCard | None:
    """The model card of a config, bound to the model."""
    if card is None:
        return None
    return ModelCard(
        name=model.name,
        weights=model.name,
        sha256=model.sha256,
        parameters=model.parameters,
        input=" x ".join(map(str, model.input_shape)),
        intended_use=card.intended_use,
        population=Population(card.population),
        limits=card.limits,
        data=CardData(card.data, card.data_licence),
        validation=_validation(card.validation, target_class),
    )


def _validation(stated: ValidationSettings | None, class_name: str) -> Validation | None:
    """What the output meant in validation cases; a bin without cases is left out."""
    if stated is None:
        return None
    bins = []
    for low, high, num_cases, num_labelled in stated.bins:
        if num_cases:
            interval = score_interval(num_labelled / num_cases, num_cases)
            bins.append(OutputBin(low, high, num_cases, num_labelled, interval))
    return Validation(stated.data, class_name, tuple(bins), stated.untuned)


def open_checks(config: AuditConfig, explainer: AnyExplainer) -> Checks:
    """The checks of the explanation that a config asks for."""
    from cxr_audit.trust.checks import Checks

    depth = DEPTHS[config.run.depth]
    return Checks(explainer, config.trust, config.engine.batch_size, config.run.seed, depth)


def open_segmenter(config: AuditConfig) -> LungSegmenter | None:
    """The lung segmenter that a config asks for."""
    if config.regions.lungs != REFERENCE:
        return None
    return regions.LungSegmenter(reference.WEIGHTS / "lungs.keras")
