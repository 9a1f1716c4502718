"""The networks of language models: one reads from the left, one from both sides."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from recurnn.cells import CELLS, PRESETS, Cell
from recurnn.errors import ConfigError
from recurnn.models.language.options import LanguageOptions
from recurnn.models.language.softmax import AdaptiveSoftmax, FullSoftmax
from recurnn.models.options import cell_of
from recurnn.nn import Recurrent
from recurnn.nn.draw import dropout
from recurnn.nn.noise import drop_input
from recurnn.training.objective import IGNORED

States = list[dict[str, Tensor]]
"""The states of every layer by name, each [B, its size]."""


class Reader(nn.Module):
    """Recurrent layers one above the other, with what is dropped below each of them.

    Args:
        options: cell, sizes and dropout.
        size: E, of the embeddings.
        reverse: whether to read from the last token to the first.
    """

    def __init__(self, options: LanguageOptions, size: int, *, reverse: bool = False) -> None:
        super().__init__()
        self.dropout, self.variational = options.dropout, options.variational
        self.input_dropout = (
            options.dropout if options.input_dropout is None else options.input_dropout
        )
        layers = []
        for units in options.hidden_sizes:
            layer = Recurrent(
                _cell(options, size, units),
                reverse=reverse,
                state_dropout=options.state_dropout,
                weight_dropout=options.weight_dropout,
                zoneout=options.zoneout,
            )
            size = layer.cell.output_size
            layers.append(layer)
        self.layers, self.size = nn.ModuleList(layers), size

    def forward(
        self, x: Tensor, state: States | None = None, **options: Any
    ) -> tuple[Tensor, States]:
        """Read x [T, B, E].

        Args:
            x: embeddings.
            state: of every layer.
            **options: ``reset`` or ``lengths``, as `recurnn.nn.Recurrent` takes them.

        Returns:
            The outputs of the last layer, [T, B, size], and the states of all layers.
        """
        found: States = []
        for k, layer in enumerate(self.layers):
            x = self.drop(x, self.dropout if k else self.input_dropout)
            result = layer(x, None if state is None else state[k], **options)
            x = result.output
            found.append(result.state)
        return x, found

    def drop(self, x: Tensor, rate: float) -> Tensor:
        """Dropout of x [T, B, F]: a mask for each step, or one for all."""
        if not self.training or not rate:
            return x
        return drop_input(x, rate) if self.variational else dropout(x, rate)


class Tokens(nn.Module):
    """What both networks have: the embedding, and the output layer.

    Args:
        options: of the model.
        vocabulary: V.
        size: of what the output layer is given.
    """

    def __init__(self, options: LanguageOptions, vocabulary: int, size: int) -> None:
        super().__init__()
        E = options.embedding(vocabulary)
        self.embedding = nn.Embedding(vocabulary, E)
        if options.tied:  # as small as the output layer's weights, which they are too
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.embedding_dropout = options.embedding_dropout
        self.project = nn.Linear(size, E) if options.tied and size != E else None
        self.softmax: FullSoftmax | AdaptiveSoftmax
        if options.softmax == "adaptive":
            self.softmax = AdaptiveSoftmax(size, vocabulary, options.cutoffs)
        else:
            shared = cast(nn.Parameter, self.embedding.weight) if options.tied else None
            width = E if options.tied else size
            self.softmax = FullSoftmax(width, vocabulary, tied=shared)

    def embed(self, ids: Tensor) -> Tensor:
        """The embeddings of tokens, [..., E]."""
        x: Tensor = self.embedding(ids)
        if self.training and self.embedding_dropout:
            # One mask a token of the vocabulary, wherever it stands.
            weight = self.embedding.weight
            kept = dropout(weight.new_ones(len(weight), 1), self.embedding_dropout)
            x = x * kept[ids]
        return x

    def before_softmax(self, h: Tensor) -> Tensor:
        """What the output layer sees of h."""
        return h if self.project is None else self.project(h)


class LeftNetwork(nn.Module):
    """Guesses each token from those before it.

    Args:
        options: of the model.
        vocabulary: V.

    Example:
        >>> network = LeftNetwork(LanguageOptions(hidden_size=8), 20)
        >>> h, state = network(torch.tensor([[1], [4], [2]]))
        >>> h.shape, network.log_probabilities(h).shape, sorted(state[0])
        (torch.Size([3, 1, 8]), torch.Size([3, 1, 20]), ['c', 'h'])
    """

    def __init__(self, options: LanguageOptions, vocabulary: int) -> None:
        super().__init__()
        self.reader = Reader(options, options.embedding(vocabulary))
        self.tokens = Tokens(options, vocabulary, self.reader.size)
        self.output_dropout = (
            options.dropout if options.output_dropout is None else options.output_dropout
        )
        self.penalties = options.activation_penalty, options.change_penalty
        begin(self, options.start)

    def forward(
        self, ids: Tensor, state: States | None = None, *, reset: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Read tokens [T, B]; the outputs of the last layer [T, B, size], and the states."""
        found: tuple[Tensor, States] = self.reader(self.tokens.embed(ids), state, reset=reset)
        return found

    def loss(self, h: Tensor, target: Tensor) -> Tensor:
        """What is minimised: the mean of −log p of the targets [T, B], given h [T, B, size].

        In training the penalties on activations and their changes come on top.
        """
        dropped = self.reader.drop(h, self.output_dropout)
        seen = self.tokens.before_softmax(dropped)
        loss: Tensor = self.tokens.softmax(seen.flatten(0, 1), target.flatten())
        activation, change = self.penalties
        if self.training and activation:
            loss = loss + activation * dropped.square().mean()
        if self.training and change and len(h) > 1:
            loss = loss + change * (h[1:] - h[:-1]).square().mean()
        return loss

    def nats(self, h: Tensor, target: Tensor) -> Tensor:
        """−log p of each target [T, B], without a gradient."""
        seen = self.tokens.before_softmax(h).flatten(0, 1)
        return self.tokens.softmax.nats(seen, target.flatten()).view_as(target)

    def log_probabilities(self, h: Tensor) -> Tensor:
        """Log p of every token to come, [..., V], given h [..., size]."""
        seen = self.tokens.before_softmax(h.reshape(-1, h.shape[-1]))
        return self.tokens.softmax.log_probabilities(seen).view(*h.shape[:-1], -1)


