"""What the models of whole sequences have in common: scikit-learn's interface, training, saving."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import Tensor

from recurnn.data import Sequences
from recurnn.data.sequence_inputs import Inputs, as_inputs, kind_of
from recurnn.data.vocabulary import Vocabulary
from recurnn.errors import DataError, NotFittedError, ShapeError
from recurnn.models import folder as folder_
from recurnn.models.options import NAMES
from recurnn.models.sequence_comparison import Scored, mean_loss, verdict
from recurnn.models.sequence_inspected import Inspected
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
from recurnn.models.sequence_target import SequenceNotFittedError, SequenceTarget
from recurnn.training import History, Saves, Watch, fit
from recurnn.training.feeds import Batches

_FIELDS = ("options", "kind", "inputs", "settled", "tokens", "target")


class SequenceModel(SequenceTarget, Inspected, BaseEstimator):  # type: ignore[misc]
    """Base of `SequenceClassifier`, `SequenceRegressor` and `SequenceTagger`.

    Attributes:
        history: losses of every epoch of the last training.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.
    """

    history: History
    comparison: list[Scored]
    verdict: str

    _network: Any = None
    _settled: dict[str, Any]
    _vocabulary: Vocabulary | None = None
    _seen: tuple[Inputs, NDArray[Any]] | None = None

    def fit(
        self, X: Any, y: Any, *, watch: Watch | None = None, saves: Saves | None = None
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
        self, X: Any, y: Any, *, watch: Watch | None = None, saves: Saves | None = None
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
        name = NAMES[self._options().cell]
        found = self._predicted(self._outputs(inputs))
        rows = [self._scored(name, found, y, network_seconds, recurrent=True)]
        if baselines:
            if self._seen is None:
                raise NotFittedError(
                    "compare: a loaded model has no data to train baselines on.\n"
                    "  Call it after fit(), or with baselines=False."
                )
            for name, baseline in self._baselines().items():
                began = time.perf_counter()
                baseline.fit(*self._seen)
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
            f"Network: {NAMES[options.cell]} ({sizes}), {both}{self._network_in_words()}"
            f"{count:,} weights, {options.optimizer} {options.learning_rate:g}, "
            f"seed {options.seed}"
        )

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: `model.safetensors` and `config.json`.

        Args:
            folder: where to.
            overwrite: whether a model that is there may be replaced.

        Raises:
            NotFittedError: there is no model yet.
            ModelFolderError: the folder exists, or cannot be written.
        """
        self._fitted()
        with folder_.written(folder, overwrite=overwrite) as temporary:
            self.write_to(temporary)

    def write_to(self, folder: Path) -> None:
        """Write the model's two files into a folder that exists."""
        network = self._fitted()
        options = self.get_params(deep=False)
        weights = options.get("class_weight")
        if isinstance(weights, Mapping):  # its keys may be numbers, which JSON's cannot
            options["class_weight"] = [[plain(k), w] for k, w in weights.items()]
        config = {
            "options": options,
            "kind": self._kind,
            "inputs": self._inputs,
            "settled": self._settled,
            "tokens": self._tokens_config(),
            "target": self._target_config(),
            "comparison": [row.row() for row in getattr(self, "comparison", [])],
            "verdict": getattr(self, "verdict", None),
        }
        folder_.write(folder, self.format, config, network.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, or not one of this model.
        """
        config, tensors = folder_.read(folder, cls.format, _FIELDS)
        try:
            options = dict(config["options"])
            if isinstance(options["hidden_size"], list):
                options["hidden_size"] = tuple(options["hidden_size"])
            if isinstance(options.get("class_weight"), list):
                options["class_weight"] = dict(options["class_weight"])
            model = cls(**options)
            model._kind = config["kind"]
            model._restore_tokens(config["tokens"])
            model._settled = config["settled"]
            model._restore_target(config["target"])
            network = model._build(config["inputs"])
            network.load_state_dict(tensors)
        except (TypeError, KeyError, ValueError, RuntimeError) as error:
            raise folder_.does_not_fit(folder, error) from error
        model._network = network.eval()
        model.comparison = [
            Scored(row.pop("model"), seconds=row.pop("seconds"), recurrent=row.pop("recurrent"),
                   scores=row)
            for row in config.get("comparison", [])
        ]  # fmt: skip
        model.verdict = config.get("verdict") or ""
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return self._network is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def _options(self) -> Any:
        given = self.get_params(deep=False)
        given.pop("loss", None)
        return SequenceOptions(**given)

    def _keep(self, given: dict[str, Any]) -> None:
        """Keep the options as attributes, as scikit-learn asks, and refuse bad ones at once."""
        for name, value in given.items():
            if name not in ("self", "__class__"):  # the caller's locals
                setattr(self, name, value)
        self._options()

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
        watch: Watch | None,
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
        )  # fmt: skip
        try:
            self.history = fit(
                network, train, validation, plan, name=NAMES[o.cell], watch=watch, saves=saves,
                metrics=self.metrics,
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
            return f"{len(self._vocabulary)} tokens ({self._kind})"
        count = self._fitted().shift.numel()
        return f"{count} channel{'s' if count != 1 else ''}"

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
                    f"  It has {len(x)} steps, they had {self._settled['steps']} at most; with "
                    "pooling='flat' each step has its own place.\n  Cut it, or fit with another "
                    "pooling."
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

    def _fitted(self) -> Any:
        if self._network is None:
            raise SequenceNotFittedError(
                f"The {type(self).__name__} is not fitted yet.\n"
                f"  Call fit(...) first, or {type(self).__name__}.load(...)."
            )
        return self._network


_IN_WORDS = {
    "numbers": "numbers", "characters": "texts", "words": "texts", "given": "lists of tokens",
}  # fmt: skip
