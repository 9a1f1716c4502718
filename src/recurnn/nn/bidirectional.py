"""Any layer in both directions."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.checks import check_lengths, check_reset
from recurnn.errors import ConfigError, ShapeError, one_of
from recurnn.nn.base import TorchLayer
from recurnn.nn.masks import along_time, real_steps
from recurnn.nn.merge import MERGED, Output
from recurnn.nn.options import MERGES, SHARES
from recurnn.nn.recurrent import Recurrent
from recurnn.nn.results import (
    LayerResult,
    at_every_step,
    batch_first_of,
    check_ours,
    is_recurrent,
    run_layer,
)
from recurnn.nn.scanned import Lengths
from recurnn.nn.weights import SHARED
from recurnn.norms import check_distinct, move


class Bidirectional(nn.Module):
    """A layer run in both directions, and the two outputs merged.

    Args:
        layer: the layer that runs forward: a `Recurrent`, a drop-in, a `Stack`, a `ConvLSTM`.
        backward: the one that runs from the last real step of each row to the first; by default
            one like `layer` with weights of its own, drawn afresh.
        merge: ``"concat"``, ``"sum"``, ``"mean"``, ``"mul"``; None for the pair of outputs.
        share: weights that both have in common. Of a `Recurrent`: ``"input"``, those that
            multiply x, and the biases; ``"recurrent"``, all others; ``"both"``. Of a drop-in the
            same as its own `share` (each layer's, where there are several), or ``"both"``, all.
            Of any other layer ``"both"`` only.

    Raises:
        ConfigError: an unknown `merge` or `share`, or a layer that cannot share so.

    Example:
        >>> import torch
        >>> from recurnn import cells, nn
        >>> layer = nn.Bidirectional(nn.Recurrent(cells.PeepholeLSTM(3, 8)), merge="sum")
        >>> output, (forward, backward), *_ = layer(torch.randn(7, 2, 3), lengths=[7, 4])
        >>> output.shape, forward["c"].shape
        (torch.Size([7, 2, 8]), torch.Size([2, 8]))
    """

    is_recurrent = True

    def __init__(
        self,
        layer: nn.Module,
        backward: nn.Module | None = None,
        *,
        merge: str | None = "concat",
        share: str | None = None,
    ) -> None:
        super().__init__()
        if merge not in MERGES:
            raise one_of("Bidirectional: merge", merge, [str(m) for m in MERGES])
        if share not in SHARES:
            raise one_of("Bidirectional: share", share, [str(s) for s in SHARES])
        if backward is not None and share is not None:
            raise ConfigError(
                "Bidirectional: share with a layer of one's own for the way back.\n"
                "  Share the parameters there, or leave `backward` out."
            )
        for one in (layer, backward):
            if one is not None:
                check_ours("Bidirectional", one)
            if one is not None and not is_recurrent(one):
                raise ConfigError(
                    f"Bidirectional: a {type(one).__name__} has no direction.\n"
                    "  Expected a recurrent layer: a Recurrent, RNN, GRU, LSTM, ConvLSTM or Stack."
                )
        self.forward_layer = layer
        self.backward_layer = _another(layer) if backward is None else backward
        self.merge = merge
        self.share = share
        if share is not None:
            _share(layer, self.backward_layer, share)

    @property
    def batch_first(self) -> bool:
        """As the layer that runs forward."""
        return batch_first_of(self.forward_layer)

    def forward(
        self,
        x: Tensor,
        state: Any = None,
        *,
        lengths: Lengths = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        gradient_norms: Any = None,
        **options: Any,
    ) -> LayerResult:
        """Run both layers.

        Args:
            x: input, as the layer takes it.
            state: a pair of initial states, one for each direction.
            lengths: real steps of each row, [B].
            mask: which steps are real, instead of lengths.
            reset: where a new sequence begins, of the same shape as mask.
            gradient_norms: a pair of what the backward pass fills, one for each direction, each as
                that layer takes it; the norms stand at the steps of x, [T, B] in any case.
            **options: ``return_states`` and ``return_gates``, as the layer takes them.

        Returns:
            Output, the pair of final states, and pairs of what else was asked for.
        """
        first, second = (None, None) if state is None else _pair(state)
        norms = (None, None) if gradient_norms is None else _pair_of_norms(gradient_norms)
        batch_first = self.batch_first
        T, B = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
        steps = None
        if mask is not None:
            mask = mask.transpose(0, 1) if batch_first else mask
            steps = real_steps("Bidirectional", T, B, lengths, mask)
            lengths = steps.lengths
        x = x.transpose(0, 1) if batch_first else x
        lengths = check_lengths("Bidirectional", x, lengths)
        if steps is not None:
            x = steps.front(x)
        if reset is not None:
            reset = reset.transpose(0, 1) if batch_first else reset
            reset = check_reset("Bidirectional", x, reset)
            reset = reset if steps is None or reset is None else steps.front(reset)
        one, other = (options | {"gradient_norms": n} for n in norms)
        a = _timed(self.forward_layer, x, first, lengths, reset, one)
        b = self._back(x, second, lengths, reset, other)
        if steps is not None and steps.inverse is not None:
            move(norms, steps.inverse)

        def shown(y: Tensor) -> Tensor:
            y = y if steps is None else steps.back(y)
            return y.transpose(0, 1) if batch_first else y

        pair = shown(a.output), shown(b.output)
        output: Output = pair if self.merge is None else self._merged(*pair)
        others = at_every_step(((a.states, b.states), (a.gates, b.gates)), shown)
        return LayerResult(output, (a.state, b.state), *others)

    def _back(
        self, x: Tensor, state: Any, lengths: Lengths, reset: Tensor | None, options: dict[str, Any]
    ) -> LayerResult:
        layer = self.backward_layer
        if isinstance(layer, Recurrent):
            return _timed(layer, x, state, lengths, reset, options)
        index = _backwards(x.shape[0], x.shape[1], lengths, x.device)
        if reset is not None:
            # A step that begins a sequence ends it on the way back: the one after it begins anew.
            turned = along_time(reset, index)
            reset = torch.cat([torch.zeros_like(turned[:1]), turned[:-1]])
        found = _timed(layer, along_time(x, index), state, lengths, reset, options)

        def turn(values: Tensor) -> Tensor:
            return along_time(values, index)

        move(options["gradient_norms"], index)
        y, state, *others = found
        return LayerResult(turn(y), state, *at_every_step(others, turn))

    def _merged(self, a: Tensor, b: Tensor) -> Tensor:
        if self.merge != "concat" and a.shape != b.shape:
            raise ShapeError(
                f"Bidirectional: merge={self.merge!r} needs outputs of one size.\n"
                f"  They are {list(a.shape)} and {list(b.shape)}: give both layers the same size, "
                "or merge='concat'."
            )
        if self.merge == "concat":
            return torch.cat([a, b], dim=2)  # the channels, also of images
        return MERGED[str(self.merge)](a, b)

    def extra_repr(self) -> str:
        """How the outputs are merged, and what is shared."""
        return f"merge={self.merge!r}" + (f", share={self.share!r}" if self.share else "")


def _pair(state: Any) -> tuple[Any, Any]:
    """The states of both directions."""
    if not isinstance(state, tuple | list) or len(state) != 2:
        got = f"{len(state)} entries" if isinstance(state, tuple | list) else type(state).__name__
        raise ShapeError(
            f"Bidirectional: state is not a pair.\n  Got {got}; expected the states of the layer "
            "that runs forward, and those of the one that runs back."
        )
    return state[0], state[1]


def _pair_of_norms(given: Any) -> tuple[Any, Any]:
    """What is filled for both directions."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ConfigError(
            "Bidirectional: gradient_norms is not a pair.\n  Expected those of the layer that runs "
            "forward, and those of the one that runs back: "
            "(recurnn.GradientNorms(), recurnn.GradientNorms())."
        )
    check_distinct("Bidirectional", given)
    return given[0], given[1]


