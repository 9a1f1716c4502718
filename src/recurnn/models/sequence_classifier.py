"""The classifier: sequences in; a class and its probability for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor
from torch.nn import functional as F

from recurnn.baselines.sequences import classifiers
from recurnn.errors import DataError, counted, nearest
from recurnn.models.sequence_comparison import Scored
from recurnn.models.sequence_inspected import Inspected
from recurnn.models.sequence_model import SequenceModel
from recurnn.models.sequence_preparation import checked, plain
from recurnn.training import Saves, Watch
from recurnn.training.objective import Loss

_MOST = 5  # classes named in a message


class SequenceClassifier(ClassifierMixin, Inspected, SequenceModel):  # type: ignore[misc]
    """Classifies sequences of numbers, texts or tokens, of any lengths, as scikit-learn does.

    Args:
        tokens: what texts are cut into: ``"characters"`` or ``"words"``; None for words where
            most texts have a space.
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_size: units of the recurrent layers in each direction; ``(64, 32)`` for two layers.
        num_layers: L, layers of `hidden_size` each.
        bidirectional: whether the sequence is also read from its end.
        pooling: what is made of the outputs of all steps: ``"last"`` (what each direction ends
            with), ``"mean"``, ``"max"``, ``"attention"`` (Yang et al. 2016), or ``"flat"`` (side
            by side: every step has its own place). By default ``"flat"`` where all sequences are
            of one length of at most 100, else ``"mean"``.
        dropout: share of the embedding's and of each layer's outputs that training zeroes; by
            default .5 for fewer than 5,000 sequences of tokens, else .2.
        token_dropout: share of the tokens that training takes for the unknown one, so that this
            one is learned too.
        embedding_size: of a token.
        scale: ``"standard"`` (each channel by its mean and deviation on the training part) or
            ``"none"``.
        max_length: most steps that a sequence may have; None for any.
        class_weight: None; ``"balanced"`` for all classes counting alike, however frequent; or a
            weight for each class.
        threshold: of two classes, the probability of the second from which on it is told: a
            number; or ``"f1"`` or ``"balanced"`` for the one that has the best F1 of the second
            class, or the best mean of both classes' recalls, on the validation part; None for .5.
        optimizer: ``"adam"``, or the name of another one of torch.optim.
        learning_rate: of the optimizer.
        schedule: of the learning rate: ``"constant"``, ``"cosine"`` or ``"linear"``; by default
            constant with a validation part, cosine without.
        batch_size: sequences in a batch; by default a fiftieth of them, 16 to 128.
        epochs: passes over the training part, at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        precision: ``"float32"``; or ``"bfloat16"``: autocast, in which what is multiplied is
            rounded, faster where the processor has a matrix unit.
        validation: share of the sequences, of each class, that decides when to stop; 0 to train
            on all of them for all epochs; by default .1, and 0 for fewer than 500 sequences.
        seed: of the weights, the parts, the order of the sequences and dropout.

    Attributes:
        classes_: the classes, sorted.
        threshold_: from which on the second of two classes is told; None where none was asked for.
        history: losses of every epoch.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import numpy as np, recurnn
        >>> rising = [np.arange(n) + 0.5 for n in range(3, 23)]
        >>> falling = [x[::-1] for x in rising]
        >>> model = recurnn.SequenceClassifier(hidden_size=4, epochs=30, learning_rate=0.03)
        >>> model.fit(rising + falling, ["up"] * 20 + ["down"] * 20).predict([[1, 2, 3, 4]])
        array(['up'], dtype='<U4')
    """

    format = ("recurnn-sequence-classifier", 2)
    decides = ("accuracy", True)
    metrics = ("accuracy",)

    classes_: NDArray[Any]
    threshold_: float | None = None

    def __init__(
        self,
        *,
        tokens: str | None = None,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: str | None = None,
        dropout: float | None = None,
        token_dropout: float = 0.1,
        embedding_size: int = 32,
        scale: str = "standard",
        max_length: int | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        threshold: str | float | None = None,
        optimizer: str = "adam",
        learning_rate: float = 3e-3,
        schedule: str | None = None,
        batch_size: int | None = None,
        epochs: int = 60,
        patience: int | None = 8,
        clip: float | None = 1.0,
        precision: str = "float32",
        validation: float | None = None,
        seed: int = 0,
    ) -> None:
        self._keep(locals())

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each sequence, [N].

        Raises:
            NotFittedError: there is no model yet.
            DataError: the sequences are not of the kind that the model was fitted on.
        """
        return self._predicted(self._outputs(self._again(X)))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class of `classes_` for each sequence, [N, classes]."""
        return torch.softmax(self._outputs(self._again(X)).double(), -1).numpy()

    def confusion(self, X: Any, y: Any) -> pd.DataFrame:
        """How often a sequence of each class (row) was taken for each class (column)."""
        found = self.predict(X)
        y = checked(y, len(found))
        names = [str(k) for k in self.classes_]
        counts = confusion_matrix(self._indices(y), self._indices(found), labels=range(len(names)))
        return pd.DataFrame(counts, index=pd.Index(names, name="true"), columns=names)

    def _learn_target(self, y: NDArray[Any]) -> None:
        if y.ndim != 1:
            raise DataError(f"y has {y.ndim} dimensions; expected one class a sequence, [N].")
        try:
            self.classes_ = np.unique(y)
        except TypeError as error:
            raise DataError(f"The classes are of several types.\n  {error}") from error
        if len(self.classes_) < 2:
            raise DataError(
                f"There is one class only: {plain(self.classes_[0])!r}.\n"
                "  A classifier needs sequences of two classes or more."
            )
        broken = self.classes_[self.classes_ % 1 != 0] if self.classes_.dtype.kind == "f" else []
        if len(broken):
            raise DataError(
                f"y holds numbers that are no classes, such as {broken[0]}.\n"
                "  To learn numbers use SequenceRegressor."
            )
        weights = self._options().class_weight
        if isinstance(weights, Mapping):
            missing = [plain(k) for k in self.classes_ if plain(k) not in weights]
            if missing:
                raise DataError(
                    f"class_weight has no weight for {missing[0]!r}.\n"
                    "  Give one for each class, or 'balanced'."
                )

    def _indices(self, y: NDArray[Any]) -> NDArray[np.int64]:
        at = {plain(label): k for k, label in enumerate(self.classes_)}
        found = np.empty(len(y), dtype=np.int64)
        for i, label in enumerate(y):
            if plain(label) not in at:
                known = ", ".join(str(k) for k in self.classes_[:_MOST])
                raise DataError(
                    f"y[{i}] is {plain(label)!r}, a class that the model was not fitted on.\n"
                    f"  It knows {counted(len(at), 'class', 'classes')}: "
                    f"{known}{', …' if len(at) > _MOST else '.'}"
                    f"{nearest(plain(label), [str(k) for k in self.classes_])}"
                )
            found[i] = at[plain(label)]
        return found

    def _encoded(self, y: NDArray[Any]) -> Tensor:
        return torch.from_numpy(self._indices(y))

    def _size(self) -> int:
        return len(self.classes_)

    def _loss(self, y: NDArray[Any]) -> str | Loss:
        weights = self._options().class_weight
        if weights is None:
            return "cross_entropy"
        if isinstance(weights, str):
            counts = np.bincount(self._indices(y), minlength=self._size())
            each = len(y) / (len(counts) * np.maximum(counts, 1))
        else:
            each = np.array([weights[plain(k)] for k in self.classes_])
        return WeightedCrossEntropy(torch.tensor(each, dtype=torch.float32))

    def _predicted(self, outputs: Tensor) -> NDArray[Any]:
        best = outputs.argmax(-1).numpy()
        if self.threshold_ is not None:
            best = (_second(outputs) >= self.threshold_).astype(np.int64)
        found: NDArray[Any] = self.classes_[best]
        return found

    def _train(
        self, network: Any, inputs: Any, y: NDArray[Any], parts: tuple[list[int], list[int]],
        watch: Watch | Sequence[Watch] | None, saves: Saves | None,
    ) -> None:  # fmt: skip
        wanted = self._options().threshold
        if wanted is not None and len(self.classes_) != 2:
            raise DataError(
                f"threshold is {wanted!r}, but there are "
                f"{counted(len(self.classes_), 'class', 'classes')}.\n"
                "  A threshold is for two; leave it out."
            )
        if isinstance(wanted, str) and len(np.unique(y[parts[1]])) < 2:
            raise DataError(
                f"threshold: {wanted!r} is chosen on the validation part, which has not both "
                f"classes.\n  It has {counted(len(parts[1]), 'sequence')}; give more, or a number."
            )
        super()._train(network, inputs, y, parts, watch, saves)
        self.threshold_ = wanted if not isinstance(wanted, str) else best_threshold(
            _second(self._outputs([inputs[i] for i in parts[1]])),
            self._indices(y[parts[1]]) == 1, wanted,
        )  # fmt: skip

    def _scored(
        self, name: str, found: Any, y: NDArray[Any], seconds: float, *, recurrent: bool = False
    ) -> Scored:
        told, true = self._indices(found), self._indices(y)
        wrong = (told != true).astype(np.float64)
        scores = {
            "accuracy": float(1 - wrong.mean()),
            "macro F1": float(f1_score(true, told, average="macro", zero_division=0)),
        }
        return Scored(name, scores, seconds, recurrent, wrong)

    def _baselines(self) -> dict[str, Any]:
        return classifiers(tokens=self._kind != "numbers")

    def _groups(self, y: NDArray[Any]) -> NDArray[Any]:
        return self._indices(y)

    def _target_in_words(self) -> str:
        names = ", ".join(str(k) for k in self.classes_[:_MOST])
        more = ", …" if len(self.classes_) > _MOST else ""
        return f"{counted(len(self.classes_), 'class', 'classes')}, {names}{more}"

    def _target_config(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "threshold": self.threshold_}

    def _restore_target(self, config: dict[str, Any]) -> None:
        self.classes_, self.threshold_ = np.array(config["classes"]), config["threshold"]


def _second(outputs: Tensor) -> NDArray[np.float64]:
    """The probability of the second class, [N]."""
    found: NDArray[np.float64] = torch.softmax(outputs.double(), -1)[:, 1].numpy()
    return found


def best_threshold(told: NDArray[np.float64], true: NDArray[np.bool_], score: str) -> float:
    """The threshold with the best score; of equally good ones the middle one.

    Args:
        told: probabilities, [N].
        true: whether it is so, [N]; both happen.
        score: ``"f1"``, or ``"balanced"`` (mean of the recalls of both classes).

    Example:
        >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]) > 0, "f1")
        0.25
    """
    values = np.unique(told)
    edges = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    positive = told >= edges[:, None]  # [edges, N]
    hits = (positive & true).sum(1)
    if score == "f1":
        scores = 2 * hits / (positive.sum(1) + true.sum())
    else:
        scores = hits / true.sum() + (~positive & ~true).sum(1) / (~true).sum()
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(edges[best[len(best) // 2]])


class WeightedCrossEntropy:
    """Cross entropy in which each class has its weight, and the sum of the weights.

    Args:
        weights: of the classes, [V].
    """

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [B, V] and classes [B] to the weighted mean, and the sum of the weights."""
        weights = self.weights.to(output.device)
        total = weights[target].sum()
        return F.cross_entropy(output, target, weight=weights, reduction="sum") / total, total
