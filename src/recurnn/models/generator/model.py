"""From one thing to a sequence: classes or vectors in; texts or trajectories out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.baselines.one_to_many import MeanTrajectory, NgramByClass
from recurnn.data.pairs_points import PointTargets, TokenTargets, are_points, as_points
from recurnn.data.pairs_tokens import as_texts, config_of, encoded, fit_unit, unit_from, unit_of
from recurnn.data.text import Tokenizer
from recurnn.errors import DataError, ShapeError, counted
from recurnn.models.estimator import Estimator
from recurnn.models.generator.conditions import Conditions, as_conditions
from recurnn.models.generator.drawing import draw_points, draw_tokens
from recurnn.models.generator.inspected import InspectedGenerator
from recurnn.models.generator.network import PointTeller, TokenTeller
from recurnn.models.generator.options import GeneratorOptions, check_temperature
from recurnn.models.sequence_comparison import Scored, mean_loss, verdict
from recurnn.models.sequence_preparation import batch_size, parts_of
from recurnn.training import Saves, Supervised, Watch, fit

Network = TokenTeller | PointTeller
_BATCH = 1024  # sequences that are scored at once
_LONGER = 2  # times the longest sequence learned, that a drawn one may have


class SequenceGenerator(InspectedGenerator, Estimator):
    """Learns to make a sequence of a class or a vector: a name of a nationality, a digit's strokes.

    Args:
        target: what texts are cut into: ``"characters"``, ``"words"``, ``"bpe"`` or
            ``"tokens"``; None for words where most have a space, else characters. Points need
            none.
        vocabulary: V at most, the two special tokens included; None for all.
        min_count: tokens that come less often in the training part are unknown.
        components: normal distributions of the mixture that a point is drawn from.
        cell: the name of any cell.
        hidden_size: units of the recurrent layers; ``(256, 128)`` for two layers.
        num_layers: L, layers of `hidden_size` each.
        embedding_size: E, of a token and of the condition.
        dropout: share of the inputs of each layer and of the last outputs that training zeroes.
        temperature: of what is drawn: below 1 the likely is likelier; 0 for the likeliest each
            time.
        max_length: most tokens or points of a sequence; None for any.
        optimizer: ``"adam"``, or the name of another one of torch.optim.
        learning_rate: of the optimizer.
        schedule: of the learning rate: ``"constant"``, ``"cosine"`` or ``"linear"``.
        batch_size: sequences in a batch; by default a fiftieth of them, 16 to 128.
        epochs: passes over the training part, at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        precision: ``"float32"``; or ``"bfloat16"``: autocast, in which what is multiplied is
            rounded, faster where the processor has a matrix unit.
        validation: share of the sequences, of each class, that decides when to stop; 0 to train on
            all for all epochs.
        seed: of the weights, the parts, the order of the sequences and dropout.

    Attributes:
        classes_: the classes, sorted; None where it begins from vectors.
        history: losses of every epoch.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import recurnn
        >>> model = recurnn.SequenceGenerator(hidden_size=8, epochs=60, validation=0, temperature=0)
        >>> model.fit(["it", "de"] * 16, ["ciao", "hallo"] * 16).predict(["de", "it"])
        ['hallo', 'ciao']
    """

    format = ("recurnn-sequence-generator", 1)

    _network: Network | None = None
    _unit: Tokenizer | None = None

    def __init__(
        self,
        *,
        target: str | None = None,
        vocabulary: int | None = None,
        min_count: int = 1,
        components: int = 8,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int = 1,
        embedding_size: int = 32,
        dropout: float = 0.0,
        temperature: float = 1.0,
        max_length: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 3e-3,
        schedule: str = "cosine",
        batch_size: int | None = None,
        epochs: int = 20,
        patience: int | None = 5,
        clip: float | None = 1.0,
        precision: str = "float32",
        validation: float = 0.1,
        seed: int = 0,
    ) -> None:
        self._keep(locals())

    def fit(
        self, X: Any, y: Any, *, watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Self:  # fmt: skip
        """Train from the start.

        Args:
            X: what sequences begin from: [N] classes, or [N, F] numbers.
            y: the sequences: strings, lists of tokens, or points [T_i, C].
            watch: is told how training goes.
            saves: where checkpoints go, and whether to go on from one.

        Returns:
            self.

        Raises:
            DataError: a condition or a sequence cannot be used.
            ShapeError: they differ in number, or points in channels.
            TrainingError: the loss is no longer a number.
        """
        o = self._options()
        self._network, self._unit = None, None
        points = are_points(y)
        values, targets = self._checked(X, y, points=points)
        parts = self._parts(values)
        training = [targets[i] for i in parts[0]]
        self._lists = not points and not isinstance(targets[0], str)
        if not points:
            kind = unit_of(targets, o.target, "target")
            self._unit = fit_unit(kind, training, size=o.vocabulary, min_count=o.min_count)
        self._longest = 0
        self._conditions = Conditions.of(values[parts[0]])
        size = (targets[0].shape[1], max(map(len, training))) if points else (0, 0)
        network = self._build(*size)
        if isinstance(network, PointTeller):
            network.learn(training)
        return self._train(network, values, targets, parts, watch, saves)

    @property
    def classes_(self) -> list[Any] | None:
        """The classes, sorted; None where conditions are vectors."""
        return self._conditions.classes

    def partial_fit(
        self, X: Any, y: Any, *, watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Self:  # fmt: skip
        """Train the network that there is further, also one that was loaded.

        Classes, vocabulary and scales stay as `fit` learned them; where there is no network yet,
        this is `fit`. Arguments as of `fit`.
        """
        if self._network is None:
            return self.fit(X, y, watch=watch, saves=saves)
        values, targets = self._again(X, y)
        return self._train(self._network, values, targets, self._parts(values), watch, saves)

    def predict(self, X: Any, *, temperature: float | None = None, seed: int = 0) -> list[Any]:
        """Draw a sequence for each condition: strings, lists of tokens, or points [T_i, C].

        Args:
            X: conditions, as in `fit`.
            temperature: instead of the one that the model was made with.
            seed: of what is drawn.

        Raises:
            NotFittedError: there is no model yet.
            DataError: a class that the model was not fitted on.
        """
        network, heat = self._fitted(), self.temperature if temperature is None else temperature
        check_temperature(heat)
        conditions = self._conditions.numbers(as_conditions(X))
        how: dict[str, Any] = {
            "length": _LONGER * self._longest, "temperature": heat, "seed": seed,
        }  # fmt: skip
        if self._unit is None:
            return draw_points(network, conditions, **how)
        unit, lines = self._unit, draw_tokens(network, conditions, **how)
        return [[unit.token(k) for k in line] if self._lists else unit.decode(line)
                for line in lines]  # fmt: skip

    def score(self, X: Any, y: Any) -> float:
        """The mean of log p of a token, or of a point in scaled units; higher is better.

        Args:
            X: conditions.
            y: their sequences.
        """
        values, targets = self._again(X, y)
        return -self._row(values, targets).scores[self._per()]

    def compare(self, X: Any, y: Any, *, baselines: bool = True) -> list[Scored]:
        """How likely the sequences of a test part are to the network, and to simple baselines.

        Args:
            X: conditions of sequences that `fit` did not see.
            y: the sequences.
            baselines: whether to train them; without, only the network is scored.

        Returns:
            The models, the best first; also kept as `comparison`, with the `verdict`.

        Raises:
            NotFittedError: there is no model, or it was loaded and has no training part.
        """
        values, targets = self._again(X, y)
        rows = [self._row(values, targets)]
        if baselines:
            conditions, seen = self._fitted_on()
            given, held = self._forms(seen), self._forms(targets)
            for baseline in self._baselines():
                began = time.perf_counter()
                baseline.fit(conditions, given)
                seconds = time.perf_counter() - began
                nats = baseline.nats(values, held)
                rows.append(self._scored(baseline.name, nats, targets, seconds))
            self.verdict = verdict(
                rows, score=self._per(), share=False, interrupted=self.history.interrupted
            )
        self.comparison = sorted(rows, key=mean_loss)
        return self.comparison

    def summary(self) -> str:
        """What is learned from what, by what, in two lines."""
        o, network = self._options(), self._fitted()
        size, sizes = self._conditions.size, ", ".join(map(str, o.hidden_sizes))
        what = (
            counted(size, "class", "classes")
            if self._conditions.classes is not None
            else counted(size, "number")
        )
        to = (
            f"points of {counted(network.channels, 'channel')}"
            if self._unit is None
            else f"{self._unit.kind} (V = {self._unit.size:,})"
        )
        return (
            f"From {what} to {to}\nNetwork: {o.name} ({sizes}), "
            f"{sum(p.numel() for p in network.parameters()):,} weights, {o.optimizer} "
            f"{o.learning_rate:g}, {o.schedule}, seed {o.seed}"
        )

    # What `Estimator` keeps and restores.

    def _facts(self) -> dict[str, Any]:
        network = self._fitted()
        return {
            "target": None if self._unit is None else config_of(self._unit),
            "conditions": vars(self._conditions), "longest": self._longest, "lists": self._lists,
            "channels": 0 if self._unit else network.channels,
            "steps": 0 if self._unit else len(network.ends),
        }  # fmt: skip

    def _restore(self, facts: dict[str, Any]) -> Network:
        self._unit = None if facts["target"] is None else unit_from(facts["target"])
        self._conditions = Conditions(**facts["conditions"])
        self._longest, self._lists = int(facts["longest"]), bool(facts["lists"])
        return self._build(facts["channels"], facts["steps"])

    def _options(self) -> GeneratorOptions:
        return GeneratorOptions(**self.get_params(deep=False))

    def _build(self, channels: int, steps: int) -> Network:
        """The network, its weights drawn from the seed.

        Args:
            channels: of points; 0 for tokens.
            steps: of points that it knows how often a sequence ends at.
        """
        o, many = self._options(), self._conditions.size
        classes = self._conditions.classes is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(o.seed)
            if self._unit is None:
                return PointTeller(o, many, classes=classes, channels=channels, longest=steps)
            return TokenTeller(o, many, classes=classes, tokens=self._unit.size)

    def _checked(self, X: Any, y: Any, *, points: bool) -> tuple[NDArray[Any], list[Any]]:
        values = as_conditions(X)
        longest = self._options().max_length
        targets: list[Any] = as_points(y, longest) if points else as_texts(y, "y")
        if len(values) != len(targets):
            raise ShapeError(
                "X and y must have the same number of sequences.\n"
                f"  X has {len(values):,}; y has {len(targets):,}."
            )
        return values, targets

    def _again(self, X: Any, y: Any) -> tuple[NDArray[Any], list[Any]]:
        """New sequences, checked to be of the kind of those fitted on."""
        network, points = self._fitted(), are_points(y)
        if points != (self._unit is None):
            raise DataError(
                "The sequences are not of the kind that the model was fitted on.\n"
                f"  It was fitted on {'texts' if points else 'points'}."
            )
        values, targets = self._checked(X, y, points=points)
        if points and targets[0].shape[1] != network.channels:
            raise ShapeError(
                f"The points do not fit the model.\n  They have C = {targets[0].shape[1]}; it was "
                f"fitted on points with C = {network.channels}."
            )
        return values, targets

    def _parts(self, values: NDArray[Any]) -> tuple[list[int], list[int]]:
        o = self._options()
        groups = values if values.ndim == 1 else np.zeros(len(values))
        return parts_of(groups, o.validation, o.seed)

    def _forms(self, targets: list[Any]) -> list[Any]:
        """Sequences as the network has them: tokens, or scaled points."""
        if self._unit is not None:
            return encoded(self._unit, targets)
        network = self._fitted()
        shift, scale = network.shift.numpy(), network.scale.numpy()
        return [(row - shift) / scale for row in targets]

    def _data(self, conditions: Tensor, forms: list[Any]) -> TokenTargets | PointTargets:
        if self._unit is None:
            return PointTargets(conditions, forms)
        return TokenTargets(conditions, forms)

    def _train(
        self, network: Network, values: NDArray[Any], targets: list[Any],
        parts: tuple[list[int], list[int]], watch: Watch | Sequence[Watch] | None,
        saves: Saves | None,
    ) -> Self:  # fmt: skip
        o = self._options()
        self._network, self._seen = network, (values, targets)  # `summary` works from now on
        try:
            forms, numbers = self._forms(targets), self._conditions.numbers(values)
            train, held = (
                self._data(numbers[part], [forms[i] for i in part]) if part else None
                for part in parts
            )
            assert train is not None
            self._longest = max(self._longest, int(train.lengths.max()))
            size = min(len(train), o.batch_size or batch_size(len(train)))
            plan = o.plan(bucket=True, batch_size=size, validated=held is not None)
            self.history = fit(
                network, train, held, plan, name=o.name,
                objective=Supervised(network.loss), watch=watch, saves=saves,
            )  # fmt: skip
        except BaseException:
            self._network = None
            raise
        return self

    def _per(self) -> str:
        return "nats a point" if self._unit is None else "nats a token"

    def _baselines(self) -> list[NgramByClass | MeanTrajectory]:
        both = [False, True] if self._conditions.classes is not None else [False]
        if self._unit is not None:
            return [NgramByClass(self._unit.size, by_class=each) for each in both]
        return [MeanTrajectory(relative=r, by_class=each) for each in both for r in (False, True)]

    def _row(self, values: NDArray[Any], targets: list[Any]) -> Scored:
        """The network on a test part."""
        network = self._fitted()
        data = self._data(self._conditions.numbers(values), self._forms(targets))
        found = []
        with torch.inference_mode():
            for index in torch.split(torch.arange(len(data)), _BATCH):
                x, target = data.batch(index)
                found.append(network.nats(network(*x), target))
        seconds = self.history.seconds if hasattr(self, "history") else 0.0
        nats = torch.cat(found).numpy()
        return self._scored(self._options().name, nats, targets, seconds, recurrent=True)

    def _scored(
        self, name: str, nats: NDArray[np.float64], targets: list[Any], seconds: float,
        *, recurrent: bool = False,
    ) -> Scored:  # fmt: skip
        lengths = self._data(torch.zeros(len(targets)), self._forms(targets)).lengths
        losses = nats / float(lengths.double().mean())
        return Scored(name, {self._per(): float(losses.mean())}, seconds, recurrent, losses)
