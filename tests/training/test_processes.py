"""Several processes end where one does, and a killed worker changes nothing."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from children import child, ended

WORKER = Path(__file__).with_name("worker.py")


def run(count: int, *arguments: object, restarts: int = 0) -> str:
    """Run the worker alone or under torchrun; what it printed as errors."""
    alone = [sys.executable]
    many = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={count}", f"--max-restarts={restarts}", "--monitor-interval=0.1",
    ]  # fmt: skip
    command = [*(alone if count == 1 else many), str(WORKER), *map(str, arguments)]
    with child(command) as process:
        status, _, errors = ended(process, within=240)
    assert status == 0, errors[-3000:]
    return errors


def found(out: Path, rank: int = 0) -> dict[str, Tensor]:
    return load_file(out.with_suffix(f".{rank}"))


def close(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.allclose(a[k], b[k], rtol=2e-4, atol=2e-6, equal_nan=True) for k in a)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        torch.allclose(a[k], b[k], rtol=0, atol=0, equal_nan=True) for k in a
    )


@pytest.mark.parametrize("job", ["stream", "tags"])
def test_two_processes_end_within_rounding_of_one(job, tmp_path):
    run(1, job, tmp_path / "one")
    run(2, job, tmp_path / "two")
    one, main, other = found(tmp_path / "one"), found(tmp_path / "two"), found(tmp_path / "two", 1)
    assert close(one, main)
    assert same(main, other)


@pytest.mark.parametrize("job", ["stream", pytest.param("tags", marks=pytest.mark.slow)])
def test_a_killed_worker_is_started_again_and_nothing_is_lost_or_counted_twice(job, tmp_path):
    run(2, job, tmp_path / "whole", "--saves", tmp_path / "a")
    run(2, job, tmp_path / "died", "--saves", tmp_path / "b", "--die", restarts=2)
    assert (tmp_path / "died.died").exists()
    assert same(found(tmp_path / "whole"), found(tmp_path / "died"))
    assert same(found(tmp_path / "died"), found(tmp_path / "died", 1))


def test_what_went_bad_in_the_other_process_is_named_by_both(tmp_path):
    run(2, "bad", tmp_path / "two")
    texts = [(tmp_path / "two").with_suffix(f".{rank}").read_text() for rank in (0, 1)]
    named = "is not finite: the input, first at step 9 of lane 2, in batch 2.\n"
    assert named in texts[0]
    assert texts[0] == texts[1]
