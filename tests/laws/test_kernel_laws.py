"""What must hold of a compiled kernel whatever it is called from: threads, forks, torch's tools."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from kernels import CPU, REFERENCE, tame, threads
from layers import Case, outcome
from problems import KINDS, normal, states_of
from recurnn import compiler, nn
from recurnn.cells import Cell
from recurnn.compiler import engine, kernel
from recurnn.compiler.kernel import Kernel
from recurnn.compiler.layout import Layout
from tolerance import agree, identical

Values = dict[str, Tensor]


def problem(
    kind: str = "lstm",
    T: int = 6,
    B: int = 4,
    I: int = 3,  # noqa: E741 - the field's own letter
    H: int = 9,
    dtype: torch.dtype = torch.float64,
) -> tuple[Cell, Tensor, Values]:
    cell = tame(KINDS[kind].make(I, H, dtype=dtype))
    return cell, normal(T, B, I, seed=1, dtype=dtype), states_of(cell, B, seed=2)


def full(run: Any, cell: Cell, x: Tensor, start: Any, **options: Any) -> recurnn.ScanResult:
    """With all states and gates, so that one kernel of each cell serves all tests."""
    result: recurnn.ScanResult = run(
        cell, x, start, return_states="all", return_gates=True, **options
    )
    return result


def everything(cell: Cell, x: Tensor, start: Values, run: Any = CPU, **options: Any) -> Values:
    result = full(run, cell, x, start, **options)
    assert result.states is not None
    assert result.gates is not None
    outputs = {"y": result.output} | {f"last {k}": v for k, v in result.state.items()}
    outputs |= {f"all {k}": v for k, v in result.states.items()}
    outputs |= {f"gate {k}": v for k, v in result.gates.items()}
    return with_gradients(outputs, {"x": x} | start | dict(cell.named_parameters()))


# Threads


LENGTHS = [6, 2, 0, 5, 6, 6, 1, 3] * 6
TEAMS = {  # sizes at which threads are worth starting
    "rows": ("lstm", 8, 45, 33, 65, {}),
    "rows of any length": ("lstm", 6, 48, 33, 65, {"lengths": LENGTHS}),
    "rows with sums": ("layernorm-lstm", 4, 13, 70, 130, {}),
    "units": ("lstm", 3, 15, 256, 257, {}),
    "units, two phases": ("reset-before-gru", 3, 12, 250, 330, {"reverse": True}),
    "units of any length": ("lstm", 6, 15, 256, 250, {"lengths": LENGTHS[:15]}),
}


@pytest.mark.parametrize("name", TEAMS)
def test_the_same_bits_for_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, T, B, I, H, options = TEAMS[name]  # noqa: E741
    cell, x, start = problem(kind, T, B, I, H)
    calls: list[tuple[str, int, bool]] = []
    run = Kernel.run

    def watched(self: Kernel, kind: str, layout: Layout, tensors: Any) -> None:
        calls.append((kind, layout.call.threads, bool(layout.call.split_units)))
        run(self, kind, layout, tensors)

    monkeypatch.setattr(Kernel, "run", watched)
    results = []
    for n in (1, 2, 3):
        with threads(n):
            results.append(everything(cell, x, start, **options))
    assert calls == [
        (kind, n, n > 1 and name.startswith("units"))
        for n in (1, 2, 3)
        for kind in ("forward", "backward")
    ], "the sizes of this test no longer make the kernel use threads this way"
    identical(results[1], results[0])
    identical(results[2], results[0])
    agree(results[0], everything(cell, x, start, REFERENCE, **options), terms=T * (B + I + H))


# Cut the problem another way, and get the same bits


@pytest.mark.parametrize("kind", ["elman", "lstm", "layernorm-lstm", "reset-before-gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_stream_is_whole_bit_for_bit(kind: str, reverse: bool) -> None:
    cell, x, start = problem(kind, T=9, B=7, H=33)
    whole = CPU(cell, x, start, reverse=reverse, return_states="all", return_gates=True)
    state, outputs = start, []
    parts = x.split([1, 3, 1, 4])
    for part in reversed(parts) if reverse else parts:
        result = CPU(cell, part, state, reverse=reverse, return_states="all", return_gates=True)
        state = result.state
        outputs.append(result.output)
    y = torch.cat(outputs[::-1] if reverse else outputs)
    identical({"y": y} | state, {"y": whole.output} | whole.state)


@pytest.mark.parametrize("kind", ["elman", "lstm", "layernorm-lstm", "reset-before-gru"])
def test_a_row_alone_is_the_row_in_a_batch_bit_for_bit(kind: str) -> None:
    cell, x, start = problem(kind, T=5, B=14, H=33)
    whole = everything(cell, x, start)
    for rows in (slice(0, 1), slice(13, 14), slice(4, 9)):
        part = {k: v[rows] for k, v in start.items()}
        got = CPU(cell, x[:, rows], part, return_states="all", return_gates=True)
        want = {k: v[:, rows] for k, v in whole.items() if k == "y" or k.startswith("gate")}
        identical({"y": got.output} | {f"gate {k}": v for k, v in got.gates.items()}, want)
        last = {k: whole[f"last {k}"][rows] for k in cell.states}
        identical(got.state, last)


def test_with_gradient_and_without_are_the_same_bits() -> None:
    cell, x, start = problem(H=33)
    kept = CPU(cell, x, start)
    with torch.no_grad():
        plain = CPU(cell, x, start)
    with torch.inference_mode():
        inference = CPU(cell, x, start)
    assert kept.output.requires_grad
    assert not plain.output.requires_grad
    assert inference.output.is_inference()
    for got in (plain, inference):
        identical({"y": got.output} | got.state, {"y": kept.output} | kept.state)


def test_a_backward_may_run_twice() -> None:
    cell, x, start = problem("reset-before-gru")
    result = CPU(cell, x, start, return_states="all", return_gates=True)
    inputs = [x, *start.values(), *cell.parameters()]
    names = ["x", *start, *(k for k, _ in cell.named_parameters())]
    loss = result.output.square().sum() + result.state["h"].sum()
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    torch.full((10_000,), 3.0)  # let somebody else have any memory that was freed too early
    again = torch.autograd.grad(loss, inputs)
    identical(dict(zip(names, again, strict=True)), dict(zip(names, first, strict=True)))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("changed", ["x", "h", "U_g", "output"])
def test_a_tensor_changed_in_place_before_the_backward_is_noticed(changed: str) -> None:
    cell, x, start = problem()
    x, h = x * 1.0, start["h"] * 1.0
    y = CPU(cell, x, {"h": h, "c": start["c"]}).output
    what = {"x": x, "h": h, "U_g": cell.U_g, "output": y}[changed]
    with torch.no_grad():
        what.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y.sum(), list(cell.parameters()))


def test_the_results_are_the_callers_own() -> None:
    """Nobody sees a change of a result but its owner: no two share memory, none is an input."""
    cell, x, start = problem()
    with torch.no_grad():
        for T in (6, 1, 0):
            result = CPU(cell, x[:T], start, return_states="all", return_gates=True)
            found = [result.output, *result.state.values(), *result.gates.values()]
            found += [x, *start.values()]
            places = [t.untyped_storage().data_ptr() for t in found if t.numel()]
            assert len(set(places)) == len(places)


# Processes


FORK = """
import os, signal, sys, torch, recurnn
torch.manual_seed(1)
torch.set_num_threads(2)
cell = recurnn.cells.LSTM(40, 64, dtype=torch.float64)
x = torch.randn(9, 40, 40, dtype=torch.float64)
def run(T):
    y = recurnn.scan(cell, x[:T], engine="cpu", return_states="all", return_gates=True).output
    return [y.detach(), *torch.autograd.grad(y.square().sum(), list(cell.parameters()))]
