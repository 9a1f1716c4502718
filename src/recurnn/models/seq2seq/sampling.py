"""Scheduled sampling: how often the network reads its own guesses grows while it learns."""

from __future__ import annotations

from recurnn.models.seq2seq.network import Seq2SeqNetwork
from recurnn.training import Epoch, Run, Watch


class Rising(Watch):
    """Raises `Seq2SeqNetwork.sampled` from 0 to a share, epoch by epoch (Bengio et al. 2015).

    Args:
        network: that is trained.
        most: the share in the last epoch.
    """

    everywhere = True

    def __init__(self, network: Seq2SeqNetwork, most: float) -> None:
        self.network, self.most = network, most

    def start(self, run: Run) -> None:
        """A run begins, or is taken up."""
        done = run.epochs_done if run.history.epochs else 0
        self._set(done, run.plan.epochs)

    def epoch(self, run: Run, epoch: Epoch, *, best: bool) -> None:
        """One epoch is over."""
        self._set(epoch.number, run.plan.epochs)

    def _set(self, done: int, epochs: int) -> None:
        self.network.sampled = self.most * min(1.0, done / max(1, epochs - 1))
