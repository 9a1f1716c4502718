"""What every test stands on: fixed seeds, NaN in fresh memory, one thread, the real data."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# What a shell starts in the background ignores Ctrl-C, which some tests send themselves.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The benchmarks' modules are tested too; their folder comes last, for some names are the tests'.
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

# A kernel that reads what nobody wrote must not get a lucky zero: with deterministic algorithms
# torch fills fresh memory with NaN, and with the largest number where there is no NaN.
torch.use_deterministic_algorithms(mode=True)
torch.utils.deterministic.fill_uninitialized_memory = True
# Training goes to a GPU where there is one, and its network with it; the tests look at networks
# while they train. What is asked of a GPU is in test_cuda.py, which runs when one is named:
# CUDA_VISIBLE_DEVICES=0 pytest tests/training/test_cuda.py
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# The tests run in several processes; threads of each would only wait for one another.
torch.set_num_threads(1)

# Kernels compiled for tests stay in the checkout: developers' caches stay clean, reruns are fast.
os.environ.setdefault(
    "RECURNN_CACHE", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels")
)

# HYPOTHESIS_PROFILE=deep looks longer, and somewhere else every time.
settings.register_profile("fast", max_examples=15, deadline=None, database=None, derandomize=True)
settings.register_profile("deep", max_examples=500, deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/compiler/golden anew"
    )


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """The same numbers whichever tests run, in whatever order."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets, from RECURNN_DATA."""
    where = os.environ.get("RECURNN_DATA")
    if not where:
        pytest.skip("RECURNN_DATA is not set: it names the folder of the real data sets")
    folder = Path(where)
    if not folder.is_dir():
        pytest.skip(f"RECURNN_DATA is {where}, which is not a folder")
    return folder
