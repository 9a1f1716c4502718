"""The gradient clipped inside the recurrence: kernel, reference, and hooks on a plain loop."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
import rows
from kernels import CPU, REFERENCE, tame, terms, threads
from problems import KINDS, normal, states_of
from recurnn import nn
from recurnn.cells import Cell
from recurnn.errors import ConfigError
from rows import Problem
from tolerance import agree, identical

F32, F64 = torch.float32, torch.float64
RESETS = ((0, 0), (3, 0), (2, 1), (3, 1), (5, 4))
FRAME: dict[str, Any] = {"T": 6, "B": 5, "lengths": (4, 6, 1, 0, 5), "resets": RESETS}
PROBLEMS = [
    Problem("elman", T=9, B=5, H=17),
    Problem("lstm", T=9, B=5, H=17),
    Problem("lstm", H=17, **FRAME),
    Problem("lstm", H=17, reverse=True, **FRAME),
    Problem("lstm", H=17, dtype=F32, **FRAME),
    Problem("projected-lstm", H=33, **FRAME),
    Problem("layernorm-lstm", H=8, reverse=True, **FRAME),
    Problem("reset-before-gru", H=7, reverse=True, **FRAME),
    Problem("lstm", T=1, B=2, H=17),
    Problem("lstm", T=0, B=2, H=17),
]
ENGINES = {
    f"{name}-{memory}": partial(run, memory=memory)
    for name, run in (("cpu", CPU), ("reference", REFERENCE))
    for memory in ("high", "low")
}


class Hooked:
    """A cell, the states of which are hooked as they come to a step, but those that are free."""

    def __init__(self, cell: Cell, limit: float, free: Iterable[Tensor] = ()) -> None:
        self.cell, self.limit, self.clipped, self.passed = cell, limit, 0, 0
        self.free = {id(state) for state in free}
        self.states, self.gates, self.output = cell.states, cell.gates, cell.output
        self.made: list[Tensor] = []

    def __call__(self, x: Tensor, *old: Tensor) -> dict[str, Tensor]:
        values = self.cell(x, *(self.hooked(s) for s in old))
        self.made += [values[k] for k in self.states]
        return values

    def hooked(self, state: Tensor) -> Tensor:
        between = any(state is made for made in self.made)  # not an initial state
        self.passed += state.numel() if between else 0
        if not state.requires_grad or id(state._base) in self.free:
            return state

        def clamp(g: Tensor) -> Tensor:
            if between:
                self.clipped += int((g.abs() > self.limit).sum())
            return g.clamp(-self.limit, self.limit)

        state = state.view_as(state)
        state.register_hook(clamp)
        return state


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_it_is_a_hook_on_every_state(problem: Problem, engine: str) -> None:
    cell, x, start, options = problem.build()
    tame(cell)
    clip = recurnn.GradientClip(0.7)
    got = rows.everything(cell, x, start, options, partial(ENGINES[engine], clip_gradient=clip))
    hooked = Hooked(cell, 0.7)

    def by_hand(cell: Cell, x: Tensor, start: Any, **more: Any) -> Any:
        return rows.by_rows(hooked, x, start, **more)  # type: ignore[arg-type]

    want = rows.everything(cell, x, start, options, by_hand)
    agree(got, want, terms=terms(problem, cell))
    assert (clip.clipped, clip.passed) == (hooked.clipped, hooked.passed)
    if problem.T > 1:
        assert 0.02 < clip.rate < 0.98
        plain = rows.everything(cell, x, start, options, CPU)
        assert (plain["d x"] - got["d x"]).abs().max() > 0.1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reverse", [False, True])
def test_nothing_is_clipped_on_its_way_to_the_given_states_of_a_reset(
    reverse: bool, engine: str
) -> None:
    problem = Problem("lstm", H=17, reset_state=True, reverse=reverse, **FRAME)
    cell, x, start, options = problem.build()
    tame(cell)
    clip = recurnn.GradientClip(0.3)
    got = rows.everything(cell, x, start, options, partial(ENGINES[engine], clip_gradient=clip))
    hooked: Any = Hooked(cell, 0.3, free=options["reset_state"].values())
    want = rows.everything(
        cell, x, start, options, lambda cell, *a, **more: rows.by_rows(hooked, *a, **more)
    )
    agree(got, want, terms=terms(problem, cell))
    assert (clip.clipped, clip.passed) == (hooked.clipped, hooked.passed)
    assert got["d h at reset"].abs().max() > 0.3


@pytest.mark.parametrize("run", [CPU, REFERENCE], ids=["cpu", "reference"])
def test_a_sequence_in_pieces_has_the_gradient_of_the_whole(run: Any) -> None:
    cell = tame(KINDS["lstm"].make(3, 9))
    x, start = normal(8, 4, 3, seed=1), states_of(cell, 4, seed=2)
    weight = torch.randn(8, 4, 9, dtype=F64)

    def gradients(cuts: list[int]) -> dict[str, Tensor]:
        state, outputs = dict(start), []
        for part in x.tensor_split(cuts):
            result = run(cell, part, state, clip_gradient=0.4)
            state = result.state
            outputs.append(result.output)
        total = (weight * torch.cat(outputs)).sum() + 5 * state["c"].sum()
        inputs = {"x": x, **start, **dict(cell.named_parameters())}
        return dict(zip(inputs, torch.autograd.grad(total, list(inputs.values())), strict=True))

    agree(gradients([3, 5]), gradients([]), terms=200)


def test_the_gradient_of_the_loss_itself_is_not_clipped() -> None:
    cell = KINDS["lstm"].make(3, 5)
    x = normal(6, 2, 3, seed=1)
    grown = {}
    for run in (CPU, REFERENCE):
        norms = recurnn.GradientNorms()
        y = run(cell, x, clip_gradient=0.01, gradient_norms=norms).output
        (100 * y[-1]).sum().backward()
        assert (norms["h"][-1] > 100).all()
        assert (norms["h"][:-1] <= 0.01 * 5**0.5).all()
        grown[run] = norms["c"]
    agree({"c": grown[CPU]}, {"c": grown[REFERENCE]}, terms=100)


def test_nothing_explodes() -> None:
    cell = recurnn.cells.Elman(2, 6, nonlinearity="relu", dtype=F64)
    with torch.no_grad():
        cell.U.copy_(3 * torch.eye(6, dtype=F64))
    x = normal(60, 1, 2, seed=1)
    start = torch.ones(1, 6, dtype=F64, requires_grad=True)
    CPU(cell, x, start).output[-1].sum().backward()
    assert start.grad is not None
    assert start.grad.abs().max() > 1e20
    start.grad = None
    CPU(cell, x, start, clip_gradient=1.0).output[-1].sum().backward()
    assert start.grad.abs().max() == 1


def test_nan_is_not_hidden() -> None:
    cell = KINDS["lstm"].make(3, 5)
    x = normal(6, 2, 3, seed=1)
    for run in (CPU, REFERENCE):
        clip = recurnn.GradientClip(0.5)
        y = run(cell, x, clip_gradient=clip).output
        g = torch.ones_like(y)
        g[4, 1, 2] = torch.nan
        (dx,) = torch.autograd.grad(y, x, g)
        assert dx.isnan().any(-1).tolist() == [[False, True]] * 5 + [[False, False]]


def test_the_limit_changes_without_a_new_kernel_and_a_plain_kernel_stays_as_it_is() -> None:
    cell = KINDS["lstm"].make(3, 5)
    x, clip = normal(6, 2, 3, seed=1), recurnn.GradientClip(1e-3)
    shares, compiled = [], []
    for limit in (1e-3, 0.1, 1e3):
        clip.limit = limit
        compiled.append(len(recurnn.compiler.engine._compiled))
        recurnn.scan(cell, x, engine="cpu", clip_gradient=clip).output.sum().backward()
        shares.append(clip.rate)
        clip.reset()
    assert shares[0] > shares[1] > shares[2] == 0
    assert compiled[1] == compiled[2] == len(recurnn.compiler.engine._compiled)
    numbers = [recurnn.compiler.prepare(cell, F64, ("h",), None, CPU, more)
               for more in ((), ("clip",))]  # fmt: skip
    kernels = [recurnn.compiler.engine.compiled(n).kernel for n in numbers]
    assert "limit" not in kernels[0].emitted["backward"].text
    assert "at_limit" in kernels[1].emitted["backward"].text
    assert kernels[0].text("forward") == kernels[1].text("forward")


def test_what_counts_is_the_limit_of_the_forward_pass() -> None:
    cell = KINDS["gru"].make(3, 5)
    x, clip = normal(6, 2, 3, seed=1), recurnn.GradientClip(1e-3)
    for run in (CPU, REFERENCE):
        y = run(cell, x, clip_gradient=clip).output
        clip.limit = 1e3
        (a,) = torch.autograd.grad(y.sum(), x)
        clip.limit = 1e-3
        (b,) = torch.autograd.grad(run(cell, x, clip_gradient=1e-3).output.sum(), x)
        identical({"x": a}, {"x": b})


@pytest.mark.parametrize(("B", "H"), [(1, 96), (3, 200), (40, 24)])
def test_any_number_of_threads_gives_the_same_bits_and_counts(B: int, H: int) -> None:
    cell = tame(KINDS["lstm"].make(8, H, dtype=F32))
    x = normal(30, B, 8, seed=1, dtype=F32)
    found = []
    for n in (1, 2, 3):
        clip = recurnn.GradientClip(0.02)
        with threads(n):
            y = CPU(cell, x, clip_gradient=clip).output
            slopes = torch.autograd.grad(y.sum(), [x, *cell.parameters()])
        found.append((dict(enumerate(slopes)), clip.clipped, clip.passed))
    for slopes_, *counts in found[1:]:
        identical({str(k): v for k, v in slopes_.items()},
                  {str(k): v for k, v in found[0][0].items()})  # fmt: skip
        assert counts == list(found[0][1:])
    assert 0 < found[0][1] < found[0][2] == 29 * B * 2 * H


def test_counts_add_up_over_passes_until_they_are_reset() -> None:
    cell = KINDS["lstm"].make(3, 5)
    x = normal(6, 2, 3, seed=1)
    for run in (CPU, REFERENCE):
        clip = recurnn.GradientClip(0.1)
        y = run(cell, x, clip_gradient=clip).output
        assert (clip.clipped, clip.passed, clip.rate) == (0, 0, 0)
        y.sum().backward(retain_graph=True)
        once = clip.clipped, clip.passed
        assert once[1] == 5 * 2 * 10
        y.sum().backward()
        assert (clip.clipped, clip.passed) == (2 * once[0], 2 * once[1])
        clip.reset()
        assert (clip.clipped, clip.passed) == (0, 0)
        with torch.no_grad():
            run(cell, x, clip_gradient=clip)
        assert clip.passed == 0


def test_gradients_of_gradients_are_those_of_the_hooks() -> None:
    cell = tame(KINDS["lstm"].make(3, 5))
    x, start, g = normal(5, 2, 3, seed=1), states_of(cell, 2, seed=2), normal(5, 2, 5, seed=3)
    hooked: Any = Hooked(cell, 0.1)

    def second(run: Any) -> dict[str, Tensor]:
        result = run(cell, x, start)
        (dx,) = torch.autograd.grad(result.output, x, g, create_graph=True)
        inputs = {"x": x, "g": g, **start, **dict(cell.named_parameters())}
        found = torch.autograd.grad(dx.square().sum(), list(inputs.values()))
        return dict(zip(inputs, found, strict=True))

    want = second(lambda cell, *a: rows.by_rows(hooked, *a))
    clip = recurnn.GradientClip(0.1)
    agree(second(partial(CPU, clip_gradient=clip)), want, terms=300)
    agree(second(partial(REFERENCE, clip_gradient=0.1)), want, terms=300)
    assert clip.clipped > 0


def test_bfloat16() -> None:
    cell = KINDS["lstm"].make(3, 9).bfloat16()
    x, clip = normal(6, 2, 3, seed=1, dtype=torch.bfloat16), recurnn.GradientClip(0.125)
    h, c = (torch.zeros(2, 9, dtype=torch.bfloat16, requires_grad=True) for _ in "hc")
    CPU(cell, x, (h, c), clip_gradient=clip).output.sum().backward()
    assert h.grad is not None
    assert h.grad.abs().max() == 0.125
    assert 0 < clip.rate < 1


# ---- layers


@pytest.fixture
def reference_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run what is called with it on the reference."""

    def run(call: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["recurnn.scan"], "find_kernel", lambda *_, **__: None)
            return call()

    return run