def same(T, before):
    return all(torch.equal(a, b) for a, b in zip(run(T), before))
before = run(8)
torch.set_num_threads(1)
alone = run(9)
torch.set_num_threads(2)
# small enough for torch's own operations to need no threads: in a child those would hang
layer = recurnn.nn.LSTM(40, 24, 2, bidirectional=True, dropout=0.5, dtype=torch.float64)
def train():
    torch.manual_seed(2)
    y = layer(x, lengths=[9, 4] * 20)[0]
    return [y.detach(), *torch.autograd.grad(y.square().sum(), list(layer.parameters()))]
trained = train()
step = recurnn.stepper(cell, 400)
rows = torch.randn(400, 40, dtype=torch.float64)
y = step(rows)
step.reset()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that waits for threads that it does not have
    stepped = torch.equal(step(rows), y)
    again = all(torch.equal(a, b) for a, b in zip(train(), trained))
    os._exit(0 if same(8, before) and same(9, alone) and stepped and again else 7)
_, status = os.waitpid(child, 0)
assert same(8, before)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_fork_after_use_runs_on() -> None:
    """The child has none of its parent's threads; a shape that was run before, and a new one.

    Scans, a whole layer that is trained, and a stepper.
    """
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stderr == (
        "a layer runs in a forked process: torch's operations on large tensors wait there for ever "
        "for threads of the parent. Call torch.set_num_threads(1) first, as the workers of a "
        "DataLoader do, or start the process by spawn.\n"
    )


