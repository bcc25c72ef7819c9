"""A Keras model file -> Classifier = features, then head; logits; target layers."""

import os

from cxr_audit.classifier.notices import without_notices


def _import_tensorflow() -> None:
    """Import TensorFlow without the notices of its start-up in C++ (no GPU, instruction sets).

    Its advice on tracing is left out: one function a layer is meant."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with without_notices():
        import tensorflow

        tensorflow.get_logger().setLevel("ERROR")


_import_tensorflow()

from cxr_audit.classifier.classifier import Classifier, Split  # noqa: E402
from cxr_audit.classifier.closed import ClosedClassifier  # noqa: E402
from cxr_audit.classifier.command import Command  # noqa: E402
from cxr_audit.classifier.front import read_value_range  # noqa: E402
from cxr_audit.classifier.inspection import inspect_model  # noqa: E402
from cxr_audit.classifier.keras2 import convert  # noqa: E402
from cxr_audit.classifier.load import file_sha256, load_keras  # noqa: E402
from cxr_audit.classifier.onnx_file import OnnxFile  # noqa: E402
from cxr_audit.classifier.onnx_runtime import OnnxRuntime  # noqa: E402
from cxr_audit.classifier.parity import check_closed_parity, check_parity  # noqa: E402
from cxr_audit.classifier.torchxrayvision import import_torchxrayvision  # noqa: E402

__all__ = [
    "Classifier",
    "ClosedClassifier",
    "Command",
    "OnnxFile",
    "OnnxRuntime",
    "Split",
    "check_closed_parity",
    "check_parity",
    "convert",
    "file_sha256",
    "import_torchxrayvision",
    "inspect_model",
    "load_keras",
    "read_value_range",
]
