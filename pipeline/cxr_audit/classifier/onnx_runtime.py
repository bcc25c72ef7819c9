"""Forward passes of a Keras classifier in ONNX Runtime, with TensorFlow for what needs a gradient.

The function that TensorFlow would run (features, side values and logits of a `Split`) is exported
by tf2onnx in the process that opened the model: nothing is read from or written to a disk. Where
the head is global average pooling and one dense layer, no gradient is needed, and the runtime
computes the whole case. TensorFlow stays loaded: it opens the model, exports it, computes the
gradients of other heads and of methods on the input, and the stages of the randomisation cascade.

`trust/runtime.py` compares both on the sample of a run, and refuses one that differs.
"""

from __future__ import annotations

import logging
import os
from importlib import metadata
from typing import Any

import numpy as np
import tensorflow as tf

from cxr_audit.classifier.classifier import Split
from cxr_audit.classifier.notices import without_notices
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats

# Read when ONNX Runtime is first imported. Without it, builds since 1.32 write an identifier of this
# machine to the user's cache and report their use to Microsoft.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

OPSET = 18
INSTALL = "install the extra: pip install 'cxr-audit[onnx]'"


class OnnxRuntime:
    """ONNX Runtime on the CPU, in single precision.

    Raises
    ------
    ModelError : a package of the extra `onnx` is missing.
    """

    def __init__(self) -> None:
        self.version = runtime_version()
        self._sessions: dict[str, Any] = {}

    def forward(self, split: Split, batch: Floats) -> tuple[Any, tuple[Any, ...], Floats]:
        """Features, side values and logits of a batch.

        Parameters
        ----------
        split : exported at its first call; another one at the same layer shares the session.
        batch : float32 (N, rows, columns, channels).

        Returns
        -------
        features (N, h, w, channels), side values, logits (N, units).
        """
        key = split.layer.name
        if key not in self._sessions:
            self._sessions[key] = open_session(_exported(split))
        session = self._sessions[key]
        given = {session.get_inputs()[0].name: np.asarray(batch, np.float32)}
        features, *sides, logits = session.run(None, given)
        return features, tuple(sides), np.asarray(logits, np.float32)


def runtime_version() -> str:
    """Name and version of ONNX Runtime. Raises `ModelError` where the extra is missing."""
    for name in ("onnx", "onnxruntime"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError as error:
            raise ModelError(f"the package {name} is not installed", INSTALL) from error
    return f"onnxruntime {version}"


def open_session(model: bytes) -> Any:
    """A session of ONNX Runtime on the CPU.

    Parameters
    ----------
    model : serialised, with its weights.

    Raises
    ------
    ModelError : ONNX Runtime cannot run the model.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that wait without sleeping would take the cores of the light processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime raises a class of its own for each status
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the model: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """The point of a long message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _exported(split: Split) -> bytes:
    """The forward steps of a split as a model of ONNX, serialised."""
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ModelError("the package tf2onnx is not installed", INSTALL) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    shape = (None, *split.classifier.packed_shape)
    signature = [tf.TensorSpec(shape, tf.float32, name="input")]
    function = tf.function(split.forward_steps, autograph=False)
    try:
        with without_notices():
            model, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET
            )
    except Exception as error:  # tf2onnx raises whatever an unknown operation makes it raise
        raise ModelError(
            f"tf2onnx {tf2onnx.__version__} cannot export the model: {first_line(error)}",
            "set engine.runtime: tensorflow",
        ) from error
    return bytes(model.SerializeToString())


def _num_threads() -> int:
    """As many threads as TensorFlow uses in this process; see `engines/local.py`."""
    stated = int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return stated or cores or 1