class Rows(torch.utils.data.Dataset[Tensor]):
    """A data set whose items are made by a layer."""

    def __init__(self, layer: nn.Recurrent) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 4

    def __getitem__(self, n: int) -> Tensor:
        x = normal(8, 45, 33, seed=n)
        with torch.no_grad():
            result: recurnn.ScanResult = self.layer(x, return_states="all", return_gates=True)
        return result.output


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # jax's, if a test before had it
def test_workers_of_a_data_loader_run_kernels() -> None:
    rows = Rows(nn.Recurrent(problem(I=33, H=65)[0], engine="cpu"))
    with threads(2):
        want = {str(n): rows[n] for n in range(4)}
    loader = torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2, timeout=60)
    for _ in range(2):
        identical({str(n): y for n, y in enumerate(loader)}, want)


def at_once(work: Callable[[int], Values]) -> list[Values]:
    """What a function gives on two Python threads that begin together."""
    together = threading.Barrier(2)

    def one(n: int) -> Values:
        together.wait(60)
        return work(n)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


def test_two_python_threads_run_one_layer_at_once() -> None:
    cell, x, start = problem(T=8, B=45, I=33, H=65)
    runs = 5

    def work(n: int) -> Values:
        found: Values = {}
        for k in range(runs):
            T = 8 - (n + k) % 3  # several layouts are made on the way
            inputs = [v.detach().clone().requires_grad_() for v in (x[:T], *start.values())]
            state = dict(zip(start, inputs[1:], strict=True))
            values = everything(cell, inputs[0], state)
            found |= {f"{name} of {T} steps": v for name, v in values.items()}
        return found

    with threads(2):
        want = work(0)
        for got in at_once(work):
            identical(got, want)


def test_two_python_threads_compile_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets its own cell's kernel."""
    kinds = ["elman", "gru"]
    want = [everything(*problem(kind)) for kind in kinds]
    right = engine._kernel

    def slow(*args: Any, **more: Any) -> Any:
        time.sleep(0.1)
        return right(*args, **more)

    monkeypatch.setattr(engine, "_kernel", slow)
    monkeypatch.setattr(engine, "_numbers", {})
    got = at_once(lambda n: everything(*problem(kinds[n])))
    for found, expected in zip(got, want, strict=True):
        identical(found, expected)


# torch's tools


def test_copy_and_pickle_of_a_layer_that_has_run() -> None:
    cell, x, _ = problem("peephole-lstm")
    layer = nn.Recurrent(cell, engine="cpu")
    want = {"y": layer(x, return_states="all", return_gates=True).output}
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        identical({"y": other(x, return_states="all", return_gates=True).output}, want)
        other.cell.U_i.data.mul_(2)
        assert not torch.equal(other(x, return_states="all", return_gates=True).output, want["y"])
    identical({"y": layer(x, return_states="all", return_gates=True).output}, want)


def drop_in(case: Case) -> tuple[torch.nn.RNNBase, torch.nn.RNNBase, Values]:
    """Our layer, torch's with the same weights, and inputs."""
    ours, theirs = case.make(nn), case.make(torch.nn)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs, case.inputs()


DROP_INS = [Case("RNN"), Case("GRU", L=2, bidirectional=True), Case("LSTM", proj_size=3)]


@pytest.mark.parametrize("case", DROP_INS, ids=str)
def test_copy_and_pickle_of_a_drop_in_that_has_run(case: Case) -> None:
    layer, _, inputs = drop_in(case)
    want = outcome(layer, inputs)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        identical(outcome(other, inputs), want)
        other.weight_hh_l0.data.mul_(2)
        assert not torch.equal(outcome(other, inputs)["y"], want["y"])
    identical(outcome(layer, inputs), want)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own
