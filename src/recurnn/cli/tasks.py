"""``recurnn tasks``: the long-lag problems, and what each cell learns of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from recurnn.cli import options
from recurnn.cli.progress import TaskProgress
from recurnn.data.tasks import TASKS, Task, task_of
from recurnn.errors import ConfigError, one_of
from recurnn.models.long_lag import Learned, learn_task
from recurnn.models.long_lag_aims import AIMS, Aim, mean_sequences
from recurnn.models.long_lag_settings import Settings, settings_of
from recurnn.training import Watch

ALL = "all"
USUAL = ("lstm", "gru", "elman")
_WIDTH = 104  # of the benchmark's table
Logs = Mapping[tuple[str, int], Sequence[Watch]]
"""Who writes the logs, by cell and seed."""


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, show_default=False)


def tasks(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A task; without one, all are listed. `all` runs the benchmark.",
            show_default=False,
        ),
    ] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    length: Annotated[int | None, _option("T, as the list of tasks says.")] = None,
    cell: Annotated[
        list[str] | None, _option("One or more cells: --cell gru lstm elman (these three).")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Networks of each cell.")] = 1,
    sequences: Annotated[int | None, _option("To train on, at most.")] = None,
    hidden_size: Annotated[int | None, _option("Units.")] = None,
    batch_size: Annotated[int | None, _option("Sequences in a batch.")] = None,
    learning_rate: Annotated[float | None, _option("Of Adam.")] = None,
    clip: Annotated[float | None, _option("Greatest norm of the gradient.")] = None,
    start: Annotated[
        str | None, _option("Of the weights: chrono (as the task wants) or cell (as usual).")
    ] = None,
    log: options.Log = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the logs there.")] = False,
) -> None:
    """Train cells on a long-lag problem: what they learn, and after how many sequences."""
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}; expected a whole number of at least 1.")
    given = {
        "sequences": sequences, "hidden_size": hidden_size, "batch_size": batch_size,
        "learning_rate": learning_rate, "clip": clip, "start": start,
    }  # fmt: skip
    changed = {k: v for k, v in given.items() if v is not None}
    if name is None:
        Console().print(listed())
        typer.echo(
            "recurnn tasks NAME trains cells on one of them; recurnn tasks all, a selection."
        )
    elif name == ALL:
        if length is not None or cell or changed or seeds != 1 or log is not None:
            raise ConfigError(
                "tasks all: the benchmark has tasks, cells and settings of its own.\n"
                "  Leave the options out, or name a task."
            )
        benchmark()
    else:
        if name not in TASKS:
            raise one_of("task", name, [*TASKS, ALL])
        task, cells = task_of(name, length), [*(cell or []), *(more or [])] or USUAL
        several = len(cells) * seeds > 1
        logs = {
            (one, seed): options.logs(
                log, replace=overwrite, run=f"{one}-{seed}" if several else None
            )
            for one in cells
            for seed in range(seeds)
        }
        one_task(task, cells, seeds, changed, logs)


def listed() -> Table:
    """The tasks, where they are from, and what solves them."""
    table = _table("task", "T", "what is to be done", "solved when", left=(0, 2, 3))
    for task in TASKS.values():
        table.add_row(
            task.name, "–" if task.usual is None else str(task.usual),
            f"{task.title} ({task.source})", task.solved_when,
        )  # fmt: skip
    return table


def one_task(
    task: Task, cells: Sequence[str], seeds: int, changed: dict[str, Any], logs: Logs
) -> None:
    """Train cells on one task, and print a line for each."""
    settings = {cell: replace(settings_of(task, cell), **changed) for cell in cells}
    console = Console()
    table = _table(
        "cell", "weights", "solved", "sequences", "most", task.score_is, "on others", "s", left=(0,)
    )
    for cell, chosen in settings.items():
        runs = _runs(task, cell, seeds, chosen, logs)
        table.add_row(
            cell, f"{runs[0].weights:,}", *_solved(runs), _mean(task, runs, "score"),
            _mean(task, runs, "fresh"), _seconds(runs),
        )  # fmt: skip
        if runs[-1].interrupted:
            break
    console.print(table)
    console.print(_notes(task, next(iter(settings.values()))), soft_wrap=True)


def benchmark() -> None:
    """Run every line of `AIMS` and print it beside its aim and what was published."""
    console = Console()
    console.width = max(console.width, _WIDTH)
    table = _benchmark_table()
    published: dict[str, None] = {}
    began = time.perf_counter()
    for aim in AIMS:
        task = aim.of()
        runs = _runs(task, aim.cell, aim.seeds, settings_of(task, aim.cell), {})
        table.add_row(
            task.name, str(task.length or "–"), aim.cell, *_solved(runs),
            _mean(task, runs, "score"), _seconds(runs), str(aim), _verdict(aim, runs),
        )  # fmt: skip
        if text := task.published.get(task.length or None):
            published[f"  {task}: {text}"] = None
        if runs[-1].interrupted:
            break
    console.print(table)
    console.print(
        "sequences: until solved, the mean over the networks that did; most: of any network. "
        "score: of the held-out sequences.\nPublished:",
        *published,
        f"{time.perf_counter() - began:.0f} seconds in all, {torch.get_num_threads()} threads.",
        sep="\n",
        soft_wrap=True,
    )


def _benchmark_table() -> Table:
    return _table(
        "task", "T", "cell", "solved", "sequences", "most", "score", "s", "aim", "",
        left=(0, 2, 8, 9),
    )  # fmt: skip


def _verdict(aim: Aim, runs: Sequence[Learned]) -> str:
    if runs[-1].interrupted:
        return "interrupted"
    met = aim.met(runs)
    return "" if met is None else "met" if met else "missed"


def _runs(task: Task, cell: str, seeds: int, settings: Settings, logs: Logs) -> list[Learned]:
    """A network for each seed, each with a line when it is done; Ctrl-C ends with that one."""
    runs: list[Learned] = []
    console = Console(stderr=True)
    for seed in range(seeds):
        watch = [TaskProgress(console, task), *logs.get((cell, seed), ())]
        run = learn_task(task, cell, seed=seed, settings=settings, watch=watch)
        runs.append(run)
        how = (
            "interrupted" if run.interrupted else "diverged" if run.diverged
            else "solved" if run.solved else "not solved"
        )  # fmt: skip
        console.print(
            f"{task}, {cell}, seed {seed}: {how} after {run.sequences:,} sequences, "
            f"{task.score_is} {_score(task, run.score)}"
        )
        if run.interrupted:
            break
    return runs


def _table(*columns: str, left: Sequence[int]) -> Table:
    """A table of these columns, of which some stand at the left edge."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at in left else "right", no_wrap=at == 0)
    return table


def _solved(runs: Sequence[Learned]) -> tuple[str, str, str]:
    """How many networks solved it, after how many sequences in the mean, and the most of any."""
    solved = sum(run.solved for run in runs)
    mean = f"{mean_sequences(runs):,.0f}" if solved else "–"
    return f"{solved} of {len(runs)}", mean, f"{max(run.sequences for run in runs):,}"


def _mean(task: Task, runs: Sequence[Learned], what: str) -> str:
    return _score(task, sum(getattr(run, what) for run in runs) / len(runs))


def _score(task: Task, value: float) -> str:
    return f"{value:.2g}" if task.lowest else f"{value:.4g}"


def _seconds(runs: Sequence[Learned]) -> str:
    return f"{sum(run.seconds for run in runs):.0f}"


def _notes(task: Task, settings: Settings) -> str:
    return (
        f"{task}: {task.title[0].lower()}{task.title[1:]} ({task.source}).\n"
        f"Solved: {task.solved_when}, of {task.held_out:,} held-out sequences, looked at every "
        f"{settings.check:,}; who has learned nothing has {_score(task, task.chance)}."
    )
