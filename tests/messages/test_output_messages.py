"""Every error of the output layer, by its text."""
# ruff: noqa: E501 (a message stays in one piece, beside what causes it)

from __future__ import annotations

import re

import pytest
import torch

from recurnn.compiler import Unsupported
from recurnn.errors import ConfigError, EngineError, ShapeError
from recurnn.nn import LinearCrossEntropy, cross_entropy, linear_cross_entropy

H, W, T = torch.zeros(4, 2, 3), torch.zeros(7, 3), torch.zeros(4, 2, dtype=torch.int64)

CALLS = [
    (lambda: linear_cross_entropy(H, W[:, :2], T), "the weight does not fit h.\n  weight is [7, 2]; expected [V, H] with H = 3, because h is [4, 2, 3]."),
    (lambda: linear_cross_entropy(H, W[0], T), "the weight does not fit h.\n  weight is [3]; expected [V, H] with H = 3"),
    (lambda: linear_cross_entropy(H, W, T[0]), "the target does not fit h.\n  target is [2] of torch.int64; expected [4, 2] of torch.int64, because h is [4, 2, 3]."),
    (lambda: linear_cross_entropy(H, W, T.int()), "target is [4, 2] of torch.int32; expected [4, 2] of torch.int64"),
    (lambda: linear_cross_entropy(H, W, T, torch.zeros(3)), "the bias does not fit the weight.\n  bias is [3]; expected [V] = [7], because weight is [7, 3]."),
    (lambda: linear_cross_entropy(H, W.double(), T), "types or devices differ, or are not of floating point.\n  h is torch.float32 on cpu, weight is torch.float64 on cpu."),
    (lambda: linear_cross_entropy(H, W, T + 7), "a target is out of range.\n  Targets go from 7 to 7; expected 0 to V − 1 = 6, or ignore_index = -100."),
    (lambda: linear_cross_entropy(H, W, T - 1, ignore_index=2), "Targets go from -1 to -1; expected 0 to V − 1 = 6, or ignore_index = 2."),
    (lambda: linear_cross_entropy(H, W, T, reduction="average"), "reduction: there is no 'average'.\n  Known: mean, sum, none."),
    (lambda: linear_cross_entropy(H, W, T, engine="gpu"), "engine: there is no 'gpu'."),
    (lambda: LinearCrossEntropy(3, 7, reduction="max"), "reduction: there is no 'max'."),
    (lambda: LinearCrossEntropy(3, 7, engine="gpu"), "engine: there is no 'gpu'."),
    (lambda: LinearCrossEntropy(3, 8, tied=torch.nn.Parameter(W)), "LinearCrossEntropy: the tied weights do not fit.\n  They are [7, 3]; expected [V, H] = [8, 3]."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_calls(call, message) -> None:
    with pytest.raises((ShapeError, ConfigError), match=re.escape(message)):
        call()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative(reduction) -> None:
    weight = W.clone().requires_grad_()
    loss = linear_cross_entropy(H, weight, T, reduction=reduction).sum()
    with pytest.raises(ConfigError, match=r"create_graph=True asks for a second derivative.\n  "):
        torch.autograd.grad(loss, weight, create_graph=True)


def test_no_compiler(monkeypatch, caplog) -> None:
    def refuse(dtype) -> None:
        raise Unsupported("there is no C++ compiler")

    monkeypatch.setattr("recurnn.compiler.has_cross_entropy", refuse)
    cross_entropy._why_not.cache_clear()
    try:
        message = "the engine 'cpu' cannot run this.\n  there is no C++ compiler."
        with pytest.raises(EngineError, match=re.escape(message)):
            linear_cross_entropy(H, W, T, engine="cpu")
        assert linear_cross_entropy(H, W, T).item() == pytest.approx(torch.tensor(7.0).log())
        said = [r.message for r in caplog.records]
        assert said == [
            "linear_cross_entropy runs on the reference engine: there is no C++ compiler"
        ]
    finally:
        cross_entropy._why_not.cache_clear()


def test_another_device() -> None:
    h, weight = H.to("meta"), W.to("meta")
    with pytest.raises(EngineError, match="there is no kernel for meta"):
        linear_cross_entropy(h, weight, T.to("meta"), engine="cpu")