@pytest.mark.parametrize("case", DROP_INS, ids=str)
def test_transforms_of_a_drop_in_are_those_of_torchs(case: Case) -> None:
    """Several layers at once, and each one's gradient."""
    ours, theirs, inputs = drop_in(case)
    x = inputs["x"].detach()
    weights = {k: torch.stack([w, 0.5 * w, -w]).detach() for k, w in ours.named_parameters()}

    def loss(layer: torch.nn.RNNBase) -> Callable[..., Tensor]:
        return lambda w, x: torch.func.functional_call(layer, w, (x,))[0].square().sum()

    got = torch.func.vmap(torch.func.grad(loss(ours)), in_dims=(0, None))(weights, x)
    for n in range(3):
        want = torch.func.grad(loss(theirs))({k: w[n] for k, w in weights.items()}, x)
        agree({k: g[n] for k, g in got.items()}, want, terms=100)


def test_functional_call_runs_the_kernel_on_the_given_weights() -> None:
    cell, x, _ = problem("lstm")
    layer = nn.Recurrent(cell, engine="cpu")
    given = {f"cell.{k}": normal(*w.shape, seed=40 + n) * 0.3 for n, (k, w) in
             enumerate(cell.named_parameters())}  # fmt: skip
    got = torch.func.functional_call(
        layer, given, (x,), {"return_states": "all", "return_gates": True}
    )
    plain = {k.removeprefix("cell."): w for k, w in given.items()}
    want = REFERENCE(cell, x, parameters=plain)
    agree(
        with_gradients({"y": got.output}, given | {"x": x}),
        with_gradients({"y": want.output}, given | {"x": x}),
        terms=100,
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, in jacfwd
def test_transforms_give_the_right_numbers_through_the_reference() -> None:
    cell, x, _ = problem("gru", T=3, B=2, H=4)
    layer = nn.Recurrent(cell)
    weights = {k: w.detach() for k, w in layer.named_parameters()}
    x = x.detach()

    def loss(w: Values, x: Tensor) -> Tensor:
        result: recurnn.ScanResult = torch.func.functional_call(layer, w, (x,))
        return result.output.square().sum()

    y = REFERENCE(cell, x).output.square().sum()
    slopes = torch.autograd.grad(y, list(cell.parameters()))
    want = {f"cell.{k}": s for (k, _), s in zip(cell.named_parameters(), slopes, strict=True)}
    agree(torch.func.grad(loss)(weights, x), want, terms=50)
    agree(torch.func.jacrev(loss)(weights, x), want, terms=50)
    agree(torch.func.jacfwd(loss)(weights, x), want, terms=50)
    several = torch.stack([x, 2 * x, -x])
    mapped = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, several)
    agree({k: v[0] for k, v in mapped.items()}, want, terms=50)
    turned = torch.func.grad(loss)(weights, -x)
    agree({k: v[2] for k, v in mapped.items()}, turned, terms=50)
    values = torch.func.vmap(loss, in_dims=(None, 0))(weights, several)
    alone = torch.stack([loss(weights, one) for one in several])
    agree({"y": values}, {"y": alone}, terms=50)


def test_a_transform_with_the_kernel_by_name_is_an_error() -> None:
    cell, x, _ = problem("gru")
    with pytest.raises(recurnn.errors.EngineError, match=r"inside a torch\.func transform"):
        torch.func.vmap(lambda x: CPU(cell, x).output)(x.detach().unsqueeze(0))


def test_double_backward_and_hessian_products() -> None:
    cell, x, start = problem("lstm", T=4, B=2, H=3)
    found = []
    for run in (CPU, REFERENCE):
        result = run(cell, x, start, return_states="all", return_gates=True)
        loss = result.output.square().sum() + result.gates["f"].pow(3).sum()
        (dx,) = torch.autograd.grad(loss, x, create_graph=True)
        penalty = dx.square().sum()
        found.append(with_gradients({"p": penalty}, {"x": x} | dict(cell.named_parameters())))
    agree(found[0], found[1], terms=100)
    assert found[1]["d U_f"].any()


