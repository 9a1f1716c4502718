"""Devices, precision and processes: Hugging Face Accelerate's, seen from a training run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

_PRECISION = {"float32": "no", "bfloat16": "bf16"}


def is_main() -> bool:
    """Whether this is the process that prints and writes files: the only one, or the first."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """This process among those that train together: one alone, or as many as torchrun started.

    Args:
        precision: ``"float32"`` or ``"bfloat16"``.
    """

    def __init__(self, precision: str = "float32") -> None:
        _join()
        wanted = _PRECISION[precision]
        if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
            AcceleratorState._reset_state(reset_partial_state=False)
        # Without being told that there is nothing but CPUs, Accelerate joins no processes on them.
        self._accelerator = Accelerator(
            mixed_precision=wanted, cpu=not torch.accelerator.is_available()
        )
        self.device: torch.device = self._accelerator.device
        self.count: int = self._accelerator.num_processes
        self.rank: int = self._accelerator.process_index
        self.is_main: bool = self._accelerator.is_main_process

    def autocast(self) -> AbstractContextManager[Any]:
        """In which the network is run."""
        return self._accelerator.autocast()  # type: ignore[no-any-return]

    def same_start(self, module: nn.Module) -> None:
        """Give every process the weights and buffers of the main one."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                tensor.copy_(broadcast(tensor))

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums of some numbers over all processes."""
        if self.count == 1:
            return list(values)
        mine = torch.tensor(values, dtype=torch.float64, device=self._exact)
        return [float(v) for v in self._accelerator.reduce(mine, reduction="sum")]

    def sum_gradients(self, weights: Sequence[nn.Parameter], factor: float) -> None:
        """Give every process the sum of all gradients, times a factor, in one exchange.

        The buffers of a network (of batch normalisation, say) stay each process's own.
        """
        if self.count == 1:
            if factor != 1:
                torch._foreach_mul_([w.grad for w in weights if w.grad is not None], factor)
            return
        for kind in {w.dtype for w in weights}:
            same = [w for w in weights if w.dtype == kind]
            parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in same]
            flat = torch.cat([p.reshape(-1) for p in parts]).mul_(factor)
            flat = self._accelerator.reduce(flat, reduction="sum")
            for w, part in zip(same, flat.split([w.numel() for w in same]), strict=True):
                w.grad = part.view_as(w).clone()

    def gathered(self, value: Any) -> list[Any]:
        """What each process has, in their order; tensors on the CPU."""
        return [value] if self.count == 1 else list(gather_object([value]))

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    @property
    def _exact(self) -> torch.device:
        """Where float64 can be had."""
        return torch.device("cpu") if self.device.type == "mps" else self.device


def _join() -> None:
    """Join the other processes, if torchrun started some.

    Accelerate would do it, but workers that are started again would then find the addresses of
    the dead ones: torchrun's store outlives them, so what is written there is kept apart by the
    number of the restart.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT")
    if attempt is None or int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    store, rank, count = next(rendezvous("env://"))
    dist.init_process_group(
        None if torch.accelerator.is_available() else "gloo",
        store=PrefixStore(f"attempt-{attempt}", store),
        rank=rank,
        world_size=count,
    )


def device_of(module: nn.Module) -> torch.device:
    """Where a network's weights are; of one without weights, the CPU."""
    return next(module.parameters(), torch.empty(0)).device
