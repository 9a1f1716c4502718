"""Cells side by side on one task: what a gradient meets in each, before and after training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from recurnn import cells
from recurnn.errors import ConfigError, counted, one_of
from recurnn.insight import figures as f
from recurnn.insight.advice import number, percent
from recurnn.insight.course import Course
from recurnn.insight.figure import Figure, Lines, Panels, save_all
from recurnn.insight.gradient import Flow, gradient_flow, spread_lags
from recurnn.insight.inspection import inspect
from recurnn.insight.monitor import Monitor
from recurnn.insight.page import Page
from recurnn.insight.roles import roles_of
from recurnn.nn import Recurrent
from recurnn.subject import Subject
from recurnn.training import Plan, TrainingError, fit

_VALIDATION_ROWS = 200
_LAYER = "layer"
STARTS = ("chrono", "cell")


class Adding:
    """The adding problem of Hochreiter & Schmidhuber 1997: two marked numbers are to be added.

    x is [B, T, 2]: numbers from 0 to 1, and a mark at two of them, one in either half. The target
    is their sum, [B, 1]; always guessing 1 has a mean squared error of .167.

    Args:
        steps: T.
        rows: sequences in all.
        seed: of the numbers.
    """

    def __init__(self, steps: int, rows: int, *, seed: int = 0) -> None:
        if steps < 2:
            raise ConfigError(f"The adding problem: {counted(steps, 'step')}; it needs at least 2.")
        random = torch.Generator().manual_seed(seed)
        self.x = torch.zeros(rows, steps, 2)
        self.x[..., 0] = torch.rand(rows, steps, generator=random)
        row, half = torch.arange(rows), steps // 2
        for first, last in ((0, half), (half, steps)):
            at = torch.randint(first, last, (rows,), generator=random)
            self.x[row, at, 1] = 1.0
        self.y = (self.x[..., 0] * self.x[..., 1]).sum(1, keepdim=True)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The sequences of these numbers."""
        return self.x[index], self.y[index]


