"""What is shown while a language model trains: loss, perplexity, speed, time left, and a sample."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape

from recurnn.baselines import Sampling
from recurnn.cli.progress import TrainingProgress
from recurnn.models import LanguageModel
from recurnn.models.language.network import LeftNetwork
from recurnn.models.language.writing import write
from recurnn.training import Epoch, Run

LENGTH, TEMPERATURE = 120, 0.8


class LanguageProgress(TrainingProgress):
    """A line and a sample of text after each epoch, and what `TrainingProgress` shows meanwhile.

    Args:
        console: where to show it.
        model: that is trained; its notes and summary come first.
        prompt: what the samples go on from.
    """

    def __init__(self, console: Console, model: LanguageModel, prompt: str = "") -> None:
        super().__init__(console, unit="tokens")
        self.model, self.prompt = model, prompt

    def start(self, run: Run) -> None:
        """A run begins."""
        for note in self.model.notes:
            self.console.print(f"- {note}", markup=False)
        self.console.print(self.model.summary(), markup=False)
        weights = sum(p.numel() for p in run.module.parameters())
        self.console.print(
            f"{weights:,} weights; epochs: {run.plan.epochs}, each of {run.batches:,} "
            f"{'batches' if self.model.options.context == 'both' else 'chunks'}. Ctrl-C ends "
            "training and keeps the best network so far.\n"
        )
        super().start(run)

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """One epoch is over."""
        super().epoch(run, epoch, best=best)
        if epoch.number == 0:
            return
        parts = [f"epoch {epoch.number}/{run.plan.epochs}: loss {epoch.loss:.3f}"]
        if epoch.validation_loss is not None:
            mark = "" if best else ", not the best"
            parts.append(
                f"validation {epoch.validation_loss:.3f} "
                f"(perplexity {perplexity(epoch.validation_loss)}{mark})"
            )
        parts += [f"{epoch.per_second:,.0f} tokens/s", f"{_left(run)} left"]
        self.console.print(", ".join(parts), highlight=False)
        sample = self.sample(run)
        if sample:
            self.console.print(f"[dim]{escape(sample)}[/dim]\n", highlight=False)

    def sample(self, run: Run) -> str:
        """Some text by the network as it is, indented; none by one that reads from both sides."""
        module = run.module
        if not isinstance(module, LeftNetwork):
            return ""
        was = module.training
        with run.averaged():
            pieces = write(
                module.eval(), self.model.tokenizer, self.prompt, length=LENGTH,
                sampling=Sampling(TEMPERATURE), ends=self.model.ends, seed=run.epoch,
            )  # fmt: skip
            text = self.prompt + "".join(piece for (piece,) in pieces)
        module.train(was)
        return "\n".join(f"    {line}" for line in text.strip("\n").splitlines())

    def _state(self, run: Run, epoch: int, loss: float) -> str:
        return (
            super()
            ._state(run, epoch, loss)
            .replace(f"loss {loss:.4g}", f"loss {loss:.4g} ppl {perplexity(loss)}")
        )


def perplexity(nats: float) -> str:
    """exp(nats), in four digits."""
    return f"{math.exp(nats):.4g}" if nats < 700 else "∞"


def _left(run: Run) -> str:
    """The time that the other epochs will take, if they take as long."""
    done = run.history.epochs[1:]
    each = sum(e.seconds for e in done) / len(done)
    seconds = round(each * (run.plan.epochs - done[-1].number))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
