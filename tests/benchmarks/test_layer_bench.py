"""The layers' benchmark: it refuses wrong numbers and says of right ones what is so. No times."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict

import pytest
import torch

from kernel_bench import ours
from kernel_bench.timing import Time, over
from layer_bench import options, ragged, results, shown
from layer_bench.keras_peer import keras_runs
from layer_bench.options import OPTIONS, Case, Cost
from layer_bench.ragged import Packed, Ragged
from recurnn.nn import merge

SMALL = (12, 3, 5, 7)


def near(median: float) -> Time:
    return Time(median, median, median)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_case_agrees_with_the_reference(cell: str, name: str) -> None:
    Case(cell, name, SMALL).check()


def test_a_wrong_case_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("lstm", "zoneout", SMALL)
    wrong = Case("lstm", "zoneout", SMALL).results(case.layer)
    wrong["dbias_hh_l0"][3] += 0.01
    found = iter([wrong, Case("lstm", "zoneout", SMALL).results(case.layer)])
    monkeypatch.setattr(case, "results", lambda layer: next(found))
    with pytest.raises(SystemExit, match="lstm, zoneout, against the reference: dbias_hh_l0 is"):
        case.check()
    case = Case("gru", "two directions, concat", SMALL)
    monkeypatch.setitem(merge.MERGED, "concat", lambda a, b: torch.cat([b, a], -1))
    with pytest.raises(SystemExit, match="gru, two directions, concat, against torch: y is off"):
        case.check()


def test_a_wrong_ragged_batch_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packed, "forward", lambda self, x: self.layer(x))
    with pytest.raises(SystemExit, match="not timed: lstm, ragged: y is off"):
        ragged.measure("lstm", SMALL, 1)


def test_the_packed_sequence_is_our_padded_batch() -> None:
    layer, theirs = ours.layers("gru", SMALL)
    lengths = torch.tensor([3, 12, 1])
    x = torch.randn(12, 3, 5)
    want, _ = Packed(theirs, lengths)(x)
    torch.testing.assert_close(layer(x, lengths=lengths)[0], want)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert over([2.0, 30.0, 8.0], [1.0, 10.0, 8.0]) == Time(2.0, 1.5, 2.5)


def rows() -> tuple[list[Cost], list[Ragged]]:
    """Every case: one over the aim in training, one ragged batch over its share."""
    costs = []
    for cell in ("lstm", "gru"):
        for name in OPTIONS:
            forward = {"ours": near(2.0), "torch": near(3.0), "without": near(1.2)}
            worse = {"without": near(1.31)} if (cell, name) == ("gru", "zoneout") else {}
            train = forward | {"keras": near(50.0)} | worse
            costs.append(Cost(cell, name, results.SHAPE, forward, train))
    found = []
    for cell in ("elman", "gru", "lstm"):
        for shape in results.RAGGED:
            times = {"ours": near(2.0), "torch": near(3.0), "ours, share": near(1.1),
                     "torch, share": near(1.4)}  # fmt: skip
            worse = {"ours, share": near(1.3)} if cell == "elman" else {}
            found.append(Ragged(cell, shape, 0.58, times | worse, times))
    return costs, found


def test_the_tables_show_what_misses_its_aim() -> None:
    costs, found = rows()
    text = shown.costs(costs)
    assert (
        "| gru, zoneout | 2 | 1.20 (1.20–1.20) | 3 | – | 2 | **1.31** (1.31–1.31) | 3 | 50 |"
        in (text.splitlines())
    )
    assert text.endswith("Over the aim, × 1.3: gru zoneout, train (× 1.31).")
    assert "| lstm, plain | 2 | – | 3 | – | 2 | – | 3 | 50 |" in text
    text = shown.ragged_table(found)
    assert text.count("**1.30**") == 2
    assert text.endswith(
        "aim, × 1.25 of its share: elman at 100, 64, 128, 128, forward (× 1.30); "
        "elman at 100, 32, 256, 256, forward (× 1.30)."
    )


def test_slices_add_up_to_the_documented_table(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results" / "layers.json")
    costs, found = rows()
    results.keep("options", costs[:5])
    with pytest.raises(SystemExit, match=r"not measured: \[\('lstm', 'layer norm'"):
        results.documented()
    results.keep("options", costs[4:])
    results.keep("ragged", found)
    text = results.documented()
    assert shown.costs(costs) in text
    assert shown.ragged_table(found) in text
    kept = json.loads(results.RESULTS.read_text())["options"]["rows"]
    assert len(kept) == len(costs)
    assert results.restored(kept[-1]) == asdict(costs[-1]) | {
        k: costs[-1].times(k) for k in ("forward", "train")
    }


@pytest.mark.slow  # Keras takes its time to be imported
def test_keras_is_checked_and_timed_where_it_has_the_option() -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    for cell in ("lstm", "gru"):
        for name in ("plain", "mask with gaps", "two directions, sum", "two layers, residual"):
            runs = keras_runs(Case(cell, name, SMALL))
            assert sorted(runs) == ["forward", "train"], (cell, name)
            y, dx, *_ = runs["train"]()
            assert y.shape == (3, 12, 7)
            assert dx.shape == (3, 12, 5)
    assert keras_runs(Case("lstm", "zoneout", SMALL)) == {}
    assert options.LIMIT == 1.3