class BothNetwork(nn.Module):
    """Guesses each token from those before it and those after it.

    One reader comes from the left and stops before the token, one from the right and stops after
    it; a layer on both outputs joins them (Melamud, Goldberger & Dagan, "context2vec", 2016).

    Args:
        options: of the model.
        vocabulary: V.

    Example:
        >>> network = BothNetwork(LanguageOptions(hidden_size=8, context="both"), 20)
        >>> left, right = torch.tensor([[1], [4], [2]]), torch.tensor([[2], [3], [1]])
        >>> network(left, right).shape  # of the tokens 4, 2, 3
        torch.Size([3, 1, 8])
    """

    def __init__(self, options: LanguageOptions, vocabulary: int) -> None:
        super().__init__()
        E = options.embedding(vocabulary)
        self.left, self.right = Reader(options, E), Reader(options, E, reverse=True)
        size = self.left.size
        self.join = nn.Linear(2 * size, size)
        self.tokens = Tokens(options, vocabulary, size)
        self.output_dropout = (
            options.dropout if options.output_dropout is None else options.output_dropout
        )
        begin(self, options.start)

    def forward(self, left: Tensor, right: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read a text without its tokens' own places.

        Args:
            left: [T, B], at t the token before that of t.
            right: [T, B], at t the token after it.
            lengths: real steps of each row, [B].

        Returns:
            What there is to know of each place, [T, B, size].
        """
        a, _ = self.left(self.tokens.embed(left), lengths=lengths)
        b, _ = self.right(self.tokens.embed(right), lengths=lengths)
        both = self.left.drop(torch.cat([a, b], -1), self.output_dropout)
        return torch.relu(self.join(both))

    def loss(self, h: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """The mean of −log p of the targets [T, B], and how many there are.

        Args:
            h: [T, B, size].
            target: padding is left out.
        """
        real = target != IGNORED
        seen = self.tokens.before_softmax(self.left.drop(h, self.output_dropout)[real])
        return self.tokens.softmax(seen, target[real]), int(real.sum())

    def log_probabilities(self, h: Tensor) -> Tensor:
        """Log p of every token at the places [N, size]: [N, V]."""
        return self.tokens.softmax.log_probabilities(self.tokens.before_softmax(h))


Network = LeftNetwork | BothNetwork


def network(options: LanguageOptions, vocabulary: int) -> Network:
    """The network that the options describe, its weights drawn from the seed."""
    kind = BothNetwork if options.context == "both" else LeftNetwork
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return kind(options, vocabulary)


def begin(module: nn.Module, start: float | None) -> None:
    """Draw every weight and bias from U(−start, start), if there is a start."""
    if start is None:
        return
    for weight in module.parameters():
        nn.init.uniform_(weight, -start, start)


def _cell(options: LanguageOptions, size: int, units: int) -> Cell:
    extra: dict[str, Any] = {}
    kind = CELLS[options.cell]
    if options.forget_bias is not None:
        if "b_f" not in getattr(kind, "weights", {}):
            raise ConfigError(
                f"forget_bias is {options.forget_bias:g}, but {options.cell} has no forget gate "
                "with a bias of its own."
            )
        extra["init"] = PRESETS["uniform"] | {"b_f": options.forget_bias}
    return cell_of(options.cell, size, units, **extra)
