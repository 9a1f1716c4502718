"""What `fit` refuses before any work is done, in its own words."""

import copy
import dataclasses
import inspect
import math
import pickle

import pytest
import torch
from torch import nn

from recurnn.data import Sequences, Streams
from recurnn.errors import ConfigError, DataError, KindError, ShapeError
from recurnn.training import (
    METRICS,
    Averaging,
    Decay,
    Plan,
    Plateau,
    TrainingError,
    Warmup,
    fit,
)


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
        "monitor is 'accuracy', but there is no validation part.\n  Give one, or leave monitor out."
    )


NO_STREAM = (
    "the training part is no stream.\n  k1 and k2 cut one long sequence (recurnn.data.Streams); a "
    "sample is gone through as a whole.\n  Leave them out."
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"k1": 35}, f"k1 is 35, but {NO_STREAM}"),
        ({"k2": 90}, f"k2 is 90, but {NO_STREAM}"),
        ({"patience": 8}, "patience is 8, but there is no validation part.\n  Give one, or leave "
         "patience out."),
        ({"schedule": Warmup(3, then=Plateau())}, "schedule waits for the validation loss to stop "
         "falling, but there is no validation part.\n  Give one, or leave schedule out."),
        ({"averaging": Averaging()}, "averaging waits for the validation loss to rise, but there "
         "is no validation part.\n  Give one, or the epoch after which averaging begins: "
         "Averaging(after=...)."),
    ],
)  # fmt: skip
def test_an_option_that_could_not_act(options, text):
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, Plan(**options)) == text


def test_metrics_without_a_validation_part():
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, Plan(), metrics=["mae", "mse"]) == (
        "metrics are asked for (mae, mse), but there is no validation part.\n"
        "  Give one, or leave metrics out."
    )


def test_a_loss_beside_an_objective():
    def own(module, batch, state):
        raise AssertionError("nothing is computed before the options are checked")

    for loss, said in (("mae", "'mae'"), (nn.functional.l1_loss, "'torch.nn.functional.l1_loss'")):
        plan = Plan(loss=loss)
        assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, plan, objective=own) == (
            f"loss is {said}, but the objective given to fit says what is minimised.\n"
            "  Leave out one of the two."
        )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 4}, "batch_size is 4, but the training part is a stream, which has its "
         "lanes already: 2.\n  Leave it out; Streams(..., batch_size=...) is where lanes are "
         "chosen."),
        ({"bucket": True}, "bucket: the training part is a stream, which has no sequences to batch "
         "by length.\n  Leave it out."),
    ],
)  # fmt: skip
def test_an_option_that_a_stream_has_no_use_for(options, text):
    stream = Streams(torch.zeros(9, 1), batch_size=2)
    assert text_of(ConfigError, nn.Linear(1, 1), stream, None, Plan(k1=2, **options)) == text


class NoState(nn.Linear):
    def forward(self, x, state=None):
        return super().forward(x)


class One(nn.Linear):
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            NoState(1, 1),
            "NoState returned no state for a chunk of a stream.\n  It returned a Tensor; expected "
            "output [k, B, ...] and the state to carry to the next chunk.\n  Write return output, "
            "state; a network without a state returns None for it.",
        ),
        (
            One(1, 1),
            "One cannot be run along a stream: its forward(x) takes no state.\n  It is called "
            "with a chunk x [k, B, ...] and the state that it returned for the chunk before, None "
            "at first.\n  Write forward(self, x, state=None), and return output, state.",
        ),
    ],
)
def test_a_network_without_a_state_on_a_stream(network, text):
    for starts in ([], [1]):
        stream = Streams(torch.zeros(9, 1), batch_size=2, starts=starts)
        before = network.weight.detach().clone()
        assert text_of(KindError, network, stream, None, Plan(k1=2)) == text
        assert torch.equal(network.weight, before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 0.001}, "learning_rate is 0.001"),
        ({"optimizer_options": {"momentum": 0.9}}, "optimizer_options is {'momentum': 0.9}"),
    ],
)
def test_an_option_of_an_optimizer_that_a_function_makes(options, said):
    with pytest.raises(ConfigError) as caught:
        Plan(optimizer=torch.optim.SGD, **options)
    assert str(caught.value) == (
        f"{said}, but optimizer is a function, which gives the optimizer its own.\n"
        "  Give it there: lambda weights: torch.optim.SGD(weights, lr=0.1)."
    )


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("lr", " Write learning_rate=...."),
        ("momentum", ' Write optimizer_options={"momentum": ...}.'),
        ("epoch", " Did you mean 'epochs'?"),
        ("qqq", ""),
    ],
)
def test_an_option_that_a_plan_does_not_have(name, instead):
    with pytest.raises(KindError) as caught:
        Plan(epochs=2, **{name: 1})
    assert str(caught.value) == (
        f"Plan has no option {name!r}.\n  It has: loss, optimizer, learning_rate, "
        "optimizer_options, batch_size, epochs, clip, patience, monitor, schedule, averaging, "
        f"accumulate, bucket, k1, k2, precision, non_finite, seed.{instead}"
    )


def test_a_plan_knows_what_it_was_given():
    plan = Plan("mae", learning_rate=1e-3, k2=None)
    for given in (plan, copy.deepcopy(plan), pickle.loads(pickle.dumps(plan))):
        names = [f.name for f in dataclasses.fields(Plan) if given.given(f.name)]
        assert names == ["loss", "learning_rate"]
    changed = dataclasses.replace(plan, epochs=3)  # the default learning rate was nobody's wish
    assert [f.name for f in dataclasses.fields(Plan) if changed.given(f.name)] == ["loss", "epochs"]
    assert list(inspect.signature(Plan).parameters)[:2] == ["loss", "optimizer"]


@pytest.mark.parametrize("factor", [math.nan, math.inf, -0.5, None])
def test_a_schedule_that_gives_no_factor(factor):
    class Given(Pairs):
        def batch(self, index):
            return torch.zeros(len(index), 2), torch.zeros(len(index), 1)

    plan = Plan(schedule=lambda at: factor if at.update == 3 else 1.0, batch_size=3, epochs=4)
    assert text_of(ConfigError, nn.Linear(2, 1), Given(), None, plan) == (
        f"schedule returned {factor!r} for update 4 of 8, in epoch 2.\n"
        "  Expected a finite number of at least 0: the learning rate is multiplied by it."
    )


def test_an_optimizer_of_a_learning_rate_that_is_not_finite():
    plan = Plan(optimizer=lambda weights: torch.optim.SGD(weights, lr=math.nan))
    assert text_of(ConfigError, nn.Linear(2, 1), Pairs(), None, plan) == (
        "optimizer has the learning rate nan; expected a finite number of at least 0."
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
