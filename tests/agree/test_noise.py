"""Zoneout and dropout of the recurrent state: drawn masks, the equations by hand, one engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurnn
from gradients import with_gradients
from problems import normal
from recurnn import cells, nn
from recurnn.cells import noise
from tolerance import agree, identical

F64 = torch.float64


def lstm(p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor, drop: Any) -> tuple[Tensor, Tensor]:
    """One step of the LSTM, with what U multiplies dropped."""
    z = {k: x @ p[f"W_{k}"].T + (drop * h) @ p[f"U_{k}"].T + p[f"b_{k}"] for k in "ifgo"}
    new = torch.sigmoid(z["f"]) * c + torch.sigmoid(z["i"]) * torch.tanh(z["g"])
    return torch.sigmoid(z["o"]) * torch.tanh(new), new


def by_hand(cell: cells.Cell, x: Tensor, masks: dict[str, Tensor]) -> Tensor:
    p = cell.tensors()
    h = c = x.new_zeros(x.shape[1], cell.hidden_size)
    outputs = []
    for t in range(len(x)):
        keep = {
            k: masks[f"keep_{k}"][t] if masks[f"keep_{k}"].dim() == 3 else masks[f"keep_{k}"]
            for k in "hc"
            if f"keep_{k}" in masks
        }
        new_h, new_c = lstm(p, x[t], h, c, masks.get("drop_H", 1.0))
        h = keep["h"] * h + (1 - keep["h"]) * new_h if "h" in keep else new_h
        c = keep["c"] * c + (1 - keep["c"]) * new_c if "c" in keep else new_c
        outputs.append(h)
    return torch.stack(outputs)


OPTIONS: list[dict[str, Any]] = [
    {"zoneout": 0.3},
    {"zoneout": {"c": 0.5}},
    {"state_dropout": 0.4},
    {"zoneout": {"h": 0.2}, "state_dropout": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_the_layer_of_a_cell(options: dict[str, Any], training: bool, engine: str) -> None:
    torch.manual_seed(1)
    layer = nn.Recurrent(cells.LSTM(4, 5, dtype=F64), engine=engine, **options).train(training)
    x = normal(6, 3, 4, seed=1)
    weights = {"x": x} | dict(layer.named_parameters())
    torch.manual_seed(2)
    got = with_gradients({"y": layer(x).output}, weights)
    torch.manual_seed(2)
    assert layer._noise is not None
    masks = layer._noise.draw(x, training=training)[1]
    want = by_hand(layer.cell, x, masks)
    agree(got, with_gradients({"y": want}, weights), terms=300)
    if training:
        for name, mask in masks.items():
            values = sorted(set(mask.flatten().tolist()))
            top = 1 / (1 - options["state_dropout"]) if name == "drop_H" else 1.0
            assert values == pytest.approx([0.0, top])
            assert mask.dim() == (2 if name == "drop_H" else 3)


def test_two_wrong_zoneouts_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new exchanged; and one mask for all steps."""
    layer = nn.Recurrent(cells.LSTM(4, 5, dtype=F64), zoneout=0.3)
    x = normal(6, 3, 4, seed=1)
    assert layer._noise is not None
    draw = layer._noise.draw
    for wrong in (lambda m: 1 - m, lambda m: m[:1].expand_as(m)):
        torch.manual_seed(2)
        want = by_hand(layer.cell, x, draw(x, training=True)[1])

        def changed(x: Tensor, *, training: bool, wrong: Any = wrong) -> Any:
            cell, masks = draw(x, training=training)
            return cell, {k: wrong(m) for k, m in masks.items()}

        monkeypatch.setattr(layer._noise, "draw", changed)
        torch.manual_seed(2)
        with pytest.raises(AssertionError, match="more than"):
            agree({"y": layer(x).output}, {"y": want}, terms=300)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("options", OPTIONS[:1] + OPTIONS[2:3], ids=str)
def test_the_drop_ins_draw_for_every_layer_and_direction(
    kind: str, options: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    layer = getattr(recurnn.nn, kind)(4, 5, 2, bidirectional=True, dtype=F64, **options)
    x = normal(6, 3, 4, seed=1)
    torch.manual_seed(2)
    got = layer(x, lengths=[6, 0, 2])[0]
    torch.manual_seed(2)
    assert torch.equal(layer(x, lengths=[6, 0, 2])[0], got)
    assert not torch.equal(layer(x, lengths=[6, 0, 2])[0], got)
    # the same draws, one direction after another
    torch.manual_seed(2)
    y = x
    for plan in layer._plan:
        outputs = []
        for direction in plan:
            disturbed = noise_of(direction.cell, options)
            cell, inputs = disturbed.draw(y, training=True)
            bound = direction.binding.weights(layer._weights(direction), cell.shapes())
            result = recurnn.scan(
                cell, y, parameters=bound, inputs=inputs, lengths=[6, 0, 2],
                reverse=direction.reverse, engine="reference",
            )  # fmt: skip
            outputs.append(result.output)
        y = torch.cat(outputs, -1)
    weights = {"x": x} | dict(layer.named_parameters())
    agree(with_gradients({"y": got}, weights), with_gradients({"y": y}, weights), terms=500)
    layer.eval()
    identical({"y": layer(x)[0]}, {"y": layer(x)[0]})


def noise_of(cell: cells.Cell, options: dict[str, Any]) -> nn.noise.Noise:
    rates = dict.fromkeys(cell.states, options["zoneout"]) if "zoneout" in options else {}
    return nn.noise.Noise(cell, rates, options.get("state_dropout", 0.0))


def test_state_dropout_in_evaluation_is_the_plain_layer() -> None:
    layer = recurnn.nn.GRU(4, 5, state_dropout=0.5, dtype=F64).eval()
    plain = recurnn.nn.GRU(4, 5, dtype=F64)
    plain.load_state_dict(layer.state_dict())
    x = normal(6, 3, 4, seed=1)
    identical({"y": layer(x)[0]}, {"y": plain(x)[0]})


def test_the_gru_carries_its_state_undropped() -> None:
    """With z = 1 the state goes on whole, whatever is dropped."""
    cell = cells.GRU(2, 8, dtype=F64, init={"b_z": 50.0})
    h = normal(3, 8, seed=2)
    layer = nn.Recurrent(cell, state_dropout=0.9)
    agree({"h": layer(normal(5, 3, 2, seed=3), h).state["h"]}, {"h": h}, terms=50)


@pytest.mark.parametrize("name", sorted(cells.CELLS))
def test_every_cell_takes_zoneout_and_some_take_dropout(name: str) -> None:
    kind = cells.CELLS[name]
    options = {"projected-lstm": {"proj_size": 2}}.get(name, {})
    cell = kind(3, 4, **options)
    zone = nn.Recurrent(cell, zoneout=0.5, engine="reference")
    x = torch.randn(3, 2, 3)
    assert torch.isfinite(zone(x).output).all()
    has = any(n.startswith("U") and " " in s for n, s in cell.weights.items())
    if not has:
        with pytest.raises(recurnn.errors.ConfigError, match="state_dropout has nothing to act on"):
            nn.Recurrent(cell, state_dropout=0.5)
        return
    drop = nn.Recurrent(cell, state_dropout=0.5, engine="reference")
    assert torch.isfinite(drop(x).output).all()
    assert type(noise.dropped(cell)).__name__ == kind.__name__
