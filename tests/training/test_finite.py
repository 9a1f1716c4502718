"""NaN and infinity: noticed, named, and kept away from the weights."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import recurnn
from recurnn.data import Streams
from recurnn.training import NonFiniteWarning, Plan, Run, TrainingError, Update, Watch, fit


class Pairs:
    """Sequences x [8, 5, 2] with one number each as target."""

    def __init__(self, *, bad: int | None = None) -> None:
        g = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(8, 5, 2, generator=g), torch.randn(8, 1, generator=g)
        if bad is not None:
            self.x[bad, 3, 1] = torch.nan

    def __len__(self) -> int:
        return 8

    def batch(self, index: Tensor):
        return self.x[index], self.y[index]


class Net(nn.Module):
    def __init__(self, spoil=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Linear(2, 2)
        self.rnn = recurnn.nn.GRU(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 1)
        self.spoil = spoil

    def forward(self, x: Tensor) -> Tensor:
        z = self.scale(x).transpose(0, 1)
        if self.spoil == "step":
            z = torch.cat([z[:2], z[2:] * torch.inf])
        y = self.head(self.norm(self.rnn(z)[0][-1]))
        if self.spoil == "loss":
            return y * 1e30
        if self.spoil == "gradient":  # a root has an infinite slope at 0
            return y + (y * 0).sqrt().mean()
        return y


def text_of(net: Net, data: Pairs, **options) -> str:
    with pytest.raises(TrainingError) as caught:
        fit(net, data, None, Plan(batch_size=8, epochs=1, **options), name="GRU")
    return str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        ("step", "the output of rnn (GRU), first at step 2 of 5."),
        ("loss", "the loss, inf, though the output of every layer is finite."),
        ("gradient", "the gradient of head.bias, though the loss is finite."),
    ],
)
def test_the_first_that_went_bad_is_named(spoil, what):
    text = text_of(Net(spoil), Pairs())
    assert f"The first that is not finite: {what}\n" in text
    kind = "gradient is no longer finite" if spoil == "gradient" else "loss is no longer a number"
    assert text.startswith(f"GRU: the {kind}.\n  The loss was ")
    assert "in epoch 1, batch 1 of 1, with adam and learning rate 0.001." in text


def test_a_bad_input_and_a_bad_weight_are_named():
    assert "is not finite: the input, first at step 3 of 5." in text_of(Net(), Pairs(bad=6))
    net = Net()
    with torch.no_grad():
        net.rnn.weight_hh_l0[0, 0] = torch.nan
    assert "is not finite: the weight rnn.weight_hh_l0, before this" in text_of(net, Pairs())


class Log(Watch):
    def __init__(self) -> None:
        self.updates: list[Update] = []

    def update(self, run: Run, update: Update) -> None:
        self.updates.append(update)


def test_a_bad_update_is_left_out_and_training_goes_on():
    data, net, watch = Pairs(bad=6), Net(), Log()
    with pytest.warns(NonFiniteWarning, match="This update is left out, and training goes on."):
        history = fit(net, data, None, Plan(batch_size=2, epochs=2, non_finite="warn"), watch=watch)
    assert sum(u.skipped for u in watch.updates) == 2
    assert [e.skipped for e in history.epochs] == [0, 1, 1]
    assert all(torch.isfinite(v).all() for v in net.state_dict().values())
    assert torch.isfinite(torch.tensor([e.loss for e in history.epochs[1:]])).all()
    # The buffers of the batch normalisation saw three good batches in each epoch.
    assert int(net.norm.num_batches_tracked) == 6


class Lanes(nn.Module):
    """A network on streams, whose layer says infinity from where its input is huge."""

    def __init__(self, *, batch_first: bool = False, resets: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.batch_first = batch_first
        kind = recurnn.nn.RNN if resets else nn.RNN
        self.rnn = kind(1, 3, nonlinearity="relu", batch_first=batch_first)
        self.head = nn.Linear(3, 1)
        if resets:
            self.forward = self.reset_forward
        with torch.no_grad():
            self.rnn.weight_ih_l0.fill_(1e10)

    def forward(self, x: Tensor, state=None):
        h, state = self.rnn(x.transpose(0, 1) if self.batch_first else x, state)
        return self.head(h.transpose(0, 1) if self.batch_first else h), state

    def reset_forward(self, x: Tensor, state=None, reset=None):
        h, state = self.rnn(x, state, reset=reset)
        return self.head(h), state


def lanes(*, x_at=None, y_at=None, huge_at=None) -> Streams:
    g = torch.Generator().manual_seed(1)
    x, y = torch.rand(61, 1, generator=g) * 1e-12, torch.rand(61, 1, generator=g)
    for values, at, bad in ((x, x_at, torch.nan), (y, y_at, torch.inf), (x, huge_at, 1e30)):
        if at is not None:
            values[at] = bad
    return Streams(x, y, batch_size=3, starts=[2, 24, 26, 50])  # lanes of twenty


@pytest.mark.parametrize("k2", [6, 10])
@pytest.mark.parametrize(
    ("where", "network", "what"),
    [
        ({"x_at": 34}, {}, "the input, first at step 14 of lane 1."),
        ({"y_at": 55}, {}, "the target, first at step 15 of lane 2."),
        ({"huge_at": 35}, {}, "the output of rnn (RNN), first at step 15 of the lanes."),
        ({"huge_at": 35}, {"batch_first": True},
         "the output of rnn (RNN), first at step 15 of the lanes."),
        ({"huge_at": 27}, {"resets": True},
         "the output of rnn (RNN), first at step 7 of the lanes."),
        ({"huge_at": 27}, {}, "the output of rnn (RNN), first at step 7 of the lanes."),
    ],
)  # fmt: skip
def test_the_step_of_a_stream_is_named(where, network, what, k2):
    plan = Plan(optimizer="sgd", learning_rate=1e-30, k1=6, k2=k2, epochs=1)
    with pytest.raises(TrainingError) as caught:
        fit(Lanes(**network), lanes(**where), None, plan, name="Lanes")
    text = str(caught.value)
    assert f"The first that is not finite: {what}\n" in text
    window = 3 if ("x_at" in where or "y_at" in where or where["huge_at"] == 35) else 2
    begin = {3: 18 - k2, 2: 12 - k2}[window]
    assert f"epoch 1, batch {window} of 4 (steps {begin} to {6 * window - 1} of the lanes)" in text


@pytest.mark.parametrize("number", [1, 2, 3])
def test_of_batches_that_are_accumulated_the_one_that_went_bad_is_named(number):
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))  # of the first epoch
    data = Pairs(bad=int(order[2 * number - 1]))
    with pytest.raises(TrainingError) as caught:
        fit(Net(), data, None, Plan(batch_size=2, accumulate=3, epochs=1))
    text = str(caught.value)
    assert "in epoch 1, batches 1 to 3 of 4, with adam" in text
    assert f"is not finite: the input, first at step 3 of 5, in batch {number}.\n" in text


def test_of_two_bad_batches_the_first_is_named_and_of_a_second_update_its_number():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    data = Pairs(bad=int(order[7]))  # in batch 4 of 4
    data.y[order[5]] = torch.inf  # in batch 3
    with pytest.raises(TrainingError) as caught:
        fit(Net(), data, None, Plan(batch_size=2, accumulate=2, epochs=1))
    assert "batches 3 to 4 of 4, with" in str(caught.value)
    assert "is not finite: the target, in batch 3.\n" in str(caught.value)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ({"x_at": 22}, "the input, first at step 2 of lane 1, in batch 1."),
        ({"huge_at": 29}, "the output of rnn (RNN), first at step 9 of the lanes, in batch 2."),
        ({"y_at": 37}, "the target, first at step 17 of lane 1, in batch 3."),
    ],
)
def test_of_accumulated_chunks_of_a_stream_the_first_bad_step_is_named(where, what):
    plan = Plan(optimizer="sgd", learning_rate=1e-30, k1=6, accumulate=3, epochs=1)
    with pytest.raises(TrainingError) as caught:
        fit(Lanes(), lanes(**where), None, plan, name="Lanes")
    text = str(caught.value)
    assert f"The first that is not finite: {what}\n" in text
    assert "epoch 1, batches 1 to 3 of 4 (steps 0 to 17 of the lanes)" in text


def test_a_batch_that_chance_made_bad_is_found_again():
    class Chance(Net):
        def forward(self, x: Tensor) -> Tensor:
            made.append(float(torch.rand(())))
            return super().forward(x) * (torch.inf if made[-1] == bad else 1)

    made, bad = [], None
    plan = Plan(batch_size=2, accumulate=3, epochs=1)
    fit(Chance(), Pairs(), None, plan)
    bad = made[1]  # what the second batch draws, and no other
    made.clear()
    with pytest.raises(TrainingError) as caught:
        fit(Chance(), Pairs(), None, plan)
    assert "is not finite: the output of Chance (Chance), in batch 2.\n" in str(caught.value)


def test_a_bad_chunk_does_not_poison_the_state_that_is_carried():
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.head = nn.LSTM(1, 3), nn.Linear(3, 1)

        def forward(self, x: Tensor, state=None):
            h, state = self.rnn(x, state)
            return self.head(h), state

    x = torch.randn(60, 1, generator=torch.Generator().manual_seed(1))
    x[25] = torch.inf
    watch = Log()
    with pytest.warns(NonFiniteWarning):
        fit(Reader(), Streams(x, torch.zeros(60, 1), batch_size=2), None,
            Plan(k1=10, epochs=1, non_finite="warn"), watch=watch)  # fmt: skip
    assert [u.skipped for u in watch.updates] == [False, False, True]
    with pytest.warns(NonFiniteWarning):
        fit(Reader(), Streams(x, torch.zeros(60, 1), batch_size=1), None,
            Plan(k1=10, epochs=1, non_finite="warn"), watch=(again := Log()))  # fmt: skip
    assert [u.skipped for u in again.updates] == [False, False, True, False, False, False]


def test_off_is_off():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(
            Net(), Pairs(bad=6), None,
            Plan(batch_size=8, epochs=1, non_finite="off", clip=None),
        )  # fmt: skip
    assert history.updates == 1


def test_off_is_off_where_the_norm_is_measured_for_clipping_too():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = Plan(batch_size=8, epochs=1, non_finite="off", clip=1.0)
        history = fit(net := Net(), Pairs(bad=6), None, plan)
    assert history.epochs[-1].skipped == 0
    assert not torch.isfinite(net.head.weight).any()


def test_a_target_that_is_not_finite_is_named_and_the_advice_is_to_look_at_it():
    data = Pairs()
    data.y[2] = torch.nan
    with pytest.raises(TrainingError) as caught:
        fit(Net(), data, None, Plan(batch_size=8, epochs=1))
    assert str(caught.value).endswith(
        "The first that is not finite: the target.\n"
        "  Look at the data and at the weights to begin with."
    )


def test_a_validation_part_that_is_not_finite_is_told():
    with pytest.raises(TrainingError) as caught:
        fit(Net(), Pairs(), Pairs(bad=0), Plan(batch_size=8, epochs=2), name="Net")
    assert str(caught.value) == (
        "Net: the validation loss is nan after epoch 0, though the training was finite.\n"
        "  Look for NaN and infinity in the validation part."
    )


def test_the_best_epoch_is_never_one_that_is_not_a_number():
    net = Net()
    plan = Plan(batch_size=8, epochs=2, patience=None, non_finite="warn")
    with pytest.warns(NonFiniteWarning, match=r"the validation loss is nan after epoch \d"):
        history = fit(net, Pairs(), Pairs(bad=0), plan)
    assert history.best == 0
