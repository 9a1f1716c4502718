"""The network of a tagger: words or frames, recurrent layers, and scores of tags at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurnn.data.vocabulary import UNKNOWN
from recurnn.errors import ConfigError
from recurnn.models.options import layers_of
from recurnn.nn import LSTM, Dropout
from recurnn.training.objective import IGNORED, cross_entropy


class WordFeatures(nn.Module):
    """A vector for each distinct word of a batch: its embedding, and what its letters say.

    The letters are read in both directions, and what each ends with is kept (Ling et al. 2015).
    While training, a word that came c times is taken for the unknown one with probability
    α / (α + c) (Kiperwasser and Goldberg 2016), so that this one is learned.

    Args:
        counts: of the words in the training part, [V].
        letters: of the alphabet, the unknown one included.
        embedding_size: of a word.
        letter_size: units of each direction over the letters; 0: they are not read.
        word_dropout: α.
    """

    counts: Tensor

    def __init__(
        self, counts: Tensor, letters: int, embedding_size: int, letter_size: int,
        word_dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("counts", counts)
        self.word_dropout = word_dropout
        self.words = nn.Embedding(len(counts), embedding_size)
        self.letters: nn.Embedding | None = None
        if letter_size:
            self.letters = nn.Embedding(letters, 32)
            self.speller = LSTM(32, letter_size, batch_first=True, bidirectional=True)
        self.size = embedding_size + 2 * letter_size

    def forward(self, which: Tensor, words: Tensor, letters: Tensor, lengths: Tensor) -> Tensor:
        """Words [U] with their letters [U, K] at the places `which` [B, T]: [B, T, size]."""
        each = words[which]
        if self.training and self.word_dropout:
            unknown = self.word_dropout / (self.word_dropout + self.counts[each])
            each = each.masked_fill(torch.rand(each.shape, device=each.device) < unknown, UNKNOWN)
        found = self.words(each)
        if self.letters is None:
            return found  # type: ignore[no-any-return]
        _, (h, _) = self.speller(self.letters(letters), lengths=lengths)
        spelled = h.transpose(0, 1).flatten(1)  # [U, 2 letter_size]
        return torch.cat([found, spelled[which]], -1)


class TagNetwork(nn.Module):
    """From a batch of sequences to scores of the tags at every step.

    Args:
        outputs: tags.
        words: how words become vectors; None for frames of numbers.
        inputs: C, channels of a frame.
        cell: ``"lstm"``, ``"gru"``, or any other of `recurnn.cells.CELLS`.
        hidden_sizes: units of each layer and direction, the lowest first.
        bidirectional: whether each layer also reads from the end.
        dropout: share of the inputs and of each layer's outputs that training zeroes.
        crf: whether tags are chosen together, by a linear-chain conditional random field.

    Raises:
        ConfigError: `crf` without the library that has it.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        outputs: int,
        words: WordFeatures | None = None,
        inputs: int = 0,
        cell: str = "lstm",
        hidden_sizes: Sequence[int] = (64,),
        bidirectional: bool = True,
        dropout: float = 0.0,
        crf: bool = False,
    ) -> None:
        super().__init__()
        self.words = words
        if words is not None:
            inputs = words.size
        else:
            self.register_buffer("shift", torch.zeros(inputs))
            self.register_buffer("scale", torch.ones(inputs))
        self.layers, size = layers_of(cell, inputs, hidden_sizes, bidirectional=bidirectional)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(size, outputs)
        self.crf: Any = _crf(outputs) if crf else None

    def forward(self, x: Tensor, lengths: Tensor, *words: Tensor) -> Tensor:
        """Scores [B, T, outputs] of frames x [B, T, C], or of words as `Words.batch` gives them."""
        if self.words is not None:
            return self.scores(self.dropout(self.words(x, *words)), lengths)
        return self.scores((x - self.shift) / self.scale, lengths)

    def scores(self, h: Tensor, lengths: Tensor) -> Tensor:
        """Scores [B, T, outputs] of vectors h [B, T, I]."""
        for layer in self.layers:
            h = self.dropout(layer(h, lengths=lengths)[0])
        y: Tensor = self.head(h)
        return y

    def loss(self, scores: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss of a tag, where steps past the end are `IGNORED`, and over how many."""
        if self.crf is None:
            return cross_entropy(scores, tags)
        real = tags != IGNORED
        total = -self.crf(scores, tags.masked_fill(~real, 0), mask=real, reduction="sum")
        return total / real.sum(), real.sum()

    def best(self, scores: Tensor, lengths: Tensor) -> list[list[int]]:
        """The best tags of each sequence."""
        if self.crf is None:
            rows = zip(scores.argmax(-1).tolist(), lengths.tolist(), strict=True)
            return [row[:T] for row, T in rows]
        real = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
        found: list[list[int]] = self.crf.decode(scores, mask=real)
        return found


def _crf(outputs: int) -> nn.Module:
    try:
        from torchcrf import CRF
    except ImportError:
        raise ConfigError(
            "crf: the library pytorch-crf is not installed.\n"
            '  Install it with: pip install "recurnn[crf]"'
        ) from None
    found: nn.Module = CRF(outputs, batch_first=True)
    return found
