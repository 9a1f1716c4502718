"""``recurnn tasks``: the long-lag problems, and what each cell learns of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from recurnn.cli.progress import TaskProgress
from recurnn.data.tasks import TASKS, Task, task_of
from recurnn.errors import ConfigError, one_of
from recurnn.models.long_lag import Learned, learn_task
from recurnn.models.long_lag_aims import AIMS, Aim, mean_sequences
from recurnn.models.long_lag_settings import Settings, settings_of

ALL = "all"
USUAL = ("lstm", "gru", "elman")


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
        if length is not None or cell or changed or seeds != 1:
            raise ConfigError(
                "tasks all: the benchmark has tasks, cells and settings of its own.\n"
                "  Leave the options out, or name a task."
            )
        benchmark()
    else:
        if name not in TASKS:
            raise one_of("task", name, [*TASKS, ALL])
        one_task(task_of(name, length), [*(cell or []), *(more or [])] or USUAL, seeds, changed)


def listed() -> Table:
    """The tasks, what solves them, and where they are from."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("task", "what is to be done", "T", "solved when", "chance", "from"):
        table.add_column(
            column, no_wrap=column == "task", justify="right" if column == "T" else "left"
        )
    for task in TASKS.values():
        table.add_row(
            task.name, task.title, "–" if task.usual is None else str(task.usual),
            task.solved_when, f"{task.score_is} {_score(task, task.chance)}", task.source,
        )  # fmt: skip
    return table


def one_task(task: Task, cells: Sequence[str], seeds: int, changed: dict[str, Any]) -> None:
    """Train cells on one task, and print a line for each."""
    settings = {cell: replace(settings_of(task, cell), **changed) for cell in cells}
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("cell", no_wrap=True)
    for column in ("weights", "solved", "sequences", task.score_is, "on others", "s"):
        table.add_column(column, justify="right")
    for cell, chosen in settings.items():
        runs = _runs(task, cell, seeds, chosen)
        table.add_row(
            cell, f"{runs[0].weights:,}", _solved(runs), _sequences(runs),
            *_scores(task, runs), f"{sum(run.seconds for run in runs):.0f}",
        )  # fmt: skip
        if runs[-1].interrupted:
            break
    console.print(table)
    console.print(_notes(task, settings), soft_wrap=True)


def benchmark() -> None:
    """Run every line of `AIMS` and print it beside its aim and what was published."""
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("task", "cell", "solved", "sequences", "score", "s", "aim", ""):
        table.add_column(column, no_wrap=column in ("task", "cell"))
    published: dict[str, None] = {}
    for aim in AIMS:
        task = aim.of()
        runs = _runs(task, aim.cell, aim.seeds, settings_of(task, aim.cell))
        table.add_row(*_line(task, aim, runs))
        if text := task.published.get(task.length if aim.length else None):
            published[f"{task}: {text}"] = None
        if runs[-1].interrupted:
            break
    console.print(table)
    console.print("Published: " + "\n           ".join(published), soft_wrap=True)


def _line(task: Task, aim: Aim, runs: Sequence[Learned]) -> list[str]:
    met = "interrupted" if runs[-1].interrupted else "met" if aim.met(runs) else "missed"
    score, _ = _scores(task, runs)
    seconds = f"{sum(run.seconds for run in runs):.0f}"
    return [
        str(task), aim.cell, _solved(runs), _sequences(runs), f"{task.score_is} {score}", seconds,
        str(aim), met,
    ]  # fmt: skip


def _runs(task: Task, cell: str, seeds: int, settings: Settings) -> list[Learned]:
    """A network for each seed; Ctrl-C ends with the one that it met."""
    runs: list[Learned] = []
    for seed in range(seeds):
        watch = TaskProgress(Console(stderr=True), task)
        runs.append(learn_task(task, cell, seed=seed, settings=settings, watch=[watch]))
        if runs[-1].interrupted:
            break
    return runs


def _solved(runs: Sequence[Learned]) -> str:
    if len(runs) == 1:
        return "diverged" if runs[0].diverged else "yes" if runs[0].solved else "no"
    return f"{sum(run.solved for run in runs)} of {len(runs)}"


def _sequences(runs: Sequence[Learned]) -> str:
    solved = sorted(run.sequences for run in runs if run.solved)
    if not solved:
        return f"{max(run.sequences for run in runs):,} were not enough"
    if len(solved) == 1:
        return f"{solved[0]:,}"
    return f"{mean_sequences(runs):,.0f} ({solved[0]:,} to {solved[-1]:,})"


def _scores(task: Task, runs: Sequence[Learned]) -> tuple[str, str]:
    """The mean of the scores on the held-out sequences, and on others."""
    count = len(runs)
    return (
        _score(task, sum(run.score for run in runs) / count),
        _score(task, sum(run.fresh for run in runs) / count),
    )


def _score(task: Task | type[Task], value: float) -> str:
    return f"{value:.2g}" if task.lowest else f"{value:.4g}"


def _notes(task: Task, settings: dict[str, Settings]) -> str:
    first = next(iter(settings.values()))
    lines = [
        f"{task}: {task.title[0].lower()}{task.title[1:]} ({task.source}).",
        f"Solved: {task.solved_when}, of {task.held_out:,} held-out sequences, looked at every "
        f"{first.check:,}; who has learned nothing has {_score(task, task.chance)}.",
    ]
    return "\n".join(lines)
