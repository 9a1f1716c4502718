"""A language model on pieces of text, as what is looked into."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recurnn.data.text import Corpus, Tokenizer
from recurnn.errors import ConfigError, DataError, counted
from recurnn.models.inspected import beaten_by
from recurnn.models.language.feeding import before
from recurnn.models.language.network import LeftNetwork
from recurnn.models.language.report import GapRow, TextRow
from recurnn.models.language.writing import check_length
from recurnn.subject import Subject

_STEPS = 128


class Guesses(nn.Module):
    """Tokens [T, B] to log p of the next ones, [T, B, V], from zero states."""

    def __init__(self, network: LeftNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor) -> Tensor:
        """Read the tokens."""
        return self.network.log_probabilities(self.network(ids)[0])


def subject(
    network: LeftNetwork,
    corpus: Corpus,
    tokenizer: Tokenizer,
    *,
    name: str,
    rows: int,
    steps: int | None,
    truncation: int,
    comparison: Sequence[TextRow | GapRow],
) -> Subject:
    """The network on pieces of the text, evenly spread over it.

    Args:
        network: the network.
        corpus: the text.
        tokenizer: of its tokens.
        name: of the model.
        rows: pieces.
        steps: tokens of a piece; None for 128, or as many as the gradient goes back if fewer.
        truncation: tokens after which training cut the gradient.
        comparison: with the n-gram, the best first; empty where there was none.

    Raises:
        ConfigError: no pieces, or fewer than two tokens in one.
        DataError: the text is shorter than a piece.
    """
    steps = max(2, min(_STEPS, truncation)) if steps is None else steps
    for what, given in (("rows", rows), ("steps", steps)):
        check_length(given, what=what)
    if steps < 2:
        raise ConfigError(
            f"steps is {steps}; expected 2 or more.\n  A piece of one token has no past to look "
            "into. Give more, or leave it out."
        )
    last = len(corpus) - steps
    if last < 0:
        raise DataError(
            "The text is shorter than a piece to look at.\n  It has "
            f"{counted(len(corpus), 'token')}; "
            f"expected {steps:,} or more. Give more text, or fewer steps."
        )
    begins = torch.linspace(0, last, min(rows, last + 1)).round().long()
    at = begins + torch.arange(steps)[:, None]
    x, y = (torch.from_numpy(row)[at].long() for row in (before(corpus), corpus.tokens))
    return Subject(
        Guesses(network),
        x,
        y,
        loss="cross_entropy",
        batch_first=False,
        name=name,
        truncation=truncation,
        beaten_by=beaten_by(comparison, lambda row: float(row.nats)),
        labels=[tokenizer.token(int(k)) for k in x[:, 0]],
    )
