"""``recurnn lm``: language models."""

from __future__ import annotations

import typer

from recurnn.cli.lm import ngrams, train, use

app = typer.Typer(
    help="Language models: count n-grams, train a network, evaluate it, write with it, fill gaps.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("ngrams")(ngrams.ngrams)
app.command("train")(train.train)
app.command("eval")(use.evaluate)
app.command("generate")(use.generate)
app.command("fill")(use.fill)
app.command("compare")(use.compare)
