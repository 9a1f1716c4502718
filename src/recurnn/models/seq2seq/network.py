"""The network from sequence to sequence: an encoder, a decoder, and attention between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurnn.cells import Cell
from recurnn.data.pairs_batches import IGNORED
from recurnn.data.text import END
from recurnn.models.options import cell_of
from recurnn.models.seq2seq.attention import Attention, Memory
from recurnn.models.seq2seq.options import Seq2SeqOptions
from recurnn.nn import Bidirectional, Dropout, LinearCrossEntropy, Recurrent

States = list[dict[str, Tensor]]
"""The states of every layer by name, each [B, its size]."""


class Encoder(nn.Module):
    """Recurrent layers that read the source, in both directions if so told.

    Args:
        options: cell, sizes, directions, dropout.
    """

    def __init__(self, options: Seq2SeqOptions) -> None:
        super().__init__()
        # A dot product wants outputs of the decoder's size, so that both directions are added.
        merge = "sum" if options.attention == "dot" else "concat"
        size, layers = options.embedding_size, []
        for units in options.hidden_sizes:
            layer: Any = Recurrent(cell_of(options.cell, size, units))
            size = layer.cell.output_size
            if options.bidirectional:
                layer = Bidirectional(layer, merge=merge)
                size *= 1 if merge == "sum" else 2
            layers.append(layer)
        self.layers, self.size = nn.ModuleList(layers), size
        self.dropout, self.bidirectional = Dropout(options.dropout), options.bidirectional

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[tuple[Any, ...]]]:
        """Read x [S, B, E] of these lengths [B].

        Returns:
            The outputs of the last layer [S, B, size], and of each layer its final states by name,
            one of each direction.
        """
        found = []
        for layer in self.layers:
            result = layer(self.dropout(x), lengths=lengths)
            x = result.output
            found.append(result.state if self.bidirectional else (result.state,))
        return x, found


class Bridge(nn.Module):
    """From the final states of the encoder to the first ones of the decoder, layer by layer.

    Of two directions a linear map joins them; of one they are passed on as they are (Sutskever,
    Vinyals & Le 2014).

    Args:
        cells: of the decoder.
        directions: of the encoder.
    """

    def __init__(self, cells: list[Cell], directions: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList()
        for cell in cells if directions > 1 else []:
            sizes = {name: cell.sizes[letter] for name, letter in cell.states.items()}
            self.maps.append(
                nn.ModuleDict({k: nn.Linear(directions * n, n) for k, n in sizes.items()})
            )

    def forward(self, states: list[tuple[Any, ...]]) -> States:
        """The states of the decoder before its first token."""
        if not self.maps:
            return [dict(state) for (state,) in states]
        return [
            {k: one(torch.cat([s[k] for s in both], -1)) for k, one in maps.items()}
            for maps, both in zip(self._by_name(), states, strict=True)
        ]

    def _by_name(self) -> list[dict[str, nn.Module]]:
        return [dict(maps.named_children()) for maps in self.maps]


class Seq2SeqNetwork(nn.Module):
    """Guesses each token of the target from those before it, and from the source.

    The decoder's first states come from the encoder's last ones. Of Luong's kinds of attention,
    and without any, the decoder is one scan over all of the target; what it attends to is added to
    its outputs afterwards (a = tanh(W [context; h]), without input feeding). Of Bahdanau's kind the
    context is part of the decoder's input, and so it goes step by step.

    Args:
        options: of the model.
        sources: V of the sources.
        targets: V of the targets.

    Attributes:
        sampled: probability that a token of the target is replaced by the network's own guess, in
            training.

    Example:
        >>> network = Seq2SeqNetwork(Seq2SeqOptions(hidden_size=8), 20, 30)
        >>> source, target = torch.randint(20, (5, 2)), torch.randint(30, (4, 2))
        >>> steps = torch.tensor([4, 3])
        >>> a = network(source, torch.tensor([5, 2]), target, steps)
        >>> a.shape, network.log_probabilities(a).shape
        (torch.Size([4, 2, 8]), torch.Size([4, 2, 30]))
    """

    def __init__(self, options: Seq2SeqOptions, sources: int, targets: int) -> None:
        super().__init__()
        o, E = options, options.embedding_size
        self.sampled = 0.0
        self.of_source, self.of_target = nn.Embedding(sources, E), nn.Embedding(targets, E)
        self.encoder = Encoder(o)
        M, self.feeds = self.encoder.size, o.attention == "bahdanau"
        layers, size = [], E + (M if self.feeds else 0)
        for units in o.hidden_sizes:
            layers.append(Recurrent(cell_of(o.cell, size, units)))
            size = layers[-1].cell.output_size
        self.layers = nn.ModuleList(layers)
        self.bridge = Bridge([layer.cell for layer in layers], 2 if o.bidirectional else 1)
        self.attention = None if o.attention is None else Attention(o.attention, size, M)
        self.combine = None if o.attention is None else nn.Linear(M + size, size)
        self.dropout = Dropout(o.dropout)
        self.output = LinearCrossEntropy(size, targets)

    def forward(self, source: Tensor, lengths: Tensor, before: Tensor, steps: Tensor) -> Tensor:
        """What there is to know of each token of the target.

        Args:
            source: tokens [S, B].
            lengths: of the sources, [B].
            before: [T, B], at t the token before that of t.
            steps: of the targets, [B].

        Returns:
            [T, B, H], for `loss`.
        """
        memory, states = self.encode(source, lengths)
        if self.training and self.sampled:
            before = self._mixed(memory, states, before, steps)
        return self.decode(memory, states, before, steps)[0]

    def loss(self, a: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """The mean of −log p of the targets [T, B], padding left out, and how many there are."""
        real = target != IGNORED
        return self.output(self.dropout(a[real]), target[real]), int(real.sum())

    def log_probabilities(self, a: Tensor) -> Tensor:
        """Log p of every token, [..., V], given a [..., H]."""
        return torch.log_softmax(self.output.logits(a), -1)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory | None, States]:
        """What the decoder begins with, and what it may look at."""
        return self.encode_vectors(self.of_source(source), lengths)

    def encode_vectors(self, x: Tensor, lengths: Tensor) -> tuple[Memory | None, States]:
        """As `encode`, of sources whose tokens are vectors already, [S, B, E]."""
        values, states = self.encoder(x, lengths)
        memory = None if self.attention is None else self.attention.memory(values, lengths)
        return memory, self.bridge(states)

    def decode(
        self, memory: Memory | None, states: States, before: Tensor, steps: Tensor | None = None
    ) -> tuple[Tensor, States, Tensor | None]:
        """Go on with targets.

        Args:
            memory: of the sources.
            states: of every layer.
            before: tokens [T, B].
            steps: how many of them are real, [B]; None for all.

        Returns:
            [T, B, H]; the states after them; where it looked, [B, T, S].
        """
        return self.decode_vectors(memory, states, self.of_target(before), steps)

    def decode_vectors(
        self, memory: Memory | None, states: States, x: Tensor, steps: Tensor | None = None
    ) -> tuple[Tensor, States, Tensor | None]:
        """As `decode`, of targets whose tokens are vectors already, [T, B, E]."""
        if self.attention is None or self.combine is None or memory is None:
            h, states = self._run(x, states, steps)
            return h, states, None
        if self.feeds:
            h, context, weights, states = self._step_by_step(memory, states, x)
        else:
            h, states = self._run(x, states, steps)
            context, weights = self.attention(h.transpose(0, 1), memory)
            context = context.transpose(0, 1)
        return torch.tanh(self.combine(torch.cat([context, h], -1))), states, weights

    def _run(self, x: Tensor, states: States, steps: Tensor | None) -> tuple[Tensor, States]:
        """The layers of the decoder on x [T, B, ...]."""
        found = []
        for layer, state in zip(self.layers, states, strict=True):
            result = layer(self.dropout(x), state, lengths=steps)
            x = result.output
            found.append(result.state)
        return x, found

    def _step_by_step(
        self, memory: Memory, states: States, x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, States]:
        """The decoder where each step reads what the last one's output attends to."""
        assert self.attention is not None
        top: Any = self.layers[-1]
        query = states[-1][top.cell.output]
        outputs, contexts, looked = [], [], []
        for x_t in x:
            context, weights = self.attention(query[:, None], memory)
            h, states = self._run(torch.cat([x_t, context[:, 0]], -1)[None], states, None)
            query = h[0]
            outputs.append(query)
            contexts.append(context[:, 0])
            looked.append(weights)
        return torch.stack(outputs), torch.stack(contexts), torch.cat(looked, 1), states

    @torch.no_grad()
    def _mixed(
        self, memory: Memory | None, states: States, before: Tensor, steps: Tensor
    ) -> Tensor:
        """Some of the tokens replaced by the network's guesses, all drawn from one pass."""
        a, _, _ = self.decode(memory, states, before, steps)
        p = torch.softmax(self.output.logits(a[:-1]), -1)
        drawn = torch.multinomial(p.flatten(0, 1), 1).view(p.shape[:-1])
        replaced = torch.rand(drawn.shape, device=drawn.device) < self.sampled
        # Whoever guesses the end has nothing to go on with.
        replaced &= drawn != END
        return torch.cat([before[:1], torch.where(replaced, drawn, before[1:])])


def network(options: Seq2SeqOptions, sources: int, targets: int) -> Seq2SeqNetwork:
    """The network that the options describe, its weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return Seq2SeqNetwork(options, sources, targets)
