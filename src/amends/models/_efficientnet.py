"""EfficientNet-Lite0 as an ONNX graph, built from the published PyTorch weights without PyTorch.

Lite0 is EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish, and with stem and head unscaled.
Source: the TensorFlow TPU project's ``efficientnet/lite``. The weights were trained there, hence TensorFlow's "SAME"
padding (the odd pixel goes to the right and below: ONNX's SAME_UPPER) and a batch-norm epsilon of 1e-3. Batch norm is
folded into the convolution before it, so the graph is only Conv, Clip and Add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CLASSES", "INPUT_SIDE", "to_onnx"]

CLASSES = 1000
INPUT_SIDE = 224

Array = npt.NDArray[Any]

_EPSILON = 1e-3
_OPSET = 17
_IR_VERSION = 8

# Stages of EfficientNet-B0: (blocks, stride of the first). Kernel sizes and channels are read off the weights.
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


@dataclass(slots=True)
class _Graph:
    tensors: Mapping[str, Array]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def conv(self, x: str, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False, relu: bool = True) -> str:
        weight, bias = self._folded(conv, norm)
        out = self.node(
            "Conv",
            [x, self.constant(f"{conv}.weight", weight), self.constant(f"{conv}.bias", bias)],
            f"{conv}.out",
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            group=weight.shape[0] if depthwise else 1,
            auto_pad="SAME_UPPER",
        )
        return self.node("Clip", [out, "zero", "six"], f"{conv}.relu6") if relu else out

    def _folded(self, conv: str, norm: str) -> tuple[Array, Array]:
        gamma, beta, mean, variance = (
            self.tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        return self.tensors[f"{conv}.weight"] * scale[:, None, None, None], beta - mean * scale

    def block(self, x: str, prefix: str, stride: int) -> str:
        """One inverted bottleneck: expand, depthwise, project; with the input added where nothing changed shape."""
        y = x
        if f"{prefix}._expand_conv.weight" in self.tensors:
            y = self.conv(y, f"{prefix}._expand_conv", f"{prefix}._bn0")
        y = self.conv(y, f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride=stride, depthwise=True)
        y = self.conv(y, f"{prefix}._project_conv", f"{prefix}._bn2", relu=False)
        return y


def to_onnx(tensors: Mapping[str, Array]) -> bytes:
    """Return the serialised model: ``images`` float32 [n, 3, 224, 224] to ``scores`` [n, 1000], after softmax.

    tensors: the checkpoint's arrays by their PyTorch names. Raises KeyError where one is missing.
    """
    graph = _Graph(tensors)
    graph.constant("zero", np.array(0.0))
    graph.constant("six", np.array(6.0))
    x = graph.conv("images", "_conv_stem", "_bn0", stride=2)
    number, channels = 0, 0
    for blocks, first_stride in _STAGES:
        for position in range(blocks):
            stride = first_stride if position == 0 else 1
            prefix = f"_blocks.{number}"
            out = graph.block(x, prefix, stride)
            width = tensors[f"{prefix}._project_conv.weight"].shape[0]
            x = graph.node("Add", [out, x], f"{prefix}.sum") if stride == 1 and width == channels else out
            number, channels = number + 1, width
    x = graph.conv(x, "_conv_head", "_bn1")
    x = graph.node("GlobalAveragePool", [x], "pooled")
    x = graph.node("Flatten", [x], "embedding", axis=1)
    weight, bias = graph.constant("fc.weight", tensors["_fc.weight"]), graph.constant("fc.bias", tensors["_fc.bias"])
    x = graph.node("Gemm", [x, weight, bias], "logits", transB=1)
    graph.node("Softmax", [x], "scores", axis=1)
    return _serialise(graph)


def _serialise(graph: _Graph) -> bytes:
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, INPUT_SIDE, INPUT_SIDE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])
    body = helper.make_graph(graph.nodes, "efficientnet-lite0", [images], [scores], graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())
