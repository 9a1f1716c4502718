"""Training: the loop over windows, early stopping, what it tells those who watch."""

from recurnn.training.loop import (
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    Batches,
    Epoch,
    History,
    Plan,
    TrainingError,
    Watch,
    fit,
    mean_loss,
)

__all__ = [
    "fit", "Plan", "History", "Epoch", "Watch", "Batches", "TrainingError", "mean_loss",
    "LOSSES", "OPTIMIZERS", "SCHEDULES",
]  # fmt: skip
