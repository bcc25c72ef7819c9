"""Keras models as ONNX files."""

from __future__ import annotations

from pathlib import Path

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnx import helper


def write_onnx(
    model: keras.Model, path: Path, layout: str = "nhwc", batch: int | None = None
) -> Path:
    """A Keras model with its last activation, as one ONNX file."""
    rows, columns, channels = model.input_shape[1:]
    shape = (rows, columns, channels) if layout == "nhwc" else (channels, rows, columns)

    def outputs(images: tf.Tensor) -> tf.Tensor:
        if layout == "nchw":
            images = tf.transpose(images, (0, 2, 3, 1))
        return model(images, training=False)

    signature = [tf.TensorSpec((batch, *shape), tf.float32, name="image")]
    exported, _ = tf2onnx.convert.from_function(tf.function(outputs), signature, opset=18)
    onnx.save_model(exported, path)
    return path


def tiny(
    path: Path, op: str = "Sigmoid", domain: str = "", shape: tuple[object, ...] = (None, 4, 4, 1)
) -> Path:
    """Flatten, a product with weights of 0.1, then an operator."""
    weights = helper.make_tensor("weights", onnx.TensorProto.FLOAT, (16, 1), [0.1] * 16)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["z"]),
        helper.make_node(op, ["z"], ["p"], domain=domain),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    output = helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, (None, 1))
    graph = helper.make_graph(nodes, "tiny", [image], [output], [weights])
    opsets = [helper.make_opsetid("", 18)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save_model(model, path)
    return path
