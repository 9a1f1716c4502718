"""What the models of whole sequences have in common: what they read, training, comparison."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurnn.data import Sequences
from recurnn.data.sequence_inputs import Inputs, as_inputs, kind_of
from recurnn.data.vocabulary import Vocabulary
from recurnn.errors import DataError, ShapeError, counted
from recurnn.models.estimator import Estimator
from recurnn.models.options import name_of
from recurnn.models.sequence_comparison import Scored, mean_loss, verdict
from recurnn.models.sequence_network import SequenceNetwork
from recurnn.models.sequence_options import SequenceOptions
from recurnn.models.sequence_preparation import (
    batch_size,
    by_length,
    checked,
    parts_of,
    plain,
    scaling,
    settled,
)
from recurnn.models.sequence_target import SequenceTarget
from recurnn.training import Saves, Watch, fit
from recurnn.training.feeds import Batches


class SequenceModel(SequenceTarget, Estimator):
    """Base of `SequenceClassifier`, `SequenceRegressor` and `SequenceTagger`."""

    _settled: dict[str, Any]
    _vocabulary: Vocabulary | None = None

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Self:
        """Train from the start.

        Args:
            X: the sequences: an array [N, T] or [N, T, C], a list of arrays [T_i] or [T_i, C], a
                frame whose rows are sequences; or strings, or lists of strings.
            y: what belongs to each, N of them.
            watch: is told how training goes.
            saves: where checkpoints go, and whether to go on from one.

        Returns:
            self.

        Raises:
            DataError: the sequences or `y` cannot be used.
            ShapeError: they differ in channels, or in number.
            TrainingError: the loss is no longer a number.
        """
        options = self._options()
        self._network, self._vocabulary = None, None
        self._kind = kind_of(X, options.tokens)
        inputs = as_inputs(X, tokens=options.tokens, max_length=options.max_length)
        y = self._checked(y, inputs)
        self._learn_target(y)
        lengths, tokens = [len(x) for x in inputs], self._kind != "numbers"
        self._settled = settled(options, lengths, tokens=tokens)
        parts = parts_of(self._groups(y), self._settled["validation"], options.seed)
        training = [inputs[i] for i in parts[0]]
        if tokens:
            self._learn_tokens(training)
        width = inputs[0].shape[1] if isinstance(inputs[0], np.ndarray) else 0
        network = self._build(len(self._vocabulary) if self._vocabulary else width)
        if not self._vocabulary and options.scale == "standard":
            network.shift, network.scale = scaling(training)  # type: ignore[arg-type]
        self._train(network, inputs, y, parts, watch, saves)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Self:
        """Train the network that there is further, also one that was loaded.

        Tokens, scales and classes stay as they were learned by `fit`; where there is no network
        yet, this is `fit`.

        Args:
            X: sequences of the kind that the model was fitted on.
            y: what belongs to each.
            watch: as in `fit`.
            saves: as in `fit`.
        """
        if self._network is None:
            return self.fit(X, y, watch=watch, saves=saves)
        inputs = self._again(X)
        y = self._checked(y, inputs)
        parts = parts_of(self._groups(y), self._settled["validation"], self._options().seed)
        self._train(self._network, inputs, y, parts, watch, saves)
        return self

    def compare(self, X: Any, y: Any, *, baselines: bool = True) -> list[Scored]:
        """Score the network on a test part, beside baselines trained on what `fit` was given.

        Args:
            X: sequences that `fit` did not see.
            y: what belongs to each.
            baselines: whether to train them; without, only the network is scored.

        Returns:
            The models, the best first; also kept as `comparison`, with the `verdict`.

        Raises:
            NotFittedError: there is no model, or it was loaded and has no training part.
        """
        network_seconds = self.history.seconds if hasattr(self, "history") else 0.0
        inputs = self._again(X)
        y = self._checked(y, inputs)
        name = name_of(self._options().cell)
        found = self._predicted(self._outputs(inputs))
        rows = [self._scored(name, found, y, network_seconds, recurrent=True)]
        if baselines:
            seen = self._fitted_on()
            for name, baseline in self._baselines().items():
                began = time.perf_counter()
                baseline.fit(*seen)
                seconds = time.perf_counter() - began
                rows.append(self._scored(name, baseline.predict(inputs), y, seconds))
            score, share = self.decides
            self.verdict = verdict(
                rows, score=score, share=share,
                interrupted=hasattr(self, "history") and self.history.interrupted,
            )  # fmt: skip
        self.comparison = sorted(rows, key=mean_loss)
        return self.comparison

    def summary(self) -> str:
        """What is learned from what, by what, in two lines."""
        options, network = self._options(), self._fitted()
        sizes = ", ".join(str(h) for h in options.hidden_sizes)
        count = sum(p.numel() for p in network.parameters())
        both = "both directions, " if options.bidirectional else ""
        return (
            f"From sequences of {self._in_words()}: {self._target_in_words()}\n"
            f"Network: {name_of(options.cell)} ({sizes}), {both}{self._network_in_words()}"
            f"{count:,} weights, {options.optimizer} {options.learning_rate:g}, "
            f"seed {options.seed}"
        )

    # What `Estimator` keeps and restores.

    def _told(self) -> dict[str, Any]:
        options = super()._told()
        weights = options.get("class_weight")
        if isinstance(weights, Mapping):  # its keys may be numbers, which JSON's cannot
            options["class_weight"] = [[plain(k), w] for k, w in weights.items()]
        return options

    @classmethod
    def _understood(cls, options: dict[str, Any]) -> dict[str, Any]:
        options = super()._understood(options)
        weights = options.get("class_weight")
        return options | ({"class_weight": dict(weights)} if isinstance(weights, list) else {})

    def _facts(self) -> dict[str, Any]:
        return {
            "kind": self._kind, "inputs": self._inputs, "settled": self._settled,
            "tokens": self._tokens_config(), "target": self._target_config(),
        }  # fmt: skip

    def _restore(self, facts: dict[str, Any]) -> Any:
        self._kind, self._settled = facts["kind"], facts["settled"]
        self._restore_tokens(facts["tokens"])
        self._restore_target(facts["target"])
        return self._build(facts["inputs"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def _options(self) -> Any:
        given = self.get_params(deep=False)
        given.pop("loss", None)
        return SequenceOptions(**given)

    def _build(self, inputs: int) -> Any:
        o = self._options()
        self._inputs = inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(o.seed)
            return SequenceNetwork(
                inputs=inputs,
                outputs=self._size(),
                embedding_size=o.embedding_size if self._vocabulary is not None else None,
                cell=o.cell,
                hidden_sizes=o.hidden_sizes,
                bidirectional=o.bidirectional,
                token_dropout=o.token_dropout,
                **{k: self._settled[k] for k in ("pooling", "dropout", "steps")},
            )

    def _train(
        self,
        network: Any,
        inputs: Inputs,
        y: NDArray[Any],
        parts: tuple[list[int], list[int]],
        watch: Watch | Sequence[Watch] | None,
        saves: Saves | None,
    ) -> None:
        o = self._options()
        rows, held = parts
        # Neighbours of similar length: little is padding where the order does not matter.
        held = sorted(held, key=lambda i: len(inputs[i]))
        train, validation = (
            self._data([inputs[i] for i in part], y[part]) if part else None
            for part in (rows, held)
        )
        assert train is not None
        self._network, self._seen = network, (inputs, y)  # the summary can be printed from now on
        plan = o.plan(
            loss=self._loss(y[rows]), bucket=True, schedule=self._settled["schedule"],
            batch_size=min(len(rows), o.batch_size or self._default_batch(len(rows))),
            validated=bool(held),
        )  # fmt: skip
        try:
            self.history = fit(
                network, train, validation, plan, name=name_of(o.cell), watch=watch, saves=saves,
                metrics=self.metrics if held else (),
            )  # fmt: skip
        except BaseException:
            self._network = None
            raise

    def _checked(self, y: Any, inputs: Inputs) -> NDArray[Any]:
        return checked(y, len(inputs))

    def _learn_tokens(self, training: Any) -> None:
        self._vocabulary = Vocabulary.of(training)

    def _tokens_config(self) -> Any:
        return list(self._vocabulary.tokens) if self._vocabulary else None

    def _restore_tokens(self, config: Any) -> None:
        self._vocabulary = Vocabulary(tuple(config)) if config else None

    def _in_words(self) -> str:
        """What the steps of a sequence are."""
        if self._vocabulary is not None:
            return f"{counted(len(self._vocabulary), 'token')} ({self._kind})"
        count = self._fitted().shift.numel()
        return counted(count, "channel")

    def _network_in_words(self) -> str:
        return f"{self._settled['pooling']} pooling, dropout {self._settled['dropout']}, "

    def _default_batch(self, count: int) -> int:
        return batch_size(count)

    def _data(self, inputs: Any, y: NDArray[Any]) -> Batches:
        """What is trained on, or validated."""
        return Sequences([self._numbered(x) for x in inputs], self._encoded(y))

    def _numbered(self, x: Any) -> Tensor:
        if self._vocabulary is not None:
            return self._vocabulary.numbers(x)
        return torch.from_numpy(x)

    def _again(self, X: Any) -> Inputs:
        """New sequences, checked to be of the kind of those fitted on."""
        network = self._fitted()
        cut = self._kind if self._kind in ("characters", "words") else None
        kind = kind_of(X) if cut is None else cut if kind_of(X) in ("characters", "words") else ""
        if kind != self._kind:
            raise DataError(
                "The sequences are not of the kind that the model was fitted on.\n"
                f"  It was fitted on {_IN_WORDS[self._kind]}; these are {_IN_WORDS[kind_of(X)]}."
            )
        inputs = as_inputs(X, tokens=cut, max_length=self._options().max_length)
        if isinstance(inputs[0], np.ndarray) and inputs[0].shape[1] != len(network.shift):
            raise ShapeError(
                "The sequences do not fit the model.\n"
                f"  They have C = {inputs[0].shape[1]} channels; it was fitted on sequences with "
                f"C = {len(network.shift)}."
            )
        self._check_steps(inputs)
        return inputs

    def _check_steps(self, inputs: Any) -> None:
        """Side by side there is room for as many steps as the longest sequence of `fit` had."""
        if self._settled.get("pooling") != "flat":
            return
        for i, x in enumerate(inputs):
            if len(x) > self._settled["steps"]:
                raise DataError(
                    f"X[{i}] is longer than the sequences that the model was fitted on.\n"
                    f"  It has {counted(len(x), 'step')}, they had {self._settled['steps']} at "
                    "most; with pooling='flat' each step has its own place.\n"
                    "  Cut it, or fit with another pooling."
                )

    def _outputs(self, inputs: Inputs) -> Tensor:
        """What the network says of each sequence, [N, outputs]."""
        network = self._fitted()
        lengths = torch.tensor([len(x) for x in inputs])
        found = torch.empty(len(inputs), self._size())
        with torch.inference_mode():
            for index in by_length(lengths):
                part = Sequences(
                    [self._numbered(inputs[i]) for i in index.tolist()], torch.zeros(len(index))
                )
                (x, steps), _ = part.batch(torch.arange(len(index)))
                found[index] = network(x, steps)
        return found


_IN_WORDS = {
    "numbers": "numbers", "characters": "texts", "words": "texts", "given": "lists of tokens",
}  # fmt: skip
