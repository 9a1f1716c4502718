"""What `fit` refuses before any work is done, in its own words."""

import math

import pytest
import torch
from torch import nn

from recurnn.data import Sequences, Streams
from recurnn.errors import ConfigError, DataError, KindError, ShapeError
from recurnn.training import METRICS, Decay, Plan, Plateau, TrainingError, Warmup, fit


class Pairs:
    def __len__(self) -> int:
        return 6

    def batch(self, index):
        raise AssertionError("no batch is to be taken before the options are checked")


def frozen() -> nn.Module:
    return nn.Linear(2, 1).requires_grad_(requires_grad=False)


def text_of(kind: type[Exception], *arguments, **options) -> str:
    with pytest.raises(kind) as caught:
        fit(*arguments, **options)
    return str(caught.value)


def test_a_batch_larger_than_the_data():
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, Plan(batch_size=7)) == (
        "batch_size is 7, more than the training part has: 6.\n"
        '  Give a smaller one, or "all" for all of it at once.'
    )


def test_nothing_to_train():
    assert text_of(TrainingError, frozen(), Pairs(), None, Plan(), name="GRU") == (
        "GRU: there is nothing to train.\n"
        "  The network has 3 weights, and none of them requires a gradient."
    )


def test_no_such_metric():
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, Plan(), metrics=["acuracy"]) == (
        f"metric: there is no 'acuracy'.\n  Known: {', '.join(METRICS)}. Did you mean 'accuracy'?"
    )


def test_a_monitor_that_is_not_measured():
    plan = Plan(monitor="accuracy")
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), Pairs(), plan, metrics=["mae"]) == (
        "monitor: there is no 'accuracy'.\n  Known: loss, mae."
    )
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, plan, metrics=["accuracy"]) == (
        "monitor is 'accuracy', but there is no validation part to measure it on."
    )


def test_an_option_that_the_optimizer_does_not_have():
    plan = Plan(optimizer="sgd", optimizer_options={"betas": (0.9, 0.99)})
    text = text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, plan)
    assert text.startswith(
        "sgd cannot be made with these options.\n  optimizer_options is {'betas': (0.9, 0.99)}: "
    )


@pytest.mark.parametrize("name", ["lbfgs", "sparseadam"])
def test_optimizers_that_need_another_loop_are_not_named(name):
    with pytest.raises(ConfigError, match=f"optimizer: there is no '{name}'"):
        Plan(optimizer=name)


def test_buckets_without_lengths():
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, Plan(bucket=True)) == (
        "bucket: the data have no lengths.\n"
        "  Sequences of unequal length have them (recurnn.data.Sequences); others need no buckets."
    )


def test_a_stream_of_too_few_lanes(monkeypatch):
    monkeypatch.setattr("recurnn.training.processes.Accelerator.num_processes", 3)
    stream = Streams(torch.zeros(9, 1), batch_size=2)
    assert text_of(ConfigError, nn.Linear(1, 1), stream, None, Plan(k1=2)) == (
        "The stream has 2 lanes for 3 processes.\n"
        "  Each process needs a lane of its own: give a larger batch_size."
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"learning_rate": math.inf}, "learning_rate is inf; expected a number above 0."),
        ({"learning_rate": math.nan}, "learning_rate is nan; expected a number above 0."),
        ({"k1": 0}, "k1 is 0; expected a whole number of at least 1."),
        ({"accumulate": 1.5}, "accumulate is 1.5; expected a whole number of at least 1."),
        ({"precision": "float16"},
         "precision: there is no 'float16'.\n  Known: float32, bfloat16. Did you mean 'bfloat16'?"),
        ({"non_finite": "ignore"}, "non_finite: there is no 'ignore'.\n  Known: raise, warn, off."),
        ({"schedule": Warmup(5, then="cosin")},
         "schedule: then: there is no 'cosin'.\n  Known: constant, cosine, linear. "
         "Did you mean 'cosine'?"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be(options, text):
    with pytest.raises(ConfigError) as caught:
        Plan(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(("kind", "name"), [(Decay, "Decay"), (Plateau, "Plateau")])
def test_a_factor_that_is_no_decay(kind, name):
    with pytest.raises(ConfigError) as caught:
        kind(factor=1.2, **({"after": 6} if kind is Decay else {}))
    assert str(caught.value) == f"{name}: factor is 1.2; expected a number between 0 and 1."


def test_sequences_of_unequal_length_train_in_buckets():
    data = Sequences([torch.randn(n, 2) for n in (3, 1, 4, 1, 5)], torch.zeros(5, 1))

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 1)

        def forward(self, x, lengths):
            return self.head(x[torch.arange(len(x)), lengths - 1])

    history = fit(Last(), data, data, Plan(batch_size=2, epochs=1, bucket=True))
    assert history.updates == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (nn.Linear, Pairs(), None, Plan()),
            "module is the class Linear.\n  Expected a network, that is an nn.Module with its "
            "sizes.",
        ),
        (
            (nn.Linear(2, 1), Pairs(), None, {"epochs": 1}),
            "plan is a dict.\n  Expected a Plan, such as Plan(epochs=10).",
        ),
        (
            (nn.Linear(2, 1), torch.zeros(3, 2), None, Plan()),
            "train is a Tensor.\n  Expected numbered pairs with `__len__` and `batch(index)`, such "
            "as recurnn.data.Sequences(x, y), or a recurnn.data.Streams: batches are drawn by the "
            "loop, so that a run can go on in the same order.",
        ),
    ],
)
def test_an_argument_of_another_kind(arguments, text):
    assert text_of(KindError, *arguments) == f"fit: {text}"


def test_saves_that_are_only_a_folder():
    assert text_of(KindError, nn.Linear(2, 1), Pairs(), None, Plan(), saves="out") == (
        "fit: saves is a str.\n  Expected Saves(folder) or None."
    )


def test_no_samples():
    class Nothing(Pairs):
        def __len__(self) -> int:
            return 0

    assert text_of(DataError, nn.Linear(2, 1), Pairs(), Nothing(), Plan()) == (
        "fit: validation is empty: it has no samples."
    )


def test_an_optimizer_that_was_made_already():
    with pytest.raises(KindError) as caught:
        Plan(optimizer=torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1))
    assert str(caught.value) == (
        "optimizer is a SGD that was made already.\n  Expected its name, or a function of the "
        "weights: lambda weights: SGD(weights, lr=0.1)."
    )


def test_an_optimizer_of_other_weights():
    other = nn.Linear(2, 1)
    for made, kind, text in (
        (
            torch.optim.SGD(other.parameters(), lr=0.1), ConfigError,
            "optimizer holds none of the network's weights.\n"
            "  Make it of the weights that the function is called with.",
        ),
        (
            None, KindError,
            "optimizer returned a NoneType.\n"
            "  Expected a function of the weights that returns a torch.optim.Optimizer.",
        ),
    ):  # fmt: skip
        plan = Plan(optimizer=lambda weights, made=made: made)
        assert text_of(kind, nn.Linear(2, 1), Pairs(), None, plan) == text


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_cross_entropy"])
def test_a_target_that_would_be_repeated(loss):
    class Wide(Pairs):
        def batch(self, index):
            return torch.zeros(len(index), 2), torch.zeros(len(index), 1)

    assert text_of(ShapeError, nn.Linear(2, 4), Wide(), None, Plan(loss=loss, batch_size=3)) == (
        "The output and the target differ in shape.\n"
        "  The network says [3, 4]; the target is [3, 1]."
    )