LAYERS = {
    "lstm": lambda: nn.LSTM(3, 8, 2, bidirectional=True, dtype=F64, clip_gradient=0.05),
    "gru": lambda: nn.GRU(3, 8, batch_first=True, dtype=F64, clip_gradient=0.05),
    "rnn": lambda: nn.RNN(3, 8, dtype=F64, zoneout=0.1, clip_gradient=0.05).eval(),
    "recurrent": lambda: nn.Bidirectional(
        nn.Recurrent(recurnn.cells.PeepholeLSTM(3, 8, dtype=F64), clip_gradient=0.05)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_clip_with_lengths_and_resets(kind: str, reference_only: Any) -> None:
    layer = LAYERS[kind]()
    x = normal(7, 7, 3, seed=1)
    reset = torch.rand(7, 7) < 0.2
    assert nn.clip_counts(layer) == (0, 0)

    def gradients() -> tuple[dict[str, Tensor], Any]:
        y = layer(x, lengths=[7, 3, 0, 1, 5, 7, 2], reset=reset)[0]
        inputs = {"x": x, **dict(layer.named_parameters())}
        found = torch.autograd.grad((y * y.detach().cos()).sum(), list(inputs.values()))
        return dict(zip(inputs, found, strict=True)), nn.clip_counts(layer, reset=True)

    got, counts = gradients()
    want, again = reference_only(gradients)
    agree(got, want, terms=200)
    assert counts == again
    assert 0 < counts.clipped < counts.passed
    assert counts.rate == counts.clipped / counts.passed
    assert nn.clip_counts(layer) == (0, 0)
    nn.set_clip_gradient(layer, None)
    plain, none = gradients()
    assert none == (0, 0)
    assert none.rate == 0
    assert (plain["x"] - got["x"]).abs().max() > 1e-3


def test_a_convolutional_layer_clips_too() -> None:
    layer = nn.ConvLSTM(2, 3, dtype=F64, clip_gradient=0.05)
    x = torch.randn(5, 3, 2, 4, 4, dtype=F64, requires_grad=True)
    reset = torch.zeros(5, 3, dtype=torch.bool)
    reset[2, 0] = True
    layer(x, lengths=[5, 3, 1], reset=reset).output.sum().backward()
    assert nn.clip_counts(layer).passed == (3 + 2 + 0) * 2 * 3 * 16
    assert 0 < nn.clip_counts(layer).rate < 1
    a = x.grad
    x.grad = None
    layer.clip_gradient = None
    layer(x, lengths=[5, 3, 1], reset=reset).output.sum().backward()
    assert a is not None
    assert x.grad is not None
    assert torch.equal(a[2:, 1:], x.grad[2:, 1:])  # at a row's last step nothing passes
    assert not torch.equal(a[0, 0], x.grad[0, 0])


def test_a_whole_model_is_set_and_counted() -> None:
    model = torch.nn.ModuleDict(
        {"below": nn.LSTM(3, 4), "above": nn.Stack(nn.Recurrent(recurnn.cells.GRU(4, 5)))}
    )

    def run() -> None:
        model["above"](model["below"](torch.randn(7, 2, 3))[0]).output.sum().backward()

    nn.set_clip_gradient(model, 1e-4)
    assert model["below"].clip_gradient == model["above"].layers[0].clip_gradient == 1e-4
    run()
    counts = nn.clip_counts(model)
    assert counts.passed == 6 * 2 * (8 + 5)
    assert counts.rate > 0.9
    nn.set_clip_gradient(model, 1e4)  # the counts go on
    run()
    assert nn.clip_counts(model) == (counts.clipped, 2 * counts.passed)
    assert "clip_gradient=10000" in repr(model["below"])
    assert "clip_gradient=10000" in repr(model["above"])
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert nn.clip_counts(again) == nn.clip_counts(model)
        assert again["below"].clip_gradient == 1e4
    nn.set_clip_gradient(model, None)
    assert model["below"].clip_gradient is None
    assert model["below"]._plain
    assert nn.clip_counts(model) == (0, 0)


def test_torch_compile_takes_it_and_counts_nothing() -> None:
    layer = nn.LSTM(3, 8, clip_gradient=0.02)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(6, 2, 3, requires_grad=True)
    for limit in (0.02, 0.01):
        layer.clip_gradient = limit
        (want,) = torch.autograd.grad(layer(x)[0].sum(), x)
        before = nn.clip_counts(layer)
        (got,) = torch.autograd.grad(compiled(x)[0].sum(), x)
        assert torch.equal(got, want)
        assert nn.clip_counts(layer) == before


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_transforms_of_torch_func_clip_and_count_nothing() -> None:
    cell, clip = KINDS["gru"].make(3, 5), recurnn.GradientClip(0.05)
    x = normal(4, 6, 2, 3, seed=1).detach()

    def loss(x: Tensor) -> Tensor:
        return recurnn.scan(cell, x, clip_gradient=clip).output.square().sum()

    got = torch.func.vmap(torch.func.grad(loss))(x)
    assert clip.passed == 0
    alone = [
        torch.autograd.grad(loss(one), one)[0] for one in (x[k].requires_grad_() for k in range(4))
    ]
    agree({"x": got}, {"x": torch.stack(alone)}, terms=100)
    assert clip.rate > 0
    tangent = torch.func.jvp(loss, (x[0].detach(),), (torch.ones_like(x[0]),))[1]
    plain = torch.func.jvp(
        lambda x: recurnn.scan(cell, x).output.square().sum(), (x[0].detach(),),
        (torch.ones_like(x[0]),),
    )[1]  # fmt: skip
    agree({"jvp": tangent}, {"jvp": plain}, terms=100)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), True, "1"])
