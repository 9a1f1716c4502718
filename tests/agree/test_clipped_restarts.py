"""Clipping inside the recurrence together with resets to given states and with spans of time."""

import pytest
import torch

from recurnn import cells, nn, scan


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "T"), [("LSTM", 9), ("MinGRU", 300)])
def test_kernel_is_reference(name, T, reverse):
    torch.manual_seed(0)
    cell = getattr(cells, name)(3, 5)
    parameters = {k.split(".")[-1]: v for k, v in nn.Recurrent(cell).named_parameters()}
    x = torch.randn(T, 2, 3, requires_grad=True)
    starts, again = (
        {k: torch.randn(2, 5, requires_grad=True) for k in cell.states} for _ in range(2)
    )
    reset = torch.zeros(T, 2, dtype=torch.bool)
    reset[4, 0] = reset[6, 1] = reset[0, 1] = True
    seeds = 5 * torch.randn(T, 2, 5)
    found = {}
    for engine in ("reference", "cpu"):
        result = scan(
            cell, x, starts, parameters=parameters, engine=engine, reset=reset, reset_state=again,
            lengths=torch.tensor([T, T - 2]), clip_gradient=0.7, reverse=reverse,
        )  # fmt: skip
        wanted = [x, *starts.values(), *again.values(), *parameters.values()]
        found[engine] = torch.autograd.grad(result.output, wanted, seeds)
    for ours, theirs in zip(found["cpu"], found["reference"], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 if T > 9 else 1e-5)
    # Clipped on its way to the initial state, and as it is on its way to those of resets.
    n = len(starts)
    assert max(float(g.abs().max()) for g in found["cpu"][1 : 1 + n]) <= 0.7
    assert max(float(g.abs().max()) for g in found["cpu"][1 + n : 1 + 2 * n]) > 0.7