def _timed(
    layer: nn.Module, x: Tensor, state: Any, lengths: Lengths, reset: Tensor | None,
    options: dict[str, Any],
) -> LayerResult:  # fmt: skip
    """Run a layer of either layout on x [T, B, ...]; results at every step likewise."""
    return run_layer(layer, x, state, lengths=lengths, reset=reset, **options)


def _backwards(T: int, B: int, lengths: Lengths, device: torch.device) -> Tensor:
    """Where each step of each row comes from when its real steps are turned round, [T, B]."""
    steps = torch.arange(T, device=device).unsqueeze(1)
    if lengths is None:
        return (T - 1 - steps).expand(T, B)
    ends = torch.as_tensor(lengths, device=device)
    return torch.where(steps < ends, ends - 1 - steps, steps)


def _another(layer: nn.Module) -> nn.Module:
    """A layer like another, with weights drawn afresh, that runs the other way if it can."""
    found = copy.deepcopy(layer)
    for module in found.modules():
        if isinstance(reset := getattr(module, "reset_parameters", None), type(found.forward)):
            reset()
    if isinstance(found, Recurrent):
        found.reverse = not found.reverse
    return found


def _share(layer: nn.Module, other: nn.Module, share: str) -> None:
    if isinstance(layer, Recurrent) and isinstance(other, Recurrent):
        cell: Cell = layer.cell
        for name, letters in cell.weights.items():
            of_input = "I" in letters.split() or name.split("_")[0] == "b"
            if name not in cell.absent and share in ("both", "input" if of_input else "recurrent"):
                setattr(other.cell, name, getattr(cell, name))
    elif isinstance(layer, TorchLayer) and share != "both":
        for name, weight in list(layer.named_parameters()):
            if name.split("_l")[0] in SHARED[share]:
                setattr(other, name, weight)
    elif share == "both":
        for name, weight in list(layer.named_parameters()):
            path, _, last = name.rpartition(".")
            setattr(other.get_submodule(path), last, weight)
    else:
        raise ConfigError(
            f"Bidirectional: share={share!r} with a {type(layer).__name__}.\n"
            "  Which weights are the input's is known of a Recurrent, RNN, GRU and LSTM: "
            "share='both' shares all."
        )
