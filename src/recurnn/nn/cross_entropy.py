"""Softmax cross-entropy of a linear layer over a large vocabulary, some rows at a time."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurnn import compiler
from recurnn.autocast import autocast_on, halves_products
from recurnn.compiler import Losses
from recurnn.errors import ConfigError, EngineError, ShapeError, one_of
from recurnn.scan import ENGINES

REDUCTIONS = ("mean", "sum", "none")
_log = logging.getLogger("recurnn")
Run = Callable[..., Losses]


def linear_cross_entropy(
    h: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    return_losses: bool = False,
    engine: str = "auto",
) -> Any:
    """Softmax cross-entropy of a linear layer, without ever holding the logits of all rows.

    The value and the gradients are those of ``F.cross_entropy(F.linear(h, weight, bias), target)``.
    Logits of some rows at a time become probabilities where they lie, and are used up at once: for
    a mean or a sum the gradients are made in the forward pass, in three products; for losses one by
    one the backward pass makes the logits anew, which is a fourth. There is no second derivative.

    Args:
        h: [..., H], of float32, float64 or bfloat16; under autocast it takes the weight's type.
            Under autocast to bfloat16 the products of float32 weights take their operands rounded
            to it where the processor has a matrix unit for them (AMX); sums, losses and gradients
            are float32 in any case.
        weight: W, [V, H].
        target: whole numbers from 0 to V − 1, of the shape of `h` without H.
        bias: b, [V], or None.
        ignore_index: rows with this target do not count.
        reduction: ``"mean"`` over the rows that count, ``"sum"`` or ``"none"``.
        return_losses: whether to return the loss of every row besides, without a gradient.
        engine: ``"cpu"``: the compiled kernel; ``"reference"``: torch's products, on any device;
            ``"auto"``: the kernel where there is one.

    Returns:
        The loss, or the losses in the shape of `target` for ``"none"``; with `return_losses` the
        pair of the loss and the losses. Of bfloat16 they are float32.

    Raises:
        ShapeError: shapes, types or targets that do not fit.
        ConfigError: an unknown reduction or engine; a second derivative is asked for.
        EngineError: the engine asked for by name cannot run this.

    Example:
        >>> h, weight = torch.randn(5, 2, 8), torch.randn(1000, 8, requires_grad=True)
        >>> loss = linear_cross_entropy(h, weight, torch.randint(1000, (5, 2)))
        >>> loss.backward()
        >>> loss.shape, weight.grad.shape
        (torch.Size([]), torch.Size([1000, 8]))
    """
    if reduction not in REDUCTIONS:
        raise one_of("reduction", reduction, REDUCTIONS)
    if torch._C._is_any_autocast_enabled() and autocast_on(h.device.type):
        h, bias = h.to(weight.dtype), None if bias is None else bias.to(weight.dtype)
    _check(h, weight, target, bias)
    given = (h.reshape(-1, h.shape[-1]), weight, bias)
    flat = target.reshape(-1)
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        # What these look into has to be torch's own.
        logits = F.linear(*given).to(_kind(weight))
        losses = F.cross_entropy(logits, flat, ignore_index=ignore_index, reduction="none")
        loss = losses.sum()
        if reduction == "mean":
            loss = loss / (flat != ignore_index).sum()
    else:
        run = _engine(engine, weight)
        flat, counted = _counted(flat, ignore_index, len(weight))
        share = 1 / counted if reduction == "mean" and counted else 1.0
        wants = [torch.is_grad_enabled() and t is not None and t.requires_grad for t in given]
        if not any(wants):
            losses = run(*given, flat, None).losses
            loss = losses.sum() * share
        elif reduction == "none":
            losses = loss = _each_loss(run, wants, flat, *given)
        else:
            loss, losses = _total_loss(run, wants, flat, share, *given)
        if reduction == "mean" and not counted:
            loss = loss * math.nan  # a mean of nothing, as torch has it
    if reduction == "none":
        loss = losses.view(target.shape)
    return (loss, losses.detach().view(target.shape)) if return_losses else loss


class _TotalLoss(torch.autograd.Function):
    """The losses times `share`, summed, with gradients that are made on the way; and the losses."""

    @staticmethod
    def forward(
        ctx: Any, run: Run, wants: Sequence[bool], target: Tensor, share: float, h: Tensor,
        weight: Tensor, bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        losses, found = run(h, weight, bias, target, _scale(h, share), wants)
        ctx.run, ctx.wants, ctx.share, ctx.found = run, wants, share, found
        ctx.save_for_backward(target, h, weight, bias)
        ctx.mark_non_differentiable(losses)
        ctx.set_materialize_grads(False)
        return losses.sum() * share, losses

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, _: Any) -> Any:
        if slope is None:
            return (None,) * 7
        _refuse_second()
        # What was made belongs to this pass; another one, over a kept graph, makes it again.
        found, ctx.found = ctx.found, None
        if found is None:
            target, h, weight, bias = ctx.saved_tensors
            found = ctx.run(h, weight, bias, target, _scale(h, ctx.share), ctx.wants).found
        if slope.device.type != "cpu" or float(slope) != 1.0:
            for gradient in found:
                if gradient is not None:
                    gradient.mul_(slope)
        return None, None, None, None, *found


class _EachLoss(torch.autograd.Function):
    """Losses one by one: how much each counts is known in the backward pass only."""

    @staticmethod
    def forward(
        ctx: Any, run: Run, wants: Sequence[bool], target: Tensor, h: Tensor, weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:  # fmt: skip
        ctx.run, ctx.wants = run, wants
        ctx.save_for_backward(target, h, weight, bias)
        return run(h, weight, bias, target, None).losses

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        _refuse_second()
        target, h, weight, bias = ctx.saved_tensors
        return None, None, None, *ctx.run(h, weight, bias, target, slope, ctx.wants).found


_total_loss: Callable[..., tuple[Tensor, Tensor]] = _TotalLoss.apply
_each_loss: Callable[..., Tensor] = _EachLoss.apply


def _refuse_second() -> None:
    if torch.is_grad_enabled():
        raise ConfigError(
            "linear_cross_entropy: create_graph=True asks for a second derivative.\n"
            "  There is none. Use F.cross_entropy(F.linear(h, weight, bias), target), which holds "
            "all logits."
        )


def _scale(h: Tensor, share: float) -> Tensor:
    return torch.full((len(h),), share, dtype=_kind(h), device=h.device)


def _kind(t: Tensor) -> torch.dtype:
    """What losses are computed in."""
    return torch.float64 if t.dtype == torch.float64 else torch.float32


def in_torch(
    h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, scale: Tensor | None,
    wants: Sequence[bool] = (False, False, False),
) -> Losses:  # fmt: skip
    """What the kernel computes, by torch's products, some rows at a time.

    Args:
        h: [N, H].
        weight: W, [V, H].
        bias: b, [V], or None.
        target: [N]; below 0 a row does not count.
        scale: dL/dloss of each row, [N], or None for no gradients.
        wants: whether dh, dW and db are wanted.
    """
    kind = _kind(weight)
    losses = torch.empty(len(h), dtype=kind, device=h.device)
    dh, dweight, dbias = (
        torch.zeros(shape, dtype=kind if k else h.dtype, device=h.device)
        if w and scale is not None
        else None
        for k, (shape, w) in enumerate(zip((h.shape, weight.shape, weight.shape[:1]), wants,
                                           strict=True))
    )  # fmt: skip
    group = compiler.group_of(max(len(h), 1), len(weight), 4)
    for start in range(0, len(h), group):
        some = slice(start, start + group)
        counts, t = target[some] >= 0, target[some].clamp(min=0).unsqueeze(1)
        logits = F.linear(h[some], weight, bias).to(kind)
        all_ = logits.logsumexp(1, keepdim=True)
        losses[some] = torch.where(counts, (all_ - logits.gather(1, t)).squeeze(1), 0)
        if scale is None:
            continue
        p = logits.sub_(all_).exp_()
        p.scatter_add_(1, t, p.new_full((len(t), 1), -1.0))
        p = p.mul_(torch.where(counts, scale[some].to(kind), 0).unsqueeze(1))
        if dbias is not None:
            dbias += p.sum(0)
        q = p.to(h.dtype)
        if dh is not None:
            torch.mm(q, weight, out=dh[some])
        if dweight is not None and dweight.dtype == q.dtype:
            dweight.addmm_(q.T, h[some])
        elif dweight is not None:
            dweight += q.T @ h[some]
    found = [None if g is None else g.to(weight.dtype) for g in (dh, dweight, dbias)]
    return Losses(losses, found)


def _engine(engine: str, weight: Tensor) -> Run:
    if engine not in ENGINES:
        raise one_of("engine", engine, ENGINES)
    half = halves_products(weight)
    kind = torch.bfloat16 if half else weight.dtype
    reason = "" if engine == "reference" else _why_not(kind, weight.device.type)
    if reason and engine == "cpu":
        raise EngineError(
            f"linear_cross_entropy: the engine 'cpu' cannot run this.\n  {reason}.\n"
            "  Use engine='auto' or engine='reference'."
        )
    if reason or engine == "reference":
        return in_torch
    return functools.partial(compiler.cross_entropy, half=half)


@functools.cache
def _why_not(dtype: torch.dtype, device: str) -> str:
    """Why there is no kernel; empty where there is one."""
    if device != "cpu":
        return f"there is no kernel for {device}"
    try:
        compiler.has_cross_entropy(dtype)
    except compiler.Unsupported as reason:
        _log.warning("linear_cross_entropy runs on the reference engine: %s", reason)
        return str(reason)
    return ""


def _check(h: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None) -> None:
    """Refuse shapes and types that do not fit."""
    H, V = h.shape[-1], weight.shape[0]
    if weight.dim() != 2 or weight.shape[1] != H:
        raise ShapeError(
            "linear_cross_entropy: the weight does not fit h.\n"
            f"  weight is {list(weight.shape)}; expected [V, H] with H = {H}, because h is "
            f"{list(h.shape)}."
        )
    if target.shape != h.shape[:-1] or target.dtype != torch.int64:
        raise ShapeError(
            "linear_cross_entropy: the target does not fit h.\n"
            f"  target is {list(target.shape)} of {target.dtype}; expected "
            f"{list(h.shape[:-1])} of torch.int64, because h is {list(h.shape)}."
        )
    if bias is not None and tuple(bias.shape) != (V,):
        raise ShapeError(
            "linear_cross_entropy: the bias does not fit the weight.\n"
            f"  bias is {list(bias.shape)}; expected [V] = [{V}], because weight is "
            f"{list(weight.shape)}."
        )
    kinds = {"h": h, "weight": weight} | ({} if bias is None else {"bias": bias})
    if len({(t.dtype, t.device) for t in kinds.values()}) > 1 or not h.is_floating_point():
        each = ", ".join(f"{k} is {t.dtype} on {t.device}" for k, t in kinds.items())
        raise ShapeError(
            "linear_cross_entropy: types or devices differ, or are not of floating point.\n"
            f"  {each}."
        )


def _counted(target: Tensor, ignore_index: int, V: int) -> tuple[Tensor, int]:
    """Targets with −1 where a row does not count, and how many do."""
    counts = target != ignore_index
    counted = int(counts.sum())
    if counted < len(target):
        target = torch.where(counts, target, -1)
    real = target if counted == len(target) else target[counts]
    if counted:
        least, most = int(real.min()), int(real.max())
        if least < 0 or most >= V:
            raise ShapeError(
                "linear_cross_entropy: a target is out of range.\n"
                f"  Targets go from {least} to {most}; expected 0 to V − 1 = {V - 1}, or "
                f"ignore_index = {ignore_index}."
            )
    return target, counted