class Tagger(torch.nn.Module):
    """Layers of ours between torch's own, as in a user's model."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Recurrent(tame(KINDS["gru"].make(3, 5)), engine="cpu")
        self.second = nn.Recurrent(tame(KINDS["lstm"].make(5, 9)), reverse=True, engine="cpu")
        self.last = torch.nn.Linear(9, 2, dtype=torch.float64)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        y, state, *_ = self.first(torch.tanh(x) * 2)
        result = self.second(y, lengths=lengths)
        return self.last(result.output), state["h"].sum(0) + result.state["c"][:, :5]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo's
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # and Inductor's own
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_torch_compile_of_a_model_has_no_break_and_the_same_numbers(backend: str) -> None:
    torch.compiler.reset()
    model, x = Tagger(), normal(5, 3, 3, seed=1)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    inputs = {"x": x} | dict(model.named_parameters())
    for turn, lengths in enumerate(([5, 0, 3], [1, 5, 2])):
        found = []
        for run in (compiled, model):
            y, s = run(x * (turn + 1), torch.tensor(lengths))
            found.append(with_gradients({"y": y, "s": s}, inputs))
        agree(found[0], found[1], terms=100)
    with torch.no_grad():
        y, _ = compiled(x, torch.tensor([5, 0, 3]))
        agree({"y": y}, {"y": model(x, torch.tensor([5, 0, 3]))[0]}, terms=100)


@pytest.mark.slow
def test_torch_export_of_a_layer_keeps_one_operation() -> None:
    cell, x, _ = problem("gru", T=5, B=3)
    layer = nn.Recurrent(cell, engine="cpu", batch_first=True)
    x = x.detach().transpose(0, 1).contiguous()
    with torch.no_grad():
        exported = torch.export.export(layer, (x,))
        want = layer(x)
        got = exported.module()(x)
    agree({"y": got[0]} | got[1], {"y": want.output} | want.state, terms=50)
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert sum("recurnn.scan" in name for name in names) == 1


def test_the_operation_passes_torchs_own_checks() -> None:
    cell, x, start = problem("lstm", T=3, B=2)
    weights = list(cell.parameters())
    for keep in (True, False):
        number = compiler.prepare(cell, torch.float64, ("h", "c", *cell.gates), None, REFERENCE)
        first, given = list(start.values()), weights
        if not keep:
            first, given = [s.detach() for s in first], [w.detach() for w in weights]
        torch.library.opcheck(
            torch.ops.recurnn.scan.default,
            (
                x if keep else x.detach(),
                first,
                [],
                [],
                given,
                None,
                None,
                False,
                number,
                keep,
                None,
            ),
            test_utils=("test_schema", "test_faketensor"),
        )


@pytest.mark.slow
def test_a_weight_computed_from_another_gets_its_gradient_through() -> None:
    cell, x, start = problem("elman", H=4)
    torch.nn.utils.parametrizations.weight_norm(cell, "U")
    got, want = (everything(cell, x, start, run) for run in (CPU, REFERENCE))
    agree(got, want, terms=100)
    assert any("original" in k for k in want)


def test_half_precision_runs_on_the_reference() -> None:
    half = recurnn.cells.GRU(3, 4, dtype=torch.float16)
    x = torch.randn(4, 2, 3, dtype=torch.float16)
    identical({"y": recurnn.scan(half, x).output}, {"y": REFERENCE(half, x).output})
    with pytest.raises(recurnn.errors.EngineError, match=r"no kernel for torch\.float16"):
        CPU(half, x)


@pytest.fixture
def nothing_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no matrix unit; with one, see test_half_scan.py."""
    monkeypatch.setattr(sys.modules["recurnn.scan"], "halves_products", lambda _: False)


@pytest.mark.usefixtures("nothing_rounded")
@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["kernel", "reference"])
def test_under_autocast_a_scan_is_in_the_type_of_its_weights(run: Any) -> None:
    cell, x, start = problem("lstm", dtype=torch.float32)
    rough = x.detach().bfloat16()
    given = {k: v.detach().bfloat16() for k, v in start.items()}
    exact = {k: v.float().requires_grad_() for k, v in given.items()}
    want = everything(cell, rough.float().requires_grad_(), exact, run)
    with torch.autocast("cpu", torch.bfloat16):
        for state in (given, list(given.values())):
            got = full(run, cell, rough, state)
            identical(
                {"y": got.output} | got.state,
                {k: want[f"last {k}"] for k in start} | {"y": want["y"]},
            )
        x = rough.float().requires_grad_()
        y = full(run, cell, x, exact).output
    identical({"y": y}, {"y": want["y"]})
    inputs = {"x": x} | exact | dict(cell.named_parameters())
    plain = full(run, cell, x, exact).output
    identical(with_gradients({"y": y}, inputs), with_gradients({"y": plain}, inputs))


