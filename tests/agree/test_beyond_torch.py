"""What the drop-in layers have beyond torch, each against the plain loop put together by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import normal
from recurnn import cells
from recurnn.nn import merge, weights
from recurnn.nn.draw import dropout
from tolerance import agree, identical

F64 = torch.float64
KINDS: dict[str, tuple[type[cells.Cell], str]] = {
    "LSTM": (cells.LSTM, "ifgo"),
    "GRU": (cells.GRU, "rzn"),
    "RNN": (cells.Elman, " "),
}
NORMED = {
    "LSTM": cells.LayerNormLSTM, "GRU": cells.LayerNormGRU, "RNN": cells.LayerNormElman,
}  # fmt: skip


def named(layer: Any, kind: str, k: int, tail: str) -> dict[str, Tensor]:
    """The weights of one direction by the cell's names, cut out of torch's tensors."""
    own = {"": tail} | dict.fromkeys(["input", "recurrent"], tail)
    if tail and layer.options.share in ("input", "both"):
        own["input"] = ""
    if tail and layer.options.share in ("recurrent", "both"):
        own["recurrent"] = ""
    W, b = (getattr(layer, f"{n}_ih_l{k}{own['input']}") for n in ("weight", "bias"))
    U, b_u = (getattr(layer, f"{n}_hh_l{k}{own['recurrent']}") for n in ("weight", "bias"))
    found, H = {}, layer.hidden_size
    for n, gate in enumerate(KINDS[kind][1]):
        rows, name = slice(n * H, (n + 1) * H), f"_{gate}" if gate != " " else ""
        found |= {f"W{name}": W[rows], f"U{name}": U[rows]}
        if kind == "GRU" and gate == "n":
            found |= {"b_n": b[rows], "b_u": b_u[rows]}
        else:
            found[f"b{name}"] = b[rows] + b_u[rows]
    normed = NORMED[kind](3, 3, device="meta").shapes() if layer.options.layer_norm else {}
    return found | {n: getattr(layer, f"{n}_l{k}{tail}") for n in normed if n not in found}


def by_hand(
    layer: Any, kind: str, x: Tensor, state: tuple[Tensor, ...], lengths: list[int] | None = None
) -> tuple[Any, tuple[Tensor, ...]]:
    """The layer in evaluation, from the reference engine and a few lines of torch."""
    o, D = layer.options, layer.directions
    ends: list[tuple[Tensor, ...]] = []
    below, y = [x], x
    for k in range(layer.num_layers):
        entering = torch.cat(below, -1) if o.connections == "dense" else below[-1]
        outputs = []
        for d in range(D):
            size, tail = entering.shape[-1], "_reverse" if d else ""
            cell = (NORMED if o.layer_norm else {n: c for n, (c, _) in KINDS.items()})[kind](
                size, layer.hidden_size, device="meta"
            )
            result = recurnn.scan(
                cell, entering, tuple(s[k * D + d] for s in state), lengths=lengths,
                parameters=named(layer, kind, k, tail), reverse=o.reverse or d == 1,
                engine="reference",
            )  # fmt: skip
            outputs.append(result.output)
            ends.append(tuple(result.state.values()))
        last = k == layer.num_layers - 1
        if D == 1:
            y = outputs[0]
        elif o.merge == "sum":
            y = outputs[0] + outputs[1]
        elif o.merge == "mean":
            y = 0.5 * outputs[0] + 0.5 * outputs[1]
        elif o.merge == "mul":
            y = outputs[0] * outputs[1]
        elif o.merge is None and last:
            return tuple(outputs), tuple(torch.stack(s) for s in zip(*ends, strict=True))
        else:
            y = torch.cat(outputs, -1)
        if o.connections == "residual" and k > 0:
            y = y + below[-1]
        below.append(y)
    return y, tuple(torch.stack(s) for s in zip(*ends, strict=True))


CASES: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"bidirectional": True, "merge": "sum", "num_layers": 2}),
    ("GRU", {"bidirectional": True, "merge": "mean", "num_layers": 2}),
    ("RNN", {"bidirectional": True, "merge": "mul"}),
    ("LSTM", {"bidirectional": True, "merge": None, "num_layers": 2}),
    ("LSTM", {"bidirectional": True, "share": "input", "num_layers": 2}),
    ("GRU", {"bidirectional": True, "share": "recurrent", "merge": "sum"}),
    ("RNN", {"bidirectional": True, "share": "both"}),
    ("GRU", {"reverse": True, "num_layers": 2}),
    ("GRU", {"connections": "residual", "num_layers": 3}),
    ("LSTM", {"connections": "residual", "num_layers": 2, "bidirectional": True}),
    ("RNN", {"connections": "dense", "num_layers": 3, "bidirectional": True, "merge": "sum"}),
    ("GRU", {"connections": "dense", "num_layers": 2, "bidirectional": True, "merge": None}),
    ("LSTM", {"layer_norm": True, "num_layers": 2, "bidirectional": True}),
    ("GRU", {"layer_norm": True, "bidirectional": True, "share": "both"}),
    ("RNN", {"layer_norm": True, "num_layers": 2}),
]


def problem(kind: str, options: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    torch.manual_seed(11)
    layer = getattr(recurnn.nn, kind)(4, 5, dtype=F64, **options).eval()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.1 * torch.randn_like(weight))  # gains that are not all ones
    count = layer.num_layers * layer.directions
    inputs = {"x": normal(6, 3, 4, seed=1), "h": normal(count, 3, 5, seed=2)}
    if kind == "LSTM":
        inputs["c"] = normal(count, 3, 5, seed=3)
    return layer, inputs


def flat(y: Any, last: Any) -> dict[str, Tensor]:
    ys = y if isinstance(y, tuple) else (y,)
    lasts = last if isinstance(last, tuple) else (last,)
    return {f"y{n}": v for n, v in enumerate(ys)} | {f"s{n}": v for n, v in enumerate(lasts)}


def compare(kind: str, options: dict[str, Any], lengths: list[int] | None) -> None:
    layer, inputs = problem(kind, options)
    states = tuple(inputs[k] for k in ("h", "c") if k in inputs)
    everything = inputs | dict(layer.named_parameters())
    hx = states if kind == "LSTM" else states[0]
    got = with_gradients(flat(*layer(inputs["x"], hx, lengths=lengths)), everything)
    want = flat(*by_hand(layer, kind, inputs["x"], states, lengths))
    agree(got, with_gradients(want, everything), terms=600)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda v: str(v))
def test_an_option_is_what_it_says(kind: str, options: dict[str, Any]) -> None:
    compare(kind, options, None)
    compare(kind, options, [6, 0, 3])


def test_wrong_merges_and_shares_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(merge.MERGED, "sum", lambda a, b: a - b)
    with pytest.raises(AssertionError, match="more than"):
        compare("LSTM", {"bidirectional": True, "merge": "sum"}, None)
    monkeypatch.setitem(merge.MERGED, "concat", lambda a, b: torch.cat([b, a], -1))
    with pytest.raises(AssertionError, match="more than"):
        compare("GRU", {"bidirectional": True, "share": "input"}, None)
    monkeypatch.undo()
    monkeypatch.setitem(weights.SHARED, "recurrent", ("weight_ih",))
    with pytest.raises((AssertionError, AttributeError)):
        compare("RNN", {"bidirectional": True, "share": "recurrent"}, None)


def test_a_pair_is_batch_first_and_packed_like_one_output() -> None:
    layer, inputs = problem("LSTM", {"bidirectional": True, "merge": None, "batch_first": True})
    x = inputs["x"].transpose(0, 1)
    (a, b), _ = layer(x)
    both = recurnn.nn.LSTM(4, 5, bidirectional=True, batch_first=True, dtype=F64)
    both.load_state_dict(layer.state_dict())
    identical({"y": torch.cat([a, b], -1).detach()}, {"y": both(x)[0].detach()})
    pack = torch.nn.utils.rnn.pack_padded_sequence(x, [6, 4, 2], batch_first=True)
    (a, b), _ = layer(pack)
    identical({"y": torch.cat([a.data, b.data], -1).detach()}, {"y": both(pack)[0].data.detach()})


# States


def test_learned_initial_states() -> None:
    layer, inputs = problem("LSTM", {"initial": "learned", "num_layers": 2, "bidirectional": True})
    x, B = inputs["x"], 3
    given = tuple(w.unsqueeze(1).expand(-1, B, -1) for w in (layer.initial_h, layer.initial_c))
    weights = dict(layer.named_parameters())
    assert list(weights)[-2:] == ["initial_h", "initial_c"]
    got = with_gradients(flat(*layer(x)), weights)
    agree(got, with_gradients(flat(*by_hand(layer, "LSTM", x, given)), weights), terms=600)
    agree(flat(*layer(x, (inputs["h"], inputs["c"]))),
          flat(*by_hand(layer, "LSTM", x, (inputs["h"], inputs["c"]))), terms=300)  # fmt: skip
    fresh = recurnn.nn.LSTM(4, 5, initial="learned")
    assert not fresh.initial_h.any()
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[3] = True
    whole = layer(x, reset=reset)[0]
    agree({"y": whole}, {"y": torch.cat([layer(x[:3])[0], layer(x[3:])[0]])}, terms=300)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_stateful_layer_streams(kind: str) -> None:
    layer, inputs = problem(kind, {"stateful": True, "num_layers": 2})
    x = inputs["x"]
    parts = [layer(x[:2]), layer(x[2:3]), layer(x[3:])]
    layer.reset_states()
    whole = layer(x)
    agree({"y": torch.cat([p[0] for p in parts])}, {"y": whole[0]}, terms=300)
    agree(flat(0 * whole[0], parts[-1][1]), flat(0 * whole[0], whole[1]), terms=300)
    assert layer._carried is not None
    assert not any(s.requires_grad for s in layer._carried)
    with pytest.raises(recurnn.errors.ShapeError) as caught:
        layer(x[:, :2])
    assert str(caught.value) == (
        f"{kind}: the carried state does not fit the input.\n  The last call had 3 rows, x has 2: "
        "call reset_states() where new sequences begin."
    )


# Starts


def test_forget_bias_and_starts_by_gate() -> None:
    layer = recurnn.nn.LSTM(3, 4, 2, forget_bias=1.0)
    for k in range(2):
        b, u = getattr(layer, f"bias_ih_l{k}"), getattr(layer, f"bias_hh_l{k}")
        assert torch.equal(b[4:8] + u[4:8], torch.ones(4))
        assert not torch.equal(b[:4] + u[:4], torch.ones(4))
    torch.manual_seed(1)
    plain = recurnn.nn.LSTM(3, 4, 2)
    torch.manual_seed(1)
    other = recurnn.nn.LSTM(3, 4, 2, forget_bias=1.0)
    assert torch.equal(plain.weight_hh_l1, other.weight_hh_l1)
    layer = recurnn.nn.GRU(3, 4, init={"U_*": "orthogonal", "W_n": "zeros", "b_z": 2.0})
    for n in range(3):
        U = layer.weight_hh_l0[4 * n : 4 * n + 4]
        torch.testing.assert_close(U @ U.T, torch.eye(4))
    assert not layer.weight_ih_l0[8:].any()
    assert layer.weight_ih_l0[:8].any()
    assert torch.equal((layer.bias_ih_l0 + layer.bias_hh_l0)[4:8], torch.full((4,), 2.0))


# Activations


def _hard_sigmoid(z: Tensor) -> Tensor:
    return torch.clamp(z / 6 + 0.5, 0, 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {"activation": "softsign", "gate_activation": "hard_sigmoid"}),
        ("LSTM", {"activation": torch.sin}),
        ("GRU", {"gate_activation": "hard_sigmoid", "activation": "elu", "bidirectional": True}),
        ("RNN", {"activation": "softplus", "num_layers": 2}),
    ],
    # a function's own text has its address, which differs between the processes of a run
    ids=lambda v: re.sub(r"<[^>]*(?:function|method) (\w+)[^>]*>", r"\1", str(v)),
)
def test_activations_of_ones_own(kind: str, options: dict[str, Any]) -> None:
    layer, inputs = problem(kind, options)
    given = {k: v for k, v in options.items() if "activation" in k}
    # Not torch's hardsigmoid, whose derivative is a sixth in float32 whatever the type.
    given |= {k: _hard_sigmoid for k, v in given.items() if v == "hard_sigmoid"}
    x = inputs["x"]
    cell = getattr(cells, f"Activated{ {'RNN': 'Elman'}.get(kind, kind) }")
    y = x
    for k in range(layer.num_layers):
        made = cell(y.shape[-1], 5, **given, device="meta")
        how = {"parameters": named(layer, kind, k, ""), "engine": "reference"}
        y = recurnn.scan(made, y, **how).output
    got = layer(x)[0][..., :5]
    weights = {k: w for k, w in layer.named_parameters() if "reverse" not in k}
    agree(with_gradients({"y": got}, weights), with_gradients({"y": y}, weights), terms=300)


def test_the_usual_activations_by_name_are_the_plain_layer() -> None:
    usual = {"activation": "tanh", "gate_activation": "sigmoid"}
    for kind in ("LSTM", "GRU"):
        layer, inputs = problem(kind, usual)
        plain = getattr(torch.nn, kind)(4, 5, dtype=F64)
        plain.load_state_dict(layer.state_dict())
        agree({"y": layer(inputs["x"])[0]}, {"y": plain(inputs["x"])[0]}, terms=200)


# Masks of a call


def test_input_dropout_has_one_mask_for_all_steps() -> None:
    layer = recurnn.nn.RNN(4, 5, input_dropout=0.5)
    x = torch.ones(6, 2, 4, requires_grad=True)
    slopes = torch.autograd.grad(layer(x)[0].sum(), x)[0]
    gone = slopes == 0
    assert bool((gone == gone[0]).all())
    assert gone.any()
    assert not gone.all()
    torch.manual_seed(7)
    first = layer(x)[0]
    torch.manual_seed(7)
    assert torch.equal(layer(x)[0], first)
    assert torch.equal(layer.eval()(x)[0], layer(x)[0])


def test_weight_drop_is_a_scan_with_dropped_weights() -> None:
    layer, inputs = problem("LSTM", {"weight_dropout": 0.5})
    x = inputs["x"]
    torch.manual_seed(9)
    got = with_gradients({"y": layer.train()(x)[0]}, dict(layer.named_parameters()))
    torch.manual_seed(9)
    U = dropout(layer.weight_hh_l0, 0.5)
    assert 0.2 < float((U == 0).double().mean()) < 0.8
    weights = dict(layer.named_parameters())
    plain = torch.nn.LSTM(4, 5, dtype=F64)
    y = torch.func.functional_call(plain, weights | {"weight_hh_l0": U}, (x,))[0]
    agree(got, with_gradients({"y": y}, weights), terms=300)
    identical({"y": layer.eval()(x)[0]}, {"y": layer(x)[0]})
