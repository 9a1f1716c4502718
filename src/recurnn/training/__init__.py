"""Training through time: the loop, what it is fed, what it saves, and who watches."""

from recurnn.training.averaging import Averaging
from recurnn.training.carry import detached
from recurnn.training.clipping import Clip
from recurnn.training.evaluation import evaluate, mean_loss
from recurnn.training.feeds import Batch, Batches
from recurnn.training.finite import NonFiniteWarning
from recurnn.training.history import Epoch, History, TrainingError, Update, Watch
from recurnn.training.logs import LogFile, TensorBoard
from recurnn.training.loop import fit
from recurnn.training.objective import (
    LOSSES,
    METRICS,
    Metric,
    Objective,
    Outcome,
    Supervised,
)
from recurnn.training.plan import OPTIMIZERS, Plan
from recurnn.training.processes import is_main
from recurnn.training.run import Run
from recurnn.training.saves import Saves
from recurnn.training.schedules import SCHEDULES, Decay, Plateau, Position, Warmup

__all__ = [
    "fit", "Plan", "Averaging", "Clip", "Saves", "evaluate", "mean_loss",
    "History", "Epoch", "Update", "Watch", "Run", "TrainingError", "NonFiniteWarning",
    "LogFile", "TensorBoard", "is_main",
    "Batch", "Batches", "Objective", "Outcome", "Supervised", "Metric", "detached",
    "Decay", "Plateau", "Position", "Warmup",
    "LOSSES", "METRICS", "OPTIMIZERS", "SCHEDULES",
]  # fmt: skip
