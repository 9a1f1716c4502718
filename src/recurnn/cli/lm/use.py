"""``recurnn lm eval``, ``generate``, ``fill`` and ``compare``: what a trained model is used for."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recurnn.baselines import TextScores
from recurnn.cli.lm import options as o
from recurnn.cli.lm.tables import candidate_table, document_table, text_table
from recurnn.cli.lm.unknown import tell_units, tell_unknown
from recurnn.data.text import read_texts
from recurnn.errors import ConfigError, counted
from recurnn.models import LanguageModel
from recurnn.models.language import Cache, Candidate, GapRow, TextRow, same_vocabulary
from recurnn.models.language.blanks import unknown_beside
from recurnn.models.language.describing import ngram_name
from recurnn.models.language.gaps import gap_rows

_WAYS = {
    "both": "both sides",
    "whole": "before, then after",
    "left": "what is before",
    "ngram": "n-gram",
}


def evaluate(
    model: o.Model,
    text: o.Text,
    column: o.Column = None,
    header: o.Header = None,
    join: o.Join = "\n",
    documents: o.Documents = "file",
    cache: o.Cache = None,
    cache_flatness: o.Flatness = 0.3,
    cache_share: o.Share = 0.1,
    by_document: Annotated[
        bool, typer.Option("--by-document", help="A row for each document too.")
    ] = False,
) -> None:
    """How likely a text is to a model, and to the n-grams beside it."""
    loaded = LanguageModel.load(model)
    beside = None if cache is None else Cache(cache, cache_flatness, cache_share)
    texts = read_texts(text, **o.reading(column, header, join, documents))
    console = Console(highlight=False)
    tell_unknown(console, loaded.tokenizer, texts.documents)
    console.print(text_table(loaded.compare(texts, cache=beside), _title(texts.documents)))
    if by_document:
        corpus = loaded.encode(texts)
        named: dict[str, TextScores] = {loaded.name: loaded.score(corpus, beside)}
        if loaded.ngram is not None:
            named[ngram_name(loaded.ngram)] = loaded.ngram.score(corpus)
        console.print(document_table(named, texts.names))


def generate(
    model: o.Model,
    prompt: Annotated[str, typer.Argument(help="What is read first.")] = "",
    length: Annotated[int, typer.Option(help="Most tokens.")] = 500,
    samples: Annotated[int, typer.Option(help="Texts, written side by side.")] = 1,
    temperature: Annotated[float, typer.Option(help="Below 1: the likely likelier.")] = 1.0,
    top_k: Annotated[
        int | None, typer.Option(help="Of so many likeliest tokens only.", show_default=False)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Of the likeliest with this probability.", show_default=False),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(help="The likeliest text, by a search of this width.", show_default=False),
    ] = None,
    stop: Annotated[
        str | None, typer.Option(help="End before this text.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    speed: Annotated[bool, typer.Option("--speed", help="Tokens a second, at the end.")] = False,
) -> None:
    """Go on from a prompt; the text comes as it is written."""
    loaded = LanguageModel.load(model)
    tell_unknown(Console(stderr=True, highlight=False), loaded.tokenizer, (prompt,))
    began = time.perf_counter()
    if beam is not None:
        if samples > 1 or temperature != 1 or top_k is not None or top_p is not None:
            raise ConfigError(
                "beam: the likeliest text is searched for, not drawn.\n"
                "  Leave out samples, temperature, top-k and top-p, or beam."
            )
        best = loaded.search(prompt, beam=beam, length=length, stop=stop)[0]
        typer.echo(prompt + best.text)
        count = loaded.tokenizer.encode(best.text).size if best.text else 0
    else:
        count = _stream(
            loaded, prompt, samples, length=length, temperature=temperature, top_k=top_k,
            top_p=top_p, stop=stop, seed=seed,
        )  # fmt: skip
    if speed:
        seconds = time.perf_counter() - began
        typer.echo(
            f"{counted(count, 'token')} in {seconds:.2f} s: {count / seconds:,.0f} a second",
            err=True,
        )


def fill(
    model: o.Model,
    text: Annotated[str, typer.Argument(help="Two or more underscores are a blank.")],
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Another model of the same vocabulary; several.", show_default=False),
    ] = None,
    candidates: Annotated[int, typer.Option(help="For each blank.")] = 5,
) -> None:
    """What may stand in the blanks of a text, by the model and by those beside it."""
    found: dict[str, list[list[Candidate]]] = {}
    first = LanguageModel.load(model)
    models = [first, *map(LanguageModel.load, beside or [])]
    for other in models:
        same_vocabulary(first.tokenizer, other.tokenizer)
    for way, name in _WAYS.items():
        able = next((m for m in models if way in m.guesses()), None)
        if able is not None:
            found[name] = able.fill(text, candidates=candidates, by=way)
    tell_units(Console(stderr=True, highlight=False), unknown_beside(first.tokenizer, text))
    console, blanks = Console(highlight=False), len(next(iter(found.values())))
    for k in range(blanks):
        title = f"Blank {k + 1} of {blanks}" if blanks > 1 else text
        console.print(candidate_table({n: c[k] for n, c in found.items()}, title))


def compare(
    models: Annotated[list[Path], typer.Argument(help="Folders that `recurnn lm train` wrote.")],
    text: Annotated[list[str], typer.Option(help="File, folder or pattern; several.")],
    column: o.Column = None,
    header: o.Header = None,
    join: o.Join = "\n",
    documents: o.Documents = "file",
    gaps: Annotated[
        bool, typer.Option("--gaps", help="By tokens taken out of the text and guessed.")
    ] = False,
    places: Annotated[int, typer.Option(help="Tokens that are taken out.")] = 500,
    seed: Annotated[int, typer.Option(help="Of which those are.")] = 0,
) -> None:
    """Models of one vocabulary, and the n-grams of the first, on the same text."""
    twice = next((path for k, path in enumerate(models) if path in models[:k]), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice.\n  A model is compared with others: once each.")
    loaded = {str(path): LanguageModel.load(path) for path in models}
    first = next(iter(loaded.values()))
    for other in loaded.values():
        same_vocabulary(first.tokenizer, other.tokenizer)
    texts = read_texts(text, **o.reading(column, header, join, documents))
    console = Console(highlight=False)
    tell_unknown(console, first.tokenizer, texts.documents)
    corpus = first.encode(texts)
    if gaps or any(m.options.context == "both" for m in loaded.values()):
        named = {
            f"{path}, {_WAYS[way]}": guess
            for path, m in loaded.items()
            for way, guess in m.guesses().items()
            if way != "ngram" or m is first
        }
        networks = [name for name in named if not name.endswith(_WAYS["ngram"])]
        found = gap_rows(named, corpus, places=places, seed=seed, recurrent=networks)
        console.print(
            text_table(found, f"{counted(found[0].places, 'token')} taken out, each alone")
        )
        return
    rows: list[TextRow] = []
    for path, m in loaded.items():
        for row in m.compare(texts):
            assert not isinstance(row, GapRow)
            if row.recurrent or m is first:
                name = f"{path} ({row.model})" if row.recurrent else row.model
                rows.append(TextRow(**(vars(row) | {"model": name})))
    rows.sort(key=lambda row: row.nats)
    console.print(text_table(rows, _title(texts.documents)))


def _stream(model: LanguageModel, prompt: str, samples: int, **options: object) -> int:
    """Print samples as they are written, one of several when all are; the tokens there were."""
    texts = [prompt] * samples
    pieces = model.stream(prompt, samples=samples, **options)  # type: ignore[arg-type]
    if samples == 1:
        typer.echo(prompt, nl=False)
    count = 0
    for new in pieces:
        count += sum(map(bool, new))
        texts = [text + piece for text, piece in zip(texts, new, strict=True)]
        if samples == 1:
            typer.echo(new[0], nl=False)
            sys.stdout.flush()
    if samples == 1:
        typer.echo()
        return count
    for k, text in enumerate(texts, start=1):
        typer.echo(f"--- {k} ---\n{text}")
    return count


def _title(documents: tuple[str, ...]) -> str:
    characters = sum(map(len, documents))
    many = counted(len(documents), "document") if len(documents) > 1 else "one document"
    return f"{many}, {characters:,} characters"
