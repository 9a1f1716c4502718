"""The main table: one shape of one cell, ours beside torch, jax and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernel_bench import ours
from kernel_bench.agreement import Disagreement, agree
from kernel_bench.jax_peer import jax_peer, jax_results
from kernel_bench.onnx_peer import onnx_peer, onnx_results
from kernel_bench.shapes import Shape, flops, letters
from kernel_bench.summary import LAYER, ONE_STEP, OURS, Row
from kernel_bench.timing import Run, timed

Results = dict[str, Tensor]


def case(cell: str, shape: Shape, rounds: int, say: Callable[[str], None] = print) -> Row:
    """Check every engine against torch, then time those that agree.

    Args:
        cell: `"elman"`, `"gru"` or `"lstm"`.
        shape: T, B, I, H.
        rounds: blocks of each engine.
        say: where a peer that is not timed, and why, is told.

    Raises:
        SystemExit: our own numbers are wrong.
    """
    layer, theirs = ours.layers(cell, shape)
    x, dy = ours.data(shape)
    want = ours.results(theirs, x, dy)
    try:
        agree(ours.results(layer, x, dy), want, shape)
    except Disagreement as wrong:
        raise SystemExit(f"not timed: {cell} {letters(shape)}: {wrong}") from wrong
    forward: dict[str, Run] = {OURS: lambda: layer(x), "torch": lambda: theirs(x)}
    train: dict[str, Run] = {
        OURS: lambda: ours.gradients(layer, x, dy),
        "torch": lambda: ours.gradients(theirs, x, dy),
    }

    def allowed(name: str, got: Results) -> bool:
        try:
            agree(got, {key: want[key] for key in got}, shape)
        except (Disagreement, KeyError) as wrong:
            say(f"{name} not timed: {cell} {letters(shape)}: {wrong}")
            return False
        return True

    jax = jax_peer(cell, theirs, x, dy)
    if jax and allowed("jax", jax_results(theirs, jax)):
        forward["jax"], train["jax"] = jax
    onnx = onnx_peer(cell, theirs, x)
    if onnx and allowed("onnxruntime", onnx_results(onnx)):
        forward["onnxruntime"] = onnx
    with torch.no_grad():
        if shape[0] == 1:
            forward = one_step(cell, layer, theirs, x, forward, want, allowed)
        times = timed(forward, rounds)
    return Row(cell, shape, flops(cell, shape), times, timed(train, rounds))


def one_step(
    cell: str,
    layer: torch.nn.RNNBase,
    theirs: torch.nn.RNNBase,
    x: Tensor,
    forward: dict[str, Run],
    want: Results,
    allowed: Callable[[str, Results], bool],
) -> dict[str, Run]:
    """For one step, ours and torch also by the call that each has for just that.

    Ours by that call is then the one that is compared, and our layer is shown beside it. torch's
    is one more peer.
    """
    forward = dict(forward)
    step = ours.torch_step(cell, theirs, x)
    if allowed(ONE_STEP, {"y": _output(step()).unsqueeze(0)}):
        forward[ONE_STEP] = step
    step_of_ours = ours.stepper(layer, x)
    if step_of_ours is None:
        return forward
    try:
        agree({"y": step_of_ours().unsqueeze(0)}, {"y": want["y"]}, (*x.shape, layer.hidden_size))
    except Disagreement as wrong:
        raise SystemExit(f"not timed: recurnn.stepper, {cell}: {wrong}") from wrong
    forward[LAYER] = forward[OURS]
    forward[OURS] = step_of_ours
    return forward


def _output(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]