def test_under_autocast_a_model_trains() -> None:
    """A linear layer in half precision before, and one behind."""
    cell, _, _ = problem("gru", dtype=torch.float32)
    before, behind = torch.nn.Linear(2, 3), torch.nn.Linear(9, 2)
    layer = nn.Recurrent(cell, engine="cpu", batch_first=True)
    x = torch.randn(4, 6, 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(before(x)).output
        z = behind(y)
    assert (y.dtype, z.dtype) == (torch.float32, torch.bfloat16)
    z.float().square().sum().backward()
    for weight in (*before.parameters(), *cell.parameters(), *behind.parameters()):
        assert weight.grad is not None
        assert weight.grad.dtype == torch.float32
        assert weight.grad.isfinite().all()
        assert weight.grad.any()


@pytest.mark.usefixtures("nothing_rounded")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_under_autocast_a_drop_in_runs_in_the_type_of_its_weights(kind: str) -> None:
    layer, _, inputs = drop_in(Case(kind, L=2, dtype=torch.float32))
    inputs = {k: v.detach().bfloat16().float().requires_grad_() for k, v in inputs.items()}
    want = outcome(layer, inputs)
    rough = {k: v.detach().bfloat16() for k, v in inputs.items()}
    state = tuple(rough[k] for k in ("h", "c") if k in rough)
    with torch.autocast("cpu", torch.bfloat16):
        identical(outcome(layer, inputs), want)
        y, _ = layer(rough["x"], state if kind == "LSTM" else state[0])
    identical({"y": y}, {"y": want["y"]})


def test_a_second_derivative_under_autocast_is_in_the_type_of_the_weights() -> None:
    cell, x, start = problem("lstm", T=4, B=2, H=3)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            result = full(CPU, cell, x, start)
            (dx,) = torch.autograd.grad(result.output.square().sum(), x, create_graph=True)
            penalty = dx.square().sum()
            found.append(with_gradients({"p": penalty}, {"x": x} | dict(cell.named_parameters())))
    identical(found[1], found[0])


def test_kernels_do_not_depend_on_the_working_folder(tmp_path: Any) -> None:
    here = os.getcwd()
    cell, x, start = problem("lstm")
    want = everything(cell, x, start)
    os.chdir(tmp_path)
    try:
        identical(everything(cell, x, start), want)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("kind", ["lstm", "reset-before-gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_going_on_alone_changes_no_bit(
    kind: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, x, start = problem(kind, T=140, B=1, I=70, H=130)
    with threads(2):
        want = everything(cell, x, start, reverse=reverse)
    load, line = kernel.load, "late_often = times > 3;"

    def always_late(text: str, dtype: str, name: str) -> Any:
        assert text.count(line) == 1
        # from the fifth meeting on, in the middle of a chunk
        return load(text.replace(line, "late_often = ++times > 4;"), dtype, f"Late{name}")

    monkeypatch.setattr(kernel, "load", always_late)
    for name, empty in (("_kernels", {}), ("_numbers", {})):
        monkeypatch.setattr(engine, name, empty)
    with threads(2):
        identical(everything(cell, x, start, reverse=reverse), want)


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_that_vanish_are_zero_and_other_tiny_numbers_stay(count: int) -> None:
    cell, x, _ = problem("elman", T=300, B=40, I=17, H=70, dtype=torch.float32)
    with torch.no_grad():
        cell.U.mul_(0.3)
    least = torch.finfo(torch.float32).tiny
    with threads(count):
        last = CPU(cell, x).state["h"]
        (dx,) = torch.autograd.grad(last.sum(), x)
    size = dx.abs().flatten(1).amax(1)
    assert size[-1] > 1e-3
    assert size[0] == 0
    assert not ((dx != 0) & (dx.abs() < least)).any()
    assert 0 < size[size > 0].min() < 1e-35
    assert float(torch.tensor(1e-39) * 0.5) > 0  # what this thread computes elsewhere


def test_a_forward_pass_keeps_tiny_numbers() -> None:
    cell, x, _ = problem("elman", T=1, B=2, dtype=torch.float32)
    with torch.no_grad():
        for p in cell.parameters():
            p.zero_()
        cell.U.fill_(0.5)
    h = CPU(cell, torch.zeros_like(x), {"h": torch.full((2, 9), 1e-39)}).output
    assert float(h.detach().min()) == pytest.approx(4.5e-39, rel=1e-3, abs=0)
