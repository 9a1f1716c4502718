"""The same layer in onnxruntime: the operators RNN, GRU and LSTM; forward only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kernel_bench.shapes import LAYERS
from kernel_bench.timing import Run

ORDER = {"elman": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
"""ONNX's gates in torch's numbering: z r n of r z n, and i o f g of i f g o."""


def onnx_peer(cell: str, layer: nn.RNNBase, x: Tensor) -> Run | None:
    """The forward pass, giving the bound output [T, 1, B, H]; None without onnxruntime and onnx.

    Input and output are bound beforehand, the way of calling that costs least. The session has
    as many threads as torch, and its other options as they are by default, spinning included.
    """
    try:
        import onnx  # noqa: F401 - `_model` needs it
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads spin between calls for so long that a pause would have to be very long. They still
    # spin during a call.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        _model(cell, layer, x), options, providers=["CPUExecutionProvider"]
    )
    T, B, _ = x.shape
    # The array stays alive here: an OrtValue of it may be a view.
    y = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((T, 1, B, layer.hidden_size), np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input("X", onnxruntime.OrtValue.ortvalue_from_numpy(x.numpy()))
    binding.bind_ortvalue_output("Y", y)

    def run() -> Any:
        session.run_with_iobinding(binding)
        return y

    return run


def onnx_results(run: Run) -> dict[str, Tensor]:
    """What onnxruntime computes, under the name of `ours.results`."""
    return {"y": torch.from_numpy(run().numpy().copy()).squeeze(1)}


def _model(cell: str, layer: nn.RNNBase, x: Tensor) -> bytes:
    """The layer as an ONNX model, its weights inside."""
    from onnx import TensorProto, helper, numpy_helper

    def stacked(name: str) -> np.ndarray:
        gates = layer.get_parameter(name).detach().numpy()
        return np.concatenate([np.split(gates, len(ORDER[cell]))[k] for k in ORDER[cell]])

    arrays = {
        "W": stacked("weight_ih_l0"),
        "R": stacked("weight_hh_l0"),
        "B": np.concatenate([stacked("bias_ih_l0"), stacked("bias_hh_l0")]),
    }
    weights = [numpy_helper.from_array(array[None], name) for name, array in arrays.items()]
    H = layer.hidden_size
    options = {"linear_before_reset": 1} if cell == "gru" else {}
    node = helper.make_node(LAYERS[cell], ["X", *arrays], ["Y"], hidden_size=H, **options)
    T, B, _ = x.shape
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [T, 1, B, H])],
        weights,
    )  # fmt: skip
    # Versions that any onnxruntime since 1.18 reads, whichever onnx writes them.
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())
