"""A Keras model file -> Classifier = features, then head; logits; target layers."""

import os
import sys

from cxr_audit.classifier.notices import without_notices
from cxr_audit.errors import ModelError


def _choose_backend() -> None:
    """Let Keras run on TensorFlow, whatever the environment or `keras.json` say."""
    keras = sys.modules.get("keras")
    backend = "tensorflow" if keras is None else keras.config.backend()
    if backend != "tensorflow":
        raise ModelError(
            f"Keras runs on {backend} in this process; the audit needs TensorFlow",
            "set KERAS_BACKEND=tensorflow before keras is imported",
        )
    os.environ["KERAS_BACKEND"] = "tensorflow"


def _import_tensorflow() -> None:
    """Import TensorFlow without the notices of its start-up in C++ (no GPU, instruction sets).

    Its advice on tracing is left out: one function a layer is meant."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_notices():
        import tensorflow

        tensorflow.get_logger().setLevel("ERROR")


_choose_backend()
_import_tensorflow()

from cxr_audit.classifier.classifier import Classifier, Split  # noqa: E402
from cxr_audit.classifier.closed import ClosedClassifier  # noqa: E402
from cxr_audit.classifier.command import Command  # noqa: E402
from cxr_audit.classifier.custom import Package, described  # noqa: E402
from cxr_audit.classifier.front import read_value_range  # noqa: E402
from cxr_audit.classifier.inspection import inspect_model  # noqa: E402
from cxr_audit.classifier.keras2 import convert  # noqa: E402
from cxr_audit.classifier.load import file_sha256, load_keras  # noqa: E402
from cxr_audit.classifier.onnx_file import OnnxFile  # noqa: E402
from cxr_audit.classifier.onnx_runtime import OnnxRuntime  # noqa: E402
from cxr_audit.classifier.parity import check_closed_parity, check_parity  # noqa: E402
from cxr_audit.classifier.torchxrayvision import import_torchxrayvision  # noqa: E402
from cxr_audit.classifier.value_range import try_value_ranges  # noqa: E402

__all__ = [
    "Classifier",
    "ClosedClassifier",
    "Command",
    "OnnxFile",
    "OnnxRuntime",
    "Package",
    "Split",
    "check_closed_parity",
    "check_parity",
    "convert",
    "described",
    "file_sha256",
    "import_torchxrayvision",
    "inspect_model",
    "load_keras",
    "read_value_range",
    "try_value_ranges",
]