def test_limits_that_are_none(limit: Any) -> None:
    cell = recurnn.cells.GRU(3, 4)
    for call in (
        lambda: recurnn.GradientClip(limit),
        lambda: recurnn.scan(cell, torch.zeros(2, 1, 3), clip_gradient=limit),
        lambda: nn.Recurrent(cell, clip_gradient=limit),
        lambda: nn.LSTM(3, 4, clip_gradient=limit),
        lambda: nn.set_clip_gradient(nn.LSTM(3, 4), limit),
    ):
        with pytest.raises(ConfigError, match=r"(.|\n)*Expected a positive number"):
            call()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (torch.nn.Linear(3, 4), "no recurrent layer in this Linear"),
        (torch.nn.Sequential(nn.GRU(3, 4), torch.nn.LSTM(4, 5)), "1 is a LSTM, which cannot"),
        (torch.nn.Sequential(nn.GRUCell(3, 4)), "0 is a GRUCell"),
        (torch.nn.LSTMCell(3, 4), "the module is a LSTMCell"),
    ],
)
def test_models_without_a_recurrence_of_ours(model: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nn.set_clip_gradient(model, 1.0)
    nn.set_clip_gradient(model, None)


def test_torchs_layer_has_no_such_option() -> None:
    with pytest.raises(ConfigError, match="clip_gradient=2"):
        nn.convert(nn.LSTM(3, 4, clip_gradient=2.0), to="torch")
