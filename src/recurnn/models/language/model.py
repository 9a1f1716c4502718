"""The language model: text in; a trained network, an honest comparison and new text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from recurnn.baselines import Ngram, Sampling, TextScores
from recurnn.data.text import Corpus, Texts, Tokenizer, read_texts
from recurnn.errors import ConfigError, NotFittedError, one_of
from recurnn.models import folder as folder_
from recurnn.models.language import filling, inspected, keeping
from recurnn.models.language.beam import Beam, search
from recurnn.models.language.blanks import find_blanks
from recurnn.models.language.describing import name_of, ngram_name, ngram_size, summary
from recurnn.models.language.filling import Candidate
from recurnn.models.language.gaps import gap_rows
from recurnn.models.language.network import BothNetwork, LeftNetwork, Network
from recurnn.models.language.options import LanguageOptions, options_of
from recurnn.models.language.recipes import RECIPES
from recurnn.models.language.report import GapRow, TextRow, plain, rows_of, verdict
from recurnn.models.language.scoring import Cache, log_probabilities
from recurnn.models.language.training import count_ngrams, prepare, train
from recurnn.models.language.writing import check_asked, check_length, write
from recurnn.subject import Subject
from recurnn.training import History, Saves, Watch

Source = str | Path | Sequence[str | Path] | Texts


class LanguageModel:
    """Learns a language from text: says how likely a text is, goes on with it, fills its gaps.

    Args:
        recipe: options that belong together: ``"char"``, ``"zaremba-small"``,
            ``"zaremba-medium"`` or ``"awd-lstm"``.
        **options: what differs from the recipe; see `recurnn.models.language.LanguageOptions`.

    Attributes:
        options: all of them.
        comparison: the network and the n-gram beside it on held-out text, the best first.
        verdict: one plain sentence on whether the network was worth it.
        part: which part of the text those are on.
        history: losses of every epoch.
        tokenizer: text to numbers and back.
        ngram: the n-gram model of the same tokens; None where there is none.
        notes: what was guessed or left out.

    Raises:
        ConfigError: an option has a value that it cannot have.

    Example:
        >>> from recurnn.data.text import Texts
        >>> text = Texts.of("to be or not to be, that is the question. " * 40)
        >>> model = LanguageModel(hidden_size=32, batch_size=4, steps=16, epochs=2).fit(text)
    """

    comparison: list[TextRow] | list[GapRow]
    verdict: str
    part: str
    history: History
    tokenizer: Tokenizer
    ngram: Ngram | None
    notes: tuple[str, ...]

    def __init__(self, recipe: str = "char", **options: Any) -> None:
        self.options: LanguageOptions = options_of(RECIPES, recipe, options)
        self.recipe = recipe
        self._limit = "vocabulary" not in options
        self._network: Network | None = None

    def fit(
        self,
        source: Source | None = None,
        *,
        column: Any = None,
        header: bool | None = None,
        join: str = "\n",
        documents: str = "file",
        watch: Watch | Sequence[Watch] | None = None,
        saves: Saves | None = None,
    ) -> LanguageModel:
        """Train the network, and count the n-grams beside it.

        Args:
            source: files, folders or patterns, as `recurnn.data.text.read_texts` takes them, with
                the four options that follow; or `Texts`. None for the source text of Python's own
                standard library.
            column: of a table or of JSON lines.
            header: of a table.
            join: stands between columns.
            documents: what is one document of a plain text.
            watch: is told how training goes.
            saves: where checkpoints go, and whether to go on from one.

        Returns:
            self.

        Raises:
            DataError: the text cannot be used.
            TrainingError: the loss is no longer a number.
        """
        texts = _read(source, column=column, header=header, join=join, documents=documents)
        prepared = prepare(texts, self.options, limit=self._limit)
        self._network, self.comparison, self.verdict, self.part = None, [], "", ""
        self.tokenizer, self.ends, self.notes = prepared.tokenizer, prepared.ends, prepared.notes
        self.tokens = prepared.sizes
        self._network, self.history = train(prepared, self.options, watch=watch, saves=saves)
        self.ngram, seconds = count_ngrams(prepared, self.options.ngram)
        held = prepared.validation if prepared.test is None else prepared.test
        if held is not None:
            self.part = "validation" if prepared.test is None else "test"
            self.comparison = self._rows(held, (self.history.seconds, seconds))
            self.verdict = verdict(self.comparison, self.part)
        return self

    @property
    def name(self) -> str:
        """What the network is called in tables."""
        return name_of(self.options)

    @property
    def network(self) -> Network:
        """The network.

        Raises:
            NotFittedError: there is none yet.
        """
        if self._network is None:
            raise NotFittedError(
                "The language model is not fitted yet.\n"
                "  Call fit(...) first, or LanguageModel.load(...)."
            )
        return self._network

    def summary(self) -> str:
        """What is read and by what, in two lines."""
        return summary(self.options, self.tokenizer, self.tokens)

    def evaluate(self, source: Source, *, cache: Cache | None = None, **how: Any) -> TextScores:
        """How likely a text is.

        Args:
            source: as for `fit`, with the same options.
            cache: of recent states, beside the network.
            **how: ``column``, ``header``, ``join`` and ``documents``, as for `fit`.

        Raises:
            NotFittedError: there is no model yet.
            DataError: the text cannot be used.
            ConfigError: the model guesses from both sides.
        """
        return self.score(self.encode(_read(source, **how)), cache)

    def compare(
        self, source: Source, *, cache: Cache | None = None, **how: Any
    ) -> list[TextRow] | list[GapRow]:
        """The network beside the n-gram of the same tokens, on a text; the best first.

        Of a model that guesses from both sides the rows say how often it guesses a token right.
        Arguments as for `evaluate`.
        """
        return self._rows(self.encode(_read(source, **how)), cache=cache)

    def encode(self, texts: Texts) -> Corpus:
        """The tokens of some documents."""
        return Corpus.encode(texts, self.tokenizer, ends=self.ends)

    def score(self, corpus: Corpus, cache: Cache | None = None) -> TextScores:
        """How likely some tokens are."""
        network = self._left("evaluated on the probability of a text")
        return TextScores.of(log_probabilities(network, corpus, cache), corpus)

    @overload
    def generate(self, prompt: str = ..., *, samples: None = None, **options: Any) -> str: ...
    @overload
    def generate(self, prompt: str = ..., *, samples: int, **options: Any) -> list[str]: ...
    def generate(
        self, prompt: str = "", *, samples: int | None = None, **options: Any
    ) -> str | list[str]:
        """Go on from a prompt.

        Args:
            prompt: what is read first; it begins a document. What is not in the vocabulary is
                read as the unknown token.
            samples: how many texts, written side by side; None for one, as a text by itself.
            **options: as for `stream`.

        Returns:
            The text after the prompt, or the texts.

        Raises:
            NotFittedError: there is no model yet.
            ConfigError: an option has a value that it cannot have, or the model guesses from both
                sides.
        """
        pieces = self.stream(prompt, samples=1 if samples is None else samples, **options)
        texts = ["".join(column) for column in zip(*pieces, strict=True)]
        return texts[0] if samples is None else texts

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        seed: int = 0,
    ) -> Iterator[list[str]]:
        """Go on from a prompt, a token at a time.

        Args:
            prompt: as for `generate`.
            length: most tokens.
            samples: how many texts.
            temperature: as of `recurnn.baselines.Sampling`, with the two that follow.
            top_k: only so many of the likeliest tokens are drawn from.
            top_p: only the likeliest with so much probability together.
            stop: text at which a sample ends; it is left out.
            seed: of what is drawn.

        Yields:
            What each token adds to the text of each sample.
        """
        network = self._left("made to write")
        check_asked(prompt, stop, length, samples, seed)
        return write(
            network,
            self.tokenizer,
            prompt,
            length=length,
            samples=samples,
            sampling=Sampling(temperature, top_k, top_p),
            stop=stop,
            ends=self.ends,
            seed=seed,
        )

    def search(
        self, prompt: str = "", *, beam: int = 4, length: int = 200, stop: str | None = None
    ) -> list[Beam]:
        """The likeliest texts that go on from a prompt, by beam search, the best first.

        Args:
            prompt: as for `generate`.
            beam: beginnings that are kept at a time.
            length: most tokens.
            stop: text at which a text ends; it is left out.
        """
        network = self._left("made to write")
        check_asked(prompt, stop, length)
        return search(
            network, self.tokenizer, prompt, length=length, width=beam, stop=stop, ends=self.ends
        )

    def fill(
        self, text: str, *, candidates: int = 5, by: str | None = None
    ) -> list[list[Candidate]]:
        """What may stand in the blanks of a text.

        Args:
            text: two or more underscores are a blank for one token.
            candidates: for each blank, the likeliest first.
            by: ``"both"``, the network of both sides; of one that reads from the left, ``"left"``,
                from what stands before the blank, or ``"whole"``, with what stands after it as
                well; ``"ngram"``. By default what knows most.

        Returns:
            For each blank its candidates.

        Raises:
            DataError: there is no blank.
            ConfigError: the model cannot do it that way.
        """
        guesses = self.guesses()
        way = next(iter(guesses)) if by is None else by
        if way not in guesses:
            raise one_of("by", way, guesses)
        check_length(candidates, what="candidates")
        return filling.fill(guesses[way], self.tokenizer, find_blanks(self.tokenizer, text),
                            candidates)  # fmt: skip

    def guesses(self) -> dict[str, filling.Guess]:
        """The ways in which this model fills a blank, the one that knows most first."""
        network, found = self.network, dict[str, filling.Guess]()
        if isinstance(network, BothNetwork):
            found["both"] = filling.by_both(network)
        else:
            found["whole"] = filling.by_left(network, whole=True, ends=self.ends)
            found["left"] = filling.by_left(network)
        if self.ngram is not None:
            found["ngram"] = filling.by_counts(self.ngram)
        return found

    def subject(
        self, source: Source, *, rows: int = 16, steps: int | None = None, **how: Any
    ) -> Subject:
        """The network on pieces of a text, to be looked into by `recurnn.insight`.

        Args:
            source: as for `evaluate`, and so ``**how``.
            rows: pieces, evenly spread over the text.
            steps: tokens of a piece; by default 128, or fewer where training cuts the gradient.
            **how: ``column``, ``header``, ``join`` and ``documents``.
        """
        network = self._left("looked into")
        return inspected.subject(
            network, self.encode(_read(source, **how)), self.tokenizer, name=self.name, rows=rows,
            steps=steps, truncation=self.options.window, comparison=self.comparison,
        )  # fmt: skip

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder: weights, config, tokenizer, and the n-gram model.

        Args:
            folder: where to.
            overwrite: whether a model that is there may be replaced.

        Raises:
            NotFittedError: there is no model yet.
            ModelFolderError: the folder exists, or cannot be written.
        """
        self.network  # noqa: B018 - refuses before anything is touched
        with folder_.written(folder, overwrite=overwrite) as temporary:
            self.write_to(temporary)

    def write_to(self, folder: Path) -> None:
        """Write the model's files into a folder that exists."""
        facts = {
            "recipe": self.recipe,
            "options": self.options.to_dict(),
            "ends": self.ends,
            "tokens": self.tokens,
            "part": self.part,
            "comparison": plain(self.comparison),
            "verdict": self.verdict,
        }
        keeping.write(folder, facts, self.network, self.tokenizer, self.ngram)

    @classmethod
    def load(cls, folder: str | Path) -> LanguageModel:
        """Read a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, or not one of a language model.
        """
        facts, tokenizer, ngram, options, network = keeping.read(folder)
        model = cls.__new__(cls)
        model.recipe, model.options, model._limit = facts["recipe"], options, True
        model.tokenizer, model.ngram, model._network = tokenizer, ngram, network
        model.ends, model.tokens, model.part = facts["ends"], facts["tokens"], facts["part"]
        model.comparison, model.verdict = rows_of(facts["comparison"]), facts["verdict"]
        model.notes = ()
        return model

    def _left(self, what: str) -> LeftNetwork:
        network = self.network
        if isinstance(network, BothNetwork):
            raise ConfigError(
                f"A model that guesses from both sides cannot be {what}.\n"
                "  It fills gaps: fill(...), `recurnn lm fill`. For the rest train one with "
                'context="left".'
            )
        return network

    def _rows(
        self, corpus: Corpus, seconds: tuple[float, float] = (0.0, 0.0), cache: Cache | None = None
    ) -> list[TextRow] | list[GapRow]:
        """The network and the n-gram on some tokens, the best first."""
        name = f"{self.name} with cache" if cache is not None else self.name
        if isinstance(self.network, BothNetwork):
            named = {name: self.guesses()["both"]}
            if self.ngram is not None:
                named[ngram_name(self.ngram)] = filling.by_counts(self.ngram)
            return gap_rows(named, corpus, seed=self.options.seed, recurrent=[name])
        size = sum(p.numel() for p in self.network.parameters())
        rows = [
            TextRow.of(name, self.score(corpus, cache), size=size, seconds=seconds[0],
                       recurrent=True)
        ]  # fmt: skip
        if self.ngram is not None:
            rows.append(
                TextRow.of(ngram_name(self.ngram), self.ngram.score(corpus),
                           size=ngram_size(self.ngram), seconds=seconds[1])
            )  # fmt: skip
        return sorted(rows, key=lambda row: row.nats)


def _read(source: Source | None, **how: Any) -> Texts:
    if isinstance(source, Texts):
        given = [k for k, v in how.items() if v not in (None, "\n", "file")]
        if given:
            raise ConfigError(f"{given[0]} is of files; the texts were read already.")
        return source
    return read_texts(source, **how)
