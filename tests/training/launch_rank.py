"""One rank of the launch tests: meets the others, then ends in the way it is told to.

python -m tests.training.launch_rank JOB_DIR WAY
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import torch
import torch.distributed as dist

from mcld.errors import ConfigError, TrainingStoppedError, WorkerError
from mcld.training.checkpoint_peers import Peers
from mcld.training.lifeline import end_with_parent
from mcld.training.outcome import JobFiles, run_rank


def train(way: str, *, directory: Path) -> None:
    rank = int(os.environ["RANK"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    dist.init_process_group("gloo")
    total = torch.tensor(float(rank + 1))
    dist.all_reduce(total)
    first_time = not (directory / "tried").exists()
    peers = Peers.meet()
    dist.barrier()
    (directory / f"sum-{rank}").write_text(f"{total.item()} of {os.environ['WORLD_SIZE']}")
    (directory / "tried").touch()
    if way == "refuse" and rank == 1:
        raise ConfigError("train.batch_size: 7 does not fit")
    if way == "lose-a-worker" and rank == 1:
        raise WorkerError("loader worker 3 was ended by SIGKILL")
    if rank == 1 and (way in ("die", "die-while-saving") or (way == "die-once" and first_time)):
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "crash" and rank == 1:
        raise RuntimeError("a bug")
    if way == "die-while-saving":
        peers.agree(lambda: None)
    if way == "lose-a-worker":
        _wait_in_vain()
    if way in ("die", "refuse", "crash") or (way == "die-once" and first_time):
        dist.barrier()  # for the one that is gone
    if way == "wait":
        (directory / f"waiting-{rank}").touch()
        stop.wait()
        raise TrainingStoppedError("stopped by SIGTERM after step 3; repeat the command to go on")
    dist.destroy_process_group()


def _wait_in_vain() -> None:
    """Wait for the one that is gone, and end with a sentence, as training does."""
    try:
        dist.barrier()
    except RuntimeError as error:
        raise WorkerError("the other process is gone") from error


if __name__ == "__main__":
    job_dir, way = Path(sys.argv[1]), sys.argv[2]
    end_with_parent()
    run_rank(
        JobFiles(directory=job_dir),
        rank=int(os.environ["RANK"]),
        train=lambda: train(way, directory=job_dir.parent),
    )
