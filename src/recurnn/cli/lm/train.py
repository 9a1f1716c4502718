"""``recurnn lm train``."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from recurnn.cli import options
from recurnn.cli.lm import options as o
from recurnn.cli.lm.progress import LanguageProgress
from recurnn.cli.lm.tables import text_table
from recurnn.errors import ConfigError
from recurnn.models import LanguageModel
from recurnn.models.folder import HISTORY, check_free, written
from recurnn.training.processes import Processes


def train(
    text: o.Sources = None,
    column: o.Column = None,
    header: o.Header = None,
    join: o.Join = "\n",
    documents: o.Documents = "file",
    unit: o.Unit = None,
    vocabulary: o.Vocabulary = None,
    min_count: o.MinCount = None,
    segmenter: o.Segmenter = None,
    context: o.Context = None,
    cell: o.Cell = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    embedding_size: o.EmbeddingSize = None,
    tied: o.Tied = None,
    softmax: o.Softmax = None,
    cutoffs: o.Cutoffs = None,
    start: o.Start = None,
    forget_bias: o.ForgetBias = None,
    dropout: o.Dropout = None,
    input_dropout: o.InputDropout = None,
    output_dropout: o.OutputDropout = None,
    variational: o.Variational = None,
    embedding_dropout: o.EmbeddingDropout = None,
    state_dropout: o.StateDropout = None,
    weight_dropout: o.WeightDropout = None,
    zoneout: o.Zoneout = None,
    recipe: o.Recipe = "char",
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    schedule: o.Schedule = None,
    decay_after: o.DecayAfter = None,
    decay: o.Decay = None,
    batch_size: o.BatchSize = None,
    steps: o.Steps = None,
    back: o.Back = None,
    epochs: o.Epochs = None,
    patience: o.Patience = None,
    clip: o.Clip = None,
    averaging: o.Averaging = None,
    activation_penalty: o.ActivationPenalty = None,
    change_penalty: o.ChangePenalty = None,
    precision: o.Precision = None,
    validation: o.Validation = None,
    test: o.Test = None,
    ngram: o.Ngram = None,
    seed: o.Seed = None,
    prompt: o.Prompt = "",
    out: o.Out = Path("lm"),
    overwrite: o.Overwrite = False,
    checkpoints: o.Checkpoints = None,
    every: o.Every = None,
    resume: o.Resume = False,
    log: options.Log = None,
) -> None:
    """Train a recurrent network on text, and compare it with n-grams on held-out text."""
    given = {k: v for k, v in locals().items() if k in o.OF_THE_MODEL and v is not None}
    model = LanguageModel(recipe, **o.settings(given))
    if prompt and model.options.context == "both":
        raise ConfigError(
            "--prompt is what samples begin with; a model from both sides writes none.\n"
            "  Leave it out."
        )
    main = Processes(model.options.precision).is_main
    if main:
        check_free(out, overwrite=overwrite)
    console = Console(highlight=False, quiet=not main)
    saves = options.saves(checkpoints, every=every, resume=resume)
    logs = options.logs(log, replace=overwrite or resume)
    model.fit(
        text or None,
        **o.reading(column, header, join, documents),
        watch=[LanguageProgress(console, model, prompt), *logs],
        saves=saves,
    )
    if model.comparison:
        console.print(text_table(model.comparison, f"On the {model.part} part"))
        console.print(f"{model.verdict}\n", markup=False)
    if main:
        _write(model, out, overwrite=overwrite)
        _tell(console, model, out)


def _write(model: LanguageModel, out: Path, *, overwrite: bool) -> None:
    with written(out, overwrite=overwrite) as folder:
        model.write_to(folder)
        model.history.save(folder / HISTORY)


def _tell(console: Console, model: LanguageModel, out: Path) -> None:
    """What was written, and what to do with it."""
    more = ", ngram.npz" if model.ngram is not None else ""
    then = (
        f'recurnn lm fill {shlex.quote(str(out))} "text with a ____ in it"'
        if model.options.context == "both"
        else f'recurnn lm generate {shlex.quote(str(out))} "how it begins"'
    )
    console.print(
        f"Wrote {out}/: model.safetensors, config.json, tokenizer.json{more}, history.csv\n"
        f"Use it with:\n  {then}",
        markup=False,
        soft_wrap=True,
    )
