"""Training where there is a GPU: the network is there while it trains, and home again after it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import recurnn
from recurnn import insight, scan
from recurnn.cells import CELLS
from recurnn.data.tasks import Adding
from recurnn.data.text import Texts
from recurnn.models.long_lag import learn_task
from recurnn.models.long_lag_settings import Settings
from recurnn.training import Plan, evaluate, fit
from recurnn.training.evaluation import measure
from recurnn.training.feeds import InOrder
from recurnn.training.objective import Supervised
from recurnn.training.processes import Processes

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Data:
    """Sequences and their means."""

    def __init__(self) -> None:
        self.x = torch.rand(60, 9, 1, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[index], self.x[index].mean(1)


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = recurnn.nn.GRU(1, 6, batch_first=True)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def test_data_go_to_where_the_network_is_and_not_where_training_would_be():
    class Elsewhere(Processes):
        def __init__(self) -> None:
            super().__init__()
            self.device = torch.device("meta")

    found = measure(Mean(), InOrder(Data(), 8), Supervised(nn.functional.mse_loss), {}, Elsewhere())
    assert 0 < found["loss"] < 10


@needs_cuda
def test_a_network_trains_there_is_looked_at_there_and_comes_home():
    network, monitor = Mean(), insight.Monitor(every=2, warn=False)
    fit(network, Data(), Data(), Plan(batch_size=20, epochs=3, learning_rate=0.01), watch=monitor)
    assert next(network.parameters()).device.type == "cpu"
    assert {"left layer", "saturated layer"} <= set(monitor.course.frame)
    there = evaluate(network.cuda(), Data())["loss"]
    assert evaluate(network.cpu(), Data())["loss"] == pytest.approx(there, rel=1e-4)


@needs_cuda
@pytest.mark.parametrize("crf", [False, True])
def test_a_tagger_that_spells_its_words(crf):
    pytest.importorskip("torchcrf") if crf else None
    words = [["a", "bird", "sings"], ["birds", "sing"]] * 20
    tags = [["D", "N", "V"], ["N", "V"]] * 20
    model = recurnn.SequenceTagger(hidden_size=8, epochs=12, crf=crf).fit(words, tags)
    assert model.score(words, tags) > 0.9


@needs_cuda
def test_a_long_lag_task():
    few = Settings(hidden_size=8, batch_size=20, check=200, sequences=600)
    assert len(learn_task(Adding(9), "gru", settings=few).curve) == 4


@needs_cuda
@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_cell_says_there_what_it_says_here(name):
    torch.manual_seed(0)
    cell = CELLS[name](3, 8, **({"proj_size": 5} if name == "projected-lstm" else {}))
    x = torch.randn(6, 4, 3)
    here = scan(cell, x, lengths=[6, 2, 5, 6])
    here.output.square().mean().backward()
    expected = {k: p.grad.clone() for k, p in cell.named_parameters() if p.grad is not None}
    cell.zero_grad()
    there = scan(cell.cuda(), x.cuda(), lengths=[6, 2, 5, 6])
    there.output.square().mean().backward()
    torch.testing.assert_close(there.output.cpu(), here.output, rtol=1e-3, atol=1e-4)
    for k, p in cell.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad.cpu(), expected[k], rtol=1e-2, atol=1e-4)


@needs_cuda
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_drop_in_layer_is_torchs_there(kind):
    torch.manual_seed(0)
    ours = getattr(recurnn.nn, kind)(3, 8, num_layers=2, bidirectional=True).cuda()
    theirs = getattr(nn, kind)(3, 8, num_layers=2, bidirectional=True).cuda()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(6, 4, 3, device="cuda")
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    listed = ours(x, lengths=torch.tensor([6, 2, 5, 6]))[0]
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 2, 5, 6]), enforce_sorted=False)
    same, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0])
    torch.testing.assert_close(listed, same, rtol=1e-2, atol=2e-3)  # cuDNN's products are TF32


@needs_cuda
def test_texts_are_learned_there():
    texts = Texts.of(["the cat sat on the mat"] * 60)
    model = recurnn.LanguageModel(unit="words", hidden_size=16, epochs=4, steps=8, batch_size=4,
                                  ngram=0, learning_rate=0.02)  # fmt: skip
    model.fit(texts)
    assert np.isfinite(model.comparison[0].nats)
    assert model.generate("the", length=4)
