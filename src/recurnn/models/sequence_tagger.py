"""The tagger: sequences in; a tag for every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor

from recurnn.baselines.tags import taggers
from recurnn.data import Sequences
from recurnn.data.sequence_inputs import Inputs, ragged
from recurnn.errors import ConfigError, DataError, ShapeError, counted, nearest
from recurnn.models.sequence_comparison import Scored
from recurnn.models.sequence_model import SequenceModel
from recurnn.models.sequence_options import TaggerOptions
from recurnn.models.sequence_preparation import by_length, plain
from recurnn.models.sequence_tag_inspected import InspectedTagger
from recurnn.models.sequence_tag_network import TagNetwork, WordFeatures
from recurnn.models.sequence_words import Lexicon, Words, untagged
from recurnn.models.spans import are_spans, span_scores
from recurnn.training.feeds import Batches
from recurnn.training.objective import Loss

_MOST = 5  # tags named in a message


class SequenceTagger(InspectedTagger, SequenceModel):
    """Tags every step of sequences of words or of numbers, of any lengths.

    A word is seen as its embedding and as what a recurrent network makes of its letters, so that
    words that were never seen have a tag too.

    Args:
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_size: units of the recurrent layers in each direction; ``(64, 32)`` for two layers.
        num_layers: L, layers of `hidden_size` each.
        bidirectional: whether the sequence is also read from its end.
        crf: whether the tags of a sequence are chosen together, by a linear-chain conditional
            random field (Lafferty et al. 2001; Huang et al. 2015). Needs ``recurnn[crf]``.
        dropout: share of the inputs and of each layer's outputs that training zeroes.
        embedding_size: of a word.
        letter_size: units of each direction over a word's letters; 0: they are not read.
        word_dropout: α of the probability α / (α + c) that a word which came c times is taken for
            the unknown one while training (Kiperwasser and Goldberg 2016).
        scale: of numbers: ``"standard"`` (each channel by its mean and deviation on the training
            part) or ``"none"``.
        max_length: most steps that a sequence may have; None for any.
        optimizer: ``"adam"``, or the name of another one of torch.optim.
        learning_rate: of the optimizer.
        schedule: of the learning rate: ``"constant"``, ``"cosine"`` or ``"linear"``.
        batch_size: sequences in a batch; by default a fiftieth of them, 16 to 32.
        epochs: passes over the training part, at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        precision: ``"float32"``; or ``"bfloat16"``: autocast, in which what is multiplied is
            rounded, faster where the processor has a matrix unit.
        validation: share of the sequences that decides when to stop; 0 to train on all of them
            for all epochs.
        seed: of the weights, the parts, the order of the sequences and dropout.

    Attributes:
        classes_: the tags, sorted.
        history: losses of every epoch.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.

    Raises:
        ConfigError: an option has a value that it cannot have, or a library is missing.

    Example:
        >>> import recurnn
        >>> x = [["the", "sea"], ["a", "sea"], ["the", "rain"], ["a", "rain"]] * 8
        >>> y = [["DET", "NOUN"]] * 32
        >>> model = recurnn.SequenceTagger(hidden_size=8, epochs=5, learning_rate=0.05)
        >>> [tags.tolist() for tags in model.fit(x, y).predict([["a", "sea"]])]
        [['DET', 'NOUN']]
    """

    format = ("recurnn-sequence-tagger", 1)
    decides = ("accuracy", True)

    classes_: NDArray[Any]
    _vocabulary: Lexicon | None = None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        crf: bool = False,
        dropout: float = 0.4,
        embedding_size: int = 96,
        letter_size: int = 48,
        word_dropout: float = 0.25,
        scale: str = "standard",
        max_length: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 3e-3,
        schedule: str = "cosine",
        batch_size: int | None = None,
        epochs: int = 15,
        patience: int | None = None,
        clip: float | None = 1.0,
        precision: str = "float32",
        validation: float = 0.1,
        seed: int = 0,
    ) -> None:
        self._keep(locals())

    def predict(self, X: Any) -> list[NDArray[Any]]:
        """The tags of each sequence, each [T_i].

        Raises:
            NotFittedError: there is no model yet.
            DataError: the sequences are not of the kind that the model was fitted on.
        """
        return list(self._predicted(self._outputs(self._again(X))))

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """The probability of each tag of `classes_` at each step, each [T_i, tags].

        Raises:
            ConfigError: tags are chosen together (`crf`), and have no probabilities one by one.
        """
        if self._options().crf:
            raise ConfigError(
                "predict_proba: with crf=True tags are chosen together.\n"
                "  They have no probabilities one by one; use predict."
            )
        inputs = self._again(X)
        found: list[Any] = [None] * len(inputs)
        for index, scores, _ in self._scores(inputs):
            for i, row in zip(index.tolist(), scores, strict=True):
                found[i] = torch.softmax(row[: len(inputs[i])].double(), -1).numpy()
        return found

    def score(self, X: Any, y: Any) -> float:
        """The share of the steps whose tag is right."""
        found = self.predict(X)
        true = self._checked(y, X)
        wrong = sum(int((a != np.asarray(b)).sum()) for a, b in zip(found, true, strict=True))
        return 1 - wrong / sum(map(len, true))

    def confusion(self, X: Any, y: Any) -> pd.DataFrame:
        """How often a step of each tag (row) was given each tag (column)."""
        inputs = self._again(X)
        true = [str(tag) for tags in self._checked(y, inputs) for tag in tags]
        found = np.concatenate(list(self._predicted(self._outputs(inputs)))).astype(str)
        known = [str(k) for k in self.classes_]
        names = [*known, *sorted(set(true) - set(known))]
        counts = confusion_matrix(true, found, labels=names)
        return pd.DataFrame(counts, index=pd.Index(names, name="true"), columns=names)

    def _options(self) -> TaggerOptions:
        return TaggerOptions(**self.get_params(deep=False))

    def _checked(self, y: Any, inputs: Any) -> NDArray[Any]:
        if isinstance(y, str) or not hasattr(y, "__len__"):
            raise DataError(
                f"y is of type {type(y).__name__}.\n  Expected a list of tags for each sequence."
            )
        if len(y) != len(inputs):
            raise ShapeError(
                "X and y must have the same number of sequences.\n"
                f"  y has {len(y)}; X has {len(inputs)}."
            )
        for i, (tags, x) in enumerate(zip(y, inputs, strict=True)):
            if isinstance(tags, str) or not hasattr(tags, "__len__") or len(tags) != len(x):
                many = 1 if isinstance(tags, str) or not hasattr(tags, "__len__") else len(tags)
                raise ShapeError(
                    f"y[{i}] does not fit X[{i}].\n  It has {counted(many, 'tag')}; the "
                    f"sequence has {counted(len(x), 'step')}.\n  Give a tag for every step."
                )
            for t, tag in enumerate(tags):
                if tag is None or tag != tag:
                    raise DataError(f"y[{i}][{t}] is {tag}: it is missing.\n  Give a tag.")
        return ragged([[plain(tag) for tag in tags] for tags in y])

    def _learn_target(self, y: NDArray[Any]) -> None:
        kinds = {tag for tags in y for tag in tags}
        if len({type(tag) for tag in kinds}) > 1:
            raise DataError("The tags are of several types.\n  Give strings, or whole numbers.")
        if len(kinds) < 2:
            raise DataError(
                f"There is one tag only: {next(iter(kinds))!r}.\n"
                "  A tagger needs sequences with two tags or more."
            )
        self.classes_ = np.array(sorted(kinds))
        self._spans = are_spans(map(str, kinds))

    def _learn_tokens(self, training: Any) -> None:
        self._vocabulary = Lexicon.of(training)

    def _indices(self, y: NDArray[Any]) -> list[Tensor]:
        at = {plain(tag): k for k, tag in enumerate(self.classes_)}
        for i, tags in enumerate(y):
            for t, tag in enumerate(tags):
                if tag not in at:
                    known = ", ".join(str(k) for k in self.classes_[:_MOST])
                    raise DataError(
                        f"y[{i}][{t}] is {tag!r}, a tag that the model was not fitted on.\n"
                        f"  It knows {len(at)}: {known}{', …' if len(at) > _MOST else '.'}"
                        f"{nearest(tag, [str(k) for k in self.classes_])}"
                    )
        return [torch.tensor([at[tag] for tag in tags]) for tags in y]

    def _size(self) -> int:
        return len(self.classes_)

    def _loss(self, y: NDArray[Any]) -> str | Loss:
        loss: Loss = self._fitted().loss
        return loss

    def _build(self, inputs: int) -> TagNetwork:
        o = self._options()
        self._inputs = inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(o.seed)
            words = None
            if self._vocabulary is not None:
                words = WordFeatures(
                    self._vocabulary.counts, len(self._vocabulary.letters), o.embedding_size,
                    o.letter_size, o.word_dropout,
                )  # fmt: skip
            return TagNetwork(
                outputs=self._size(), words=words, inputs=inputs, cell=o.cell,
                hidden_sizes=o.hidden_sizes, bidirectional=o.bidirectional, dropout=o.dropout,
                crf=o.crf,
            )  # fmt: skip

    def _data(self, inputs: Any, y: NDArray[Any]) -> Batches:
        return self._fed(inputs, self._indices(y))

    def _fed(self, inputs: Inputs, tags: list[Tensor]) -> Batches:
        if self._vocabulary is not None:
            return Words(inputs, tags, self._vocabulary)  # type: ignore[arg-type]
        return Sequences([torch.from_numpy(x) for x in inputs], tags)

    def _scores(self, inputs: Inputs) -> Any:
        """Numbers of sequences, their scores [B, T, tags] and lengths, some at a time."""
        network, data = self._fitted(), self._fed(inputs, untagged(inputs))
        with torch.inference_mode():
            for index in by_length(torch.tensor([len(x) for x in inputs])):
                x, _ = data.batch(index)
                yield index, network(*x), x[1]

    def _outputs(self, inputs: Inputs) -> Any:
        """The number of the tag at every step, [N] lists."""
        found = ragged([None] * len(inputs))
        for index, scores, lengths in self._scores(inputs):
            for i, best in zip(index.tolist(), self._fitted().best(scores, lengths), strict=True):
                found[i] = best
        return found

    def _predicted(self, outputs: Any) -> NDArray[Any]:
        return ragged([self.classes_[best] for best in outputs])

    def _scored(
        self, name: str, found: Any, y: NDArray[Any], seconds: float, *, recurrent: bool = False
    ) -> Scored:
        told = [[plain(tag) for tag in tags] for tags in found]
        wrong = np.array([sum(map(_differ, a, b)) for a, b in zip(told, y, strict=True)])
        steps = sum(map(len, y))
        scores = {"accuracy": float(1 - wrong.sum() / steps)}
        if self._spans:
            precision, recall, f1 = span_scores(told, y)
            scores |= {"precision": precision, "recall": recall, "span F1": f1}
        else:
            flat = [np.concatenate([np.asarray(tags) for tags in rows]) for rows in (y, told)]
            scores["macro F1"] = float(f1_score(*flat, average="macro", zero_division=0))
        scores["all right"] = float((wrong == 0).mean())
        return Scored(name, scores, seconds, recurrent, wrong.astype(np.float64))

    def _baselines(self) -> dict[str, Any]:
        return taggers(tokens=self._kind != "numbers")

    def _in_words(self) -> str:
        if self._vocabulary is None:
            return super()._in_words()
        letters = (
            f", {len(self._vocabulary.letters)} letters" if self._options().letter_size else ""
        )
        return f"{counted(len(self._vocabulary), 'word')}{letters}"

    def _network_in_words(self) -> str:
        return "tags chosen together (CRF), " if self._options().crf else ""

    def _target_in_words(self) -> str:
        names = ", ".join(str(k) for k in self.classes_[:_MOST])
        more = ", …" if len(self.classes_) > _MOST else ""
        spans = ", which mark spans" if self._spans else ""
        return f"{counted(len(self.classes_), 'tag')} a step{spans}: {names}{more}"

    def _tokens_config(self) -> Any:
        return None if self._vocabulary is None else self._vocabulary.to_dict()

    def _restore_tokens(self, config: Any) -> None:
        self._vocabulary = None if config is None else Lexicon.from_dict(config)

    def _target_config(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "spans": self._spans}

    def _restore_target(self, config: dict[str, Any]) -> None:
        self.classes_, self._spans = np.array(config["classes"]), bool(config["spans"])

    def _default_batch(self, count: int) -> int:
        return min(32, super()._default_batch(count))


def _differ(a: Any, b: Any) -> bool:
    return bool(a != b)
