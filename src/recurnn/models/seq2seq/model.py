"""From sequence to sequence: pairs in; for a new source, its target out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import torch

from recurnn.baselines.pairs import FREQUENT, NEAREST, MostFrequent, Nearest
from recurnn.data.pairs_answers import Answers, split_by_source
from recurnn.data.pairs_batches import Pairs
from recurnn.data.pairs_tokens import (
    Text,
    as_texts,
    config_of,
    encoded,
    fit_unit,
    surfaces,
    unit_from,
    unit_of,
)
from recurnn.data.text import Tokenizer
from recurnn.errors import DataError, ShapeError, counted
from recurnn.models.estimator import Estimator
from recurnn.models.seq2seq.decoding import attended, decoded
from recurnn.models.seq2seq.inspected import InspectedPairs
from recurnn.models.seq2seq.network import Seq2SeqNetwork, network
from recurnn.models.seq2seq.options import Seq2SeqOptions
from recurnn.models.seq2seq.sampling import Rising
from recurnn.models.seq2seq.scores import score_name, scored
from recurnn.models.sequence_comparison import Scored, mean_loss, verdict
from recurnn.models.sequence_preparation import batch_size
from recurnn.subject import Attended
from recurnn.training import Saves, Supervised, Watch, fit


class Seq2Seq(InspectedPairs, Estimator):
    """Learns to make a sequence of another one: a translation, a pronunciation, a normal form.

    Args:
        source: what sources are cut into: ``"characters"``, ``"words"``, ``"bpe"`` or
            ``"tokens"`` (what stands between white space); None for words where most have a
            space, else characters. Lists of strings are tokens as they are.
        target: the same for targets.
        vocabulary: V of each side at most, the two special tokens included; None for all.
        min_count: tokens that come less often in the training part are unknown.
        copy: whether an unknown token of the output becomes the unknown token of the source that
            was looked at most, or the token of any kind if none is unknown (after Luong et al.,
            "Addressing the rare word problem", 2015); otherwise it is never said.
        cell: the name of any cell.
        hidden_size: units of the decoder's layers, and of each direction of the encoder's;
            ``(256, 128)`` for two layers.
        num_layers: L, layers of `hidden_size` each.
        bidirectional: whether the source is also read from its end.
        attention: ``"dot"`` or ``"general"`` (Luong et al. 2015), ``"bahdanau"`` (Bahdanau et al.
            2015; slower, for it goes step by step), or None: then all that the decoder knows is
            the state that it begins with (Sutskever et al. 2014).
        embedding_size: E, of a token.
        dropout: share of the inputs of each layer and of the last outputs that training zeroes.
        scheduled_sampling: share of the target's tokens that training replaces by the network's
            own guesses at the end; it grows from 0 (Bengio et al. 2015, the guesses of all steps
            drawn from one pass: Duckworth et al. 2019).
        beam: beginnings that are kept at a time when a target is searched for; 1: the likeliest
            token at each step.
        length_penalty: α of Wu et al. 2016, by which longer targets are preferred.
        max_length: most tokens of a source or a target; None for any.
        optimizer: ``"adam"``, or the name of another one of torch.optim.
        learning_rate: of the optimizer.
        schedule: of the learning rate: ``"constant"``, ``"cosine"`` or ``"linear"``.
        batch_size: pairs in a batch; by default a fiftieth of them, 16 to 128.
        epochs: passes over the training part, at most.
        patience: epochs without a better validation loss before training stops; None for never.
        clip: greatest global norm of the gradient; None for no clipping.
        precision: ``"float32"``; or ``"bfloat16"``: autocast, in which what is multiplied is
            rounded, faster where the processor has a matrix unit.
        validation: share of the sources that decides when to stop; 0 to train on all for all
            epochs.
        seed: of the weights, the parts, the order of the pairs and dropout.

    Attributes:
        history: losses of every epoch.
        comparison: a `Scored` for each model, once `compare` was called.
        verdict: one plain sentence on whether the network was worth it.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> import recurnn
        >>> sources = ["ab", "ba", "abb", "bba", "aab", "bab"] * 4
        >>> model = recurnn.Seq2Seq(hidden_size=16, epochs=40, validation=0, learning_rate=0.02)
        >>> model.fit(sources, [s.upper() for s in sources]).predict(["ab", "bba"])
        ['AB', 'BBA']
    """

    format = ("recurnn-seq2seq", 1)
    kind = Seq2SeqOptions

    _network: Seq2SeqNetwork | None = None
    _units: tuple[Tokenizer, Tokenizer]

    def __init__(
        self,
        *,
        source: str | None = None,
        target: str | None = None,
        vocabulary: int | None = None,
        min_count: int = 1,
        copy: bool = False,
        cell: str = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        attention: str | None = "general",
        embedding_size: int = 64,
        dropout: float = 0.0,
        scheduled_sampling: float = 0.0,
        beam: int = 4,
        length_penalty: float = 0.6,
        max_length: int | None = None,
        optimizer: str = "adam",
        learning_rate: float = 2e-3,
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
            X: the sources: strings, or lists of tokens.
            y: the targets, likewise. A source may come several times, with several targets.
            watch: is told how training goes.
            saves: where checkpoints go, and whether to go on from one.

        Returns:
            self.

        Raises:
            DataError: a text is empty, too long, or none.
            ShapeError: sources and targets differ in number.
            TrainingError: the loss is no longer a number.
        """
        o = self._options()
        self._network = None
        sources, targets = self._checked(X, y)
        parts = split_by_source(sources, o.validation, o.seed)
        kinds = unit_of(sources, o.source, "source"), unit_of(targets, o.target, "target")
        self._lists = not isinstance(targets[0], str)
        self._units = tuple(  # type: ignore[assignment]
            fit_unit(kind, [texts[i] for i in parts[0]], size=o.vocabulary, min_count=o.min_count)
            for kind, texts in zip(kinds, (sources, targets), strict=True)
        )
        self._longest = 0
        module = network(o, self._units[0].size, self._units[1].size)
        return self._train(module, sources, targets, parts, watch, saves)

    def partial_fit(
        self, X: Any, y: Any, *, watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> Self:  # fmt: skip
        """Train the network that there is further, also one that was loaded.

        The vocabularies stay as `fit` learned them; where there is no network yet, this is `fit`.
        Arguments as of `fit`.
        """
        if self._network is None:
            return self.fit(X, y, watch=watch, saves=saves)
        o = self._options()
        sources, targets = self._checked(X, y)
        parts = split_by_source(sources, o.validation, o.seed)
        return self._train(self._network, sources, targets, parts, watch, saves)

    def predict(self, X: Any, *, beam: int | None = None) -> list[Any]:
        """The likeliest target of each source: strings, or lists of tokens if those were learned.

        Args:
            X: sources, as in `fit`.
            beam: instead of the one that the model was made with.

        Raises:
            NotFittedError: there is no model yet.
            DataError: a source is empty or no text.
        """
        module = self._fitted()
        o = self._options(beam)
        return decoded(
            module, self._units, self._sources(X), o, longest=self._longest, lists=self._lists
        )

    def score(self, X: Any, y: Any) -> float:
        """1 − errors / tokens: 1 where every target is right, below 0 for more errors than tokens.

        Args:
            X: sources.
            y: targets; of a source that comes several times, the nearest counts.
        """
        sources, targets = self._checked(X, y)
        row = self._row(Answers.of(sources, targets))
        return 1 - row.scores[score_name(self._units[1].kind)]

    def compare(
        self, X: Any, y: Any, *, baselines: bool = True, beam: int | None = None
    ) -> list[Scored]:
        """Score the network on a test part, beside baselines trained on what `fit` was given.

        Args:
            X: sources that `fit` did not see.
            y: their targets; a source that comes several times is one source with several right
                targets, of which the nearest counts.
            baselines: whether to train them; without, only the network is scored.
            beam: instead of the one that the model was made with.

        Returns:
            The models, the best first; also kept as `comparison`, with the `verdict`.

        Raises:
            NotFittedError: there is no model, or it was loaded and has no training part.
        """
        answers = Answers.of(*self._checked(X, y))
        rows = [self._row(answers, beam)]
        if baselines:
            began = time.perf_counter()
            found, tokens = self.baselines(), self.cut(answers.sources)
            seconds = (time.perf_counter() - began) / len(found)
            rows += [
                scored(name, baseline.predict(tokens), answers.targets, self._units[1].kind,
                       seconds=seconds)
                for name, baseline in found.items()
            ]  # fmt: skip
            self.verdict = verdict(
                rows, score=score_name(self._units[1].kind), share=True,
                interrupted=self.history.interrupted,
            )  # fmt: skip
        self.comparison = sorted(rows, key=mean_loss)
        return self.comparison

    def attend(self, source: Text, target: Text | None = None) -> Attended:
        """Where the decoder looks while it says a target.

        Args:
            source: a source.
            target: what it says; by default what `predict` says.

        Raises:
            NotFittedError: there is no model yet.
            ConfigError: the model has no attention.
        """
        module = self._fitted()
        (one,) = self._sources([source])
        said = self.predict([one])[0] if target is None else as_texts([target], "target")[0]
        return attended(module, self._units, one, said)

    def baselines(self) -> dict[str, MostFrequent | Nearest]:
        """What a sceptic would try first, trained on what `fit` was given; see `cut`.

        Raises:
            NotFittedError: the model was loaded: there is nothing to train them on.
        """
        sources, targets = self._fitted_on()
        tokens = self.cut(sources)
        return {
            FREQUENT: MostFrequent().fit(tokens, targets), NEAREST: Nearest().fit(tokens, targets)
        }  # fmt: skip

    def cut(self, X: Any) -> list[list[str]]:
        """The tokens of sources, as the baselines read them."""
        self._fitted()
        return surfaces(self._units[0], self._sources(X))

    def summary(self) -> str:
        """What is learned from what, by what, in two lines."""
        o, module = self._options(), self._fitted()
        (source, target), sizes = self._units, ", ".join(map(str, o.hidden_sizes))
        return (
            f"From {source.kind} (V = {source.size:,}) to {target.kind} (V = {target.size:,})\n"
            f"Network: {o.name} ({sizes}), {'both directions, ' if o.bidirectional else ''}"
            f"{sum(p.numel() for p in module.parameters()):,} weights, {o.optimizer} "
            f"{o.learning_rate:g}, {o.schedule}, seed {o.seed}"
        )

    # What `Estimator` keeps and restores.

    def _facts(self) -> dict[str, Any]:
        return {
            "source": config_of(self._units[0]), "target": config_of(self._units[1]),
            "longest": self._longest, "lists": self._lists,
        }  # fmt: skip

    def _restore(self, facts: dict[str, Any]) -> Seq2SeqNetwork:
        self._units = unit_from(facts["source"]), unit_from(facts["target"])
        self._longest, self._lists = int(facts["longest"]), bool(facts["lists"])
        return network(self._options(), self._units[0].size, self._units[1].size)

    def _options(self, beam: int | None = None) -> Seq2SeqOptions:
        given = self.get_params(deep=False)
        return Seq2SeqOptions(**(given if beam is None else given | {"beam": beam}))

    def _checked(self, X: Any, y: Any) -> tuple[list[Text], list[Text]]:
        sources, targets = self._sources(X), as_texts(y, "y")
        if len(sources) != len(targets):
            raise ShapeError(
                "X and y must have the same number of texts.\n"
                f"  X has {len(sources):,}; y has {len(targets):,}."
            )
        return sources, targets

    def _sources(self, X: Any) -> list[Text]:
        found = as_texts(X, "X")
        lists = not isinstance(found[0], str)
        if lists and self._network is not None and self._units[0].kind != "tokens":
            raise DataError(
                "X holds lists of tokens, but the model was fitted on texts.\n  Give strings."
            )
        return found

    def _train(
        self, module: Seq2SeqNetwork, sources: list[Text], targets: list[Text],
        parts: tuple[list[int], list[int]], watch: Watch | Sequence[Watch] | None,
        saves: Saves | None,
    ) -> Self:  # fmt: skip
        o = self._options()
        texts = (sources, targets)
        ids = [encoded(unit, each) for unit, each in zip(self._units, texts, strict=True)]
        for what, rows in zip(("X", "y"), ids, strict=True):
            _check_lengths(what, [len(row) for row in rows], o.max_length)
        train = Pairs([ids[0][i] for i in parts[0]], [ids[1][i] for i in parts[0]])
        # Neighbours of similar length: little is padding where the order does not matter.
        held = sorted(parts[1], key=lambda i: len(ids[0][i]))
        validation = Pairs([ids[0][i] for i in held], [ids[1][i] for i in held]) if held else None
        self._longest = max(self._longest, int(train.targets.lengths.max()))
        plan = o.plan(
            bucket=True, batch_size=min(len(train), o.batch_size or batch_size(len(train))),
            validated=bool(held),
        )  # fmt: skip
        watches = [watch] if isinstance(watch, Watch) else list(watch or ())
        self._network, self._seen = module, (sources, targets)  # `summary` works from now on
        try:
            self.history = fit(
                module, train, validation, plan, name=o.name, objective=Supervised(module.loss),
                watch=[*watches, Rising(module, o.scheduled_sampling)], saves=saves,
            )  # fmt: skip
        except BaseException:
            self._network = None
            raise
        return self

    def _row(self, answers: Answers, beam: int | None = None) -> Scored:
        """The network on a test part."""
        found = self.predict(answers.sources, beam=beam)
        seconds = self.history.seconds if hasattr(self, "history") else 0.0
        return scored(
            self._options().name, found, answers.targets, self._units[1].kind, seconds=seconds,
            recurrent=True,
        )  # fmt: skip


def _check_lengths(what: str, lengths: Sequence[int], most: int | None) -> None:
    longest = int(torch.tensor(lengths).argmax())
    if most is not None and lengths[longest] > most:
        raise DataError(
            f"{what}[{longest}] is too long.\n  It has {counted(lengths[longest], 'token')}; "
            f"max_length is {most:,}.\n  Leave it out, or raise max_length."
        )
