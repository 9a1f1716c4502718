"""The inputs with which PyTorch tests its own recurrent modules, run on ours."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from tolerance import agree

F64 = torch.float64
NAMES = ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"]

# In a process of its own, since torch's test package changes flags and profiles when imported.
# It wants a package `expecttest`, of which these inputs need nothing.
READ = """
import functools, sys, types, unittest, torch
sys.modules.setdefault("expecttest", types.SimpleNamespace(TestCase=unittest.TestCase))
from torch.testing._internal import common_modules
# Not from −9 to 9, where a saturated unit loses digits that no sum explains.
common_modules.make_tensor = functools.partial(common_modules.make_tensor, low=-1, high=1)
torch.manual_seed(int(sys.argv[1]))
found = []
for info in common_modules.module_db:
    name = info.module_cls.__name__
    if info.module_cls.__module__ == "torch.nn.modules.rnn":
        for training in (True, False):
            for s in info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
            ):
                made, given = s.constructor_input, s.forward_input
                found.append((name, made.args, made.kwargs, given.args, given.kwargs))
torch.save(found, sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def samples() -> list[Any]:
    """Name, arguments of the constructor and arguments of the call, as torch's tests have them."""
    read = [sys.executable, "-W", "ignore", "-c", READ, "1"]
    done = subprocess.run(read, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: list[Any] = torch.load(io.BytesIO(done.stdout), weights_only=False)
    return found


def tensors(value: Any, name: str) -> dict[str, Tensor]:
    """Every tensor inside a value, by a name of its own."""
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return {name: value.data}
    parts = value if isinstance(value, tuple | list) else ()
    return {k: v for n, part in enumerate(parts) for k, v in tensors(part, f"{name}.{n}").items()}


@pytest.mark.parametrize("name", NAMES)
def test_ours_gives_what_torch_gives_on_torchs_own_inputs(name: str, samples: list[Any]) -> None:
    mine = [sample[1:] for sample in samples if sample[0] == name]
    assert len(mine) >= 4
    for args, options, given, more in mine:
        theirs = getattr(torch.nn, name)(*args, **options, dtype=F64)
        ours = getattr(recurnn.nn, name)(*args, **options, dtype=F64)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        results = []
        for module in (ours, theirs):
            outputs = tensors(module(*given, **more), "out")
            inputs = tensors(given, "in") | dict(module.named_parameters())
            results.append(with_gradients(outputs, inputs))
        agree(*results, terms=200)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bias", [True, False])
def test_one_step_and_layer_start_from_the_same_numbers(name: str, bias: bool) -> None:
    made = []
    for where in (recurnn.nn, torch.nn):
        torch.manual_seed(3)
        made.append(getattr(where, name)(4, 6, bias=bias).state_dict())
    assert list(made[0]) == list(made[1])
    assert all(torch.equal(made[0][k], made[1][k]) for k in made[0])


@pytest.mark.parametrize("name", NAMES[3:])
@pytest.mark.parametrize("bias", [True, False])
def test_one_step_is_torchs(name: str, bias: bool) -> None:
    options = [{}, {"nonlinearity": "relu"}] if name == "RNNCell" else [{}]
    for option in options:
        theirs = getattr(torch.nn, name)(4, 6, bias, **option, dtype=F64)
        ours = getattr(recurnn.nn, name)(4, 6, bias, **option, dtype=F64)
        ours.load_state_dict(theirs.state_dict())
        assert repr(ours) == repr(theirs)
        x = torch.randn(3, 4, dtype=F64, requires_grad=True)
        h, c = (torch.randn(3, 6, dtype=F64, requires_grad=True) for _ in range(2))
        for state in (None, (h, c) if name == "LSTMCell" else h):
            results = []
            for module in (ours, theirs):
                inputs = {"x": x} | tensors(state, "s") | dict(module.named_parameters())
                results.append(with_gradients(tensors(module(x, state), "out"), inputs))
            agree(*results, terms=50)