class LastStep(nn.Module):
    """A recurrent layer, and a linear map of its output at the last step.

    Args:
        cell: of the layer.
        outputs: size of the result.
        engine: as in `recurnn.scan`.
    """

    def __init__(self, cell: cells.Cell, outputs: int = 1, *, engine: str = "auto") -> None:
        super().__init__()
        self.layer = Recurrent(cell, batch_first=True, engine=engine)
        self.head = nn.Linear(cell.output_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, I] to [B, outputs]."""
        y: Tensor = self.head(self.layer(x).output[:, -1])
        return y


@dataclass
class Trained:
    """One cell in a comparison.

    Attributes:
        name: of the cell.
        clip: the greatest norm of the gradient while it was trained; None for no clipping.
        before: the gradient before training.
        after: after it; None if training broke off.
        sweep: what is left of the gradient against the length of the sequence, before training.
        course: losses and gradients along the training.
        loss: on fresh sequences, after training.
        verdicts: names of what is wrong after training; None if training broke off.
    """

    name: str
    clip: float | None
    before: Flow
    after: Flow | None
    sweep: pd.DataFrame
    course: Course
    loss: float
    verdicts: list[str] | None = None

    @property
    def title(self) -> str:
        """The name, and whether it was clipped."""
        return f"{self.name}, {'no clipping' if self.clip is None else f'clip {self.clip:g}'}"


@dataclass
class Comparison:
    """Cells side by side.

    Attributes:
        steps: T of the adding problem.
        trained: every cell, with and without clipping.
        configuration: how they were trained.
    """

    steps: int
    trained: list[Trained] = field(default_factory=list)
    configuration: dict[str, object] = field(default_factory=dict)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The classical figures, each with a name for a file."""
        first = {t.name: t for t in reversed(self.trained)}
        first = {name: first[name] for name in dict.fromkeys(t.name for t in self.trained)}
        yield "sigmoid-repeated", f.sigmoid_figure()
        yield "gradient-against-lag", self._sweeps(first)
        yield (
            "gradient-before-training",
            self._gradient(
                "Gradient before training", {name: t.before for name, t in first.items()}
            ),
        )
        for clipped, words in ((True, "with clipping"), (False, "without clipping")):
            flows = {
                t.name: t.after
                for t in self.trained
                if (t.clip is not None) == clipped and t.after is not None
            }
            if flows:
                yield (
                    f"gradient-after-training-{words.replace(' ', '-')}",
                    self._gradient(f"Gradient after training {words}", flows),
                )
        yield "losses", self._along("Loss", "loss", "mean squared error")
        yield "norms", self._along("Norm of the gradient", "gradient", "‖gradient‖")

    def page(self) -> Page:
        """The page of the comparison."""
        names = list(dict.fromkeys(t.name for t in self.trained))
        page = Page(
            f"{', '.join(names)} side by side",
            f"The adding problem over {self.steps} steps.",
        )
        page.section("What was found")
        page.table(*self.table())
        page.section("Figures")
        for _, figure in self.figures():
            page.figures(figure)
        page.section("Configuration")
        page.settings(self.configuration)
        return page

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Head and rows: gradient and loss of every cell."""
        head = ["cell", "gradient halves in", "left at the start", "after training", "loss",
                "verdict"]  # fmt: skip
        rows: list[list[object]] = []
        for t in self.trained:
            last = self.steps - 1
            rows.append([
                t.title, number(t.before.decay.half_life), percent(t.before.decay.left_after(last)),
                "–" if t.after is None else percent(t.after.decay.left_after(last)),
                "broke off" if np.isnan(t.loss) else number(t.loss),
                "–" if t.verdicts is None else ", ".join(t.verdicts) or "healthy",
            ])  # fmt: skip
        return head, rows

    def save_figures(self, folder: str | Path, *, overwrite: bool = False) -> list[str]:
        """Write every figure as PNG and CSV into a folder; returns their names.

        Raises:
            DataError: it cannot be written, or holds figures and `overwrite` is false.
        """
        return save_all(self.figures(), folder, overwrite=overwrite)

    def _gradient(self, title: str, flows: dict[str, Flow]) -> Lines:
        made = f.gradient_figure(flows)
        return Lines(title, made.x, made.y, made.lines, log_y=True, bands=made.bands,
                     note=made.note)  # fmt: skip

    def _sweeps(self, first: dict[str, Trained]) -> Lines:
        lines: dict[str, tuple[ArrayLike, ArrayLike]] = {
            name: (t.sweep["lag"].to_numpy(), t.sweep["left"].to_numpy())
            for name, t in first.items()
        }
        return Lines(
            "Gradient against lag", "lag", "share of the gradient left", lines, log_x=True,
            log_y=True, note="Untrained; each point is a sequence of its own length.",
        )  # fmt: skip

    def _along(self, title: str, column: str, y: str) -> Figure:
        """One measurement along the training, a panel with clipping and one without."""
        panels: dict[str, dict[str, tuple[ArrayLike, ArrayLike]]] = {}
        for t in self.trained:
            table = t.course.frame
            if column in table:
                part = table.dropna(subset=[column])
                words = t.title.removeprefix(f"{t.name}, ")
                panels.setdefault(words, {})[t.name] = (
                    part["step"].to_numpy(), part[column].to_numpy(),
                )  # fmt: skip
        return Panels(title, "update", "", [
            Lines(words, "update", f"{y}, {words}", lines, log_y=True)
            for words, lines in panels.items()
        ])  # fmt: skip


def compare(
    names: Sequence[str],
    *,
    steps: int = 100,
    updates: int = 500,
    hidden_size: int = 32,
    batch_size: int = 50,
    learning_rate: float = 3e-3,
    clips: Sequence[float | None] = (1.0, None),
    start: str = "chrono",
    recurrent_scale: float = 1.0,
    seed: int = 0,
    watch: Callable[[str], None] | None = None,
) -> Comparison:
    """Train cells on the adding problem and look at the gradient in each.

    Args:
        names: of the cells, as `recurnn cells` lists them.
        steps: T.
        updates: of the weights.
        hidden_size: H.
        batch_size: sequences an update, fresh ones each time.
        learning_rate: of Adam.
        clips: the greatest norms of the gradient to train with, None for no clipping.
        start: of the biases of gates that keep a state: ``"chrono"``, open for up to T steps
            (`recurnn.cells.chrono`), or ``"cell"``, as the cell has it by default.
        recurrent_scale: what the recurrent matrices are multiplied by before training.
        seed: of weights and sequences.
        watch: is told what is being trained.

    Raises:
        ConfigError: no such cell, or one that the comparison cannot make.
    """
    if isinstance(names, str):
        raise ConfigError(
            f"compare: names is {names!r}; expected a list of cells.\n  Give [{names!r}], or more."
        )
    if not names:
        raise ConfigError("compare: there are no cells.\n  Give one or more: elman lstm gru.")
    for name in names:
        if name not in cells.CELLS:
            raise one_of("cell", name, cells.CELLS)
        if list(names).count(name) > 1:
            raise ConfigError(f"compare: {name} comes twice.\n  Name every cell once.")
    if start not in STARTS:
        raise one_of("compare: start", start, STARTS)
    if updates < 1:
        raise ConfigError(f"compare: updates is {updates}; expected a whole number of at least 1.")
    if not 0 <= recurrent_scale < math.inf:
        raise ConfigError(
            f"compare: recurrent_scale is {recurrent_scale}; expected a number of at least 0."
        )
    tell = watch or (lambda _: None)
    settings: dict[str, object] = {
        "task": f"adding problem, T = {steps}", "updates": updates, "hidden size": hidden_size,
        "batch size": batch_size, "optimizer": "adam", "learning rate": learning_rate,
        "start of gates that keep": start, "recurrent matrices times": recurrent_scale,
        "seed": seed,
    }  # fmt: skip
    train = Adding(steps, updates * batch_size, seed=seed)
    test = Adding(steps, _VALIDATION_ROWS, seed=seed + 1)
    found = Comparison(steps, [], settings)
    for name in names:
        for clip in clips:
            tell(f"{name}, {'no clipping' if clip is None else f'clip {clip:g}'}")
            plan = Plan(
                learning_rate=learning_rate, batch_size=batch_size, epochs=1, clip=clip,
                patience=None, seed=seed,
            )  # fmt: skip
            network = _network(name, hidden_size, steps if start == "chrono" else None,
                               recurrent_scale, seed)  # fmt: skip
            found.trained.append(_one(name, network, train, test, plan, clip))
    return found


def _network(name: str, hidden_size: int, steps: int | None, scale: float, seed: int) -> LastStep:
    """An untrained network, whose gates keep for up to so many steps, if there are any."""
    options: dict[str, Any] = (
        {"proj_size": max(1, hidden_size // 2)} if name == "projected-lstm" else {}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cell = cells.CELLS[name](2, hidden_size, **options)
        network = LastStep(cell)
    for keep in roles_of(cell).keeps.values() if steps is not None else ():
        if (bias := getattr(cell, f"b_{keep.gate}", None)) is not None:
            cells.chrono(max(2, steps or 0), sign=-1 if keep.inverted else 1)(bias)
    with torch.no_grad():
        for weight, letters in cell.weights.items():
            if weight.startswith("U") and letters in ("H H", "H P"):
                getattr(cell, weight).mul_(scale)
    return network


def _one(
    name: str, network: LastStep, train: Adding, test: Adding, plan: Plan, clip: float | None
) -> Trained:
    T = test.x.shape[1]
    subject = Subject(network, test.x[:32], test.y[:32], name=name, lag=T - 1)
    before = gradient_flow(subject)[_LAYER]
    table = _sweep(network, test)
    monitor = Monitor(subject, every=max(1, len(train) // (50 * 100)), warn=False)
    after, loss, wrong = None, float("nan"), None
    try:
        fit(network, train, None, plan, name=name, watch=monitor)
        seen = inspect(subject, experiments=False)
        after, wrong = seen.flows[_LAYER], list(dict.fromkeys(v.name for v in seen.verdicts))
        with torch.no_grad():
            loss = float((network(test.x) - test.y).square().mean())
    except TrainingError:  # the loss is no longer a number: that, too, is a result
        pass
    return Trained(name, clip, before, after, table, monitor.course, loss, wrong)


def _sweep(network: nn.Module, test: Adding) -> pd.DataFrame:
    """Sequences of several lengths, each a task of its own."""
    rows = []
    for lag in spread_lags(test.x.shape[1] - 1):
        part = Adding(lag + 1, 32) if lag >= 1 else test
        flow = gradient_flow(Subject(network, part.x, part.y))[_LAYER]
        rows.append((lag, flow.decay.left_after(lag)))
    return pd.DataFrame(rows, columns=["lag", "left"])
