"""A word of warning in a forked process, where torch's own operations may wait for ever."""

from __future__ import annotations

import logging
import os

import torch

log = logging.getLogger("recurnn")
_to_say = False


def warn_if_forked() -> None:
    """Say once in a forked child that its parent's threads are not there.

    The kernels have threads of their own then. But the pool in which torch shares out an operation
    on many numbers still counts on the parent's, if the parent has used it.
    """
    global _to_say
    if _to_say and torch.get_num_threads() > 1:
        _to_say = False
        log.warning(
            "a layer runs in a forked process: torch's operations on large tensors wait there for "
            "ever for threads of the parent. Call torch.set_num_threads(1) first, as the workers "
            "of a DataLoader do, or start the process by spawn."
        )


def _in_child() -> None:
    global _to_say
    _to_say = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
