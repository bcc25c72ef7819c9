"""A config -> the classifier that can only be asked, which it names: an ONNX file or a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError
from cxr_audit.records import ModelFacts
from cxr_audit.vocabulary import METHODS, Message, message

if TYPE_CHECKING:
    from cxr_audit.classifier.closed import Answering
    from cxr_audit.explain import ClosedExplainer, Probing


def is_closed(config: AuditConfig) -> bool:
    """Whether the config names a model that cannot be opened."""
    settings = config.classifier
    is_onnx = settings.path is not None and settings.path.lower().endswith(".onnx")
    return is_onnx or bool(settings.command)


def open_closed(config: AuditConfig, probing: Probing) -> tuple[ClosedExplainer, ModelFacts]:
    """The classifier of a config, without its card, and what it is for the record.

    Raises
    ------
    ConfigError, ModelError : it is missing, or does not fit the config.
    """
    from cxr_audit.classifier import ClosedClassifier
    from cxr_audit.explain import ClosedExplainer

    _check_config(config)
    settings, size = config.classifier, config.preprocess
    source = _source(config)
    classifier = ClosedClassifier(
        source,
        (size.rows, size.columns, size.channels),
        settings.class_names,
        settings.target_class,
        settings.threshold,
        settings.threshold_source,
        settings.output,
    )
    asked = config.explain
    explainer = ClosedExplainer(classifier, asked.methods, asked.classes, asked.against, probing)
    return explainer, ModelFacts(
        name=source.name,
        sha256=source.sha256,
        parameters=source.parameters,
        input_shape=classifier.input_shape,
        output_activation=classifier.output_activation,
        class_names=classifier.class_names,
        target_layer=explainer.layer_name,
        grid=explainer.grid,
        head=explainer.head_in_words,
        is_exact=False,
        labels=classifier.labels,
        unavailable=_unavailable(),
    )


def _source(config: AuditConfig) -> Answering:
    from cxr_audit.classifier import Command, OnnxFile

    settings = config.classifier
    if settings.path is not None:
        return OnnxFile(Path(settings.path), settings.sha256, settings.layout)
    return Command(settings.command, settings.command_seconds, settings.sha256)


def _check_config(config: AuditConfig) -> None:
    """Refuse what needs the inside of the model, and what would be ignored."""
    hint = "take it out: the model is only asked"
    if config.explain.target_layer != "auto" or config.explain.layers:
        raise ConfigError(
            "explain.target_layer and explain.layers are not available for this model", hint
        )
    of_keras = ("inputs", "custom_objects", "output_name")
    for key in of_keras:
        if getattr(config.classifier, key):
            raise ConfigError(f"classifier.{key} is for a Keras model", hint)
    if config.preprocess.model is not None:
        raise ConfigError("preprocess.model is for a Keras model", hint)
    if config.engine.runtime != "tensorflow":
        raise ConfigError("engine.runtime is for a Keras model", hint)


def _unavailable() -> Message:
    """What needs the inside of a model."""
    methods = [row.label for row in METHODS if row.needs not in ("answers", "nothing")]
    return message("classifier.unavailable", methods=methods)
