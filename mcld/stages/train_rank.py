"""One process of a training on several: started by torchrun's agent or Ray Train, told what to do by a file.

python -m mcld.stages.train_rank TASK.json JOB_DIR
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mcld.config import Params
from mcld.progress import log_to_stderr
from mcld.stages.training import Task, train_as
from mcld.storage import read_json, write_json
from mcld.training.distributed import open_ranks
from mcld.training.lifeline import end_with_parent
from mcld.training.outcome import JobFiles, run_rank
from mcld.workspace import Workspace


def arguments_of_rank(task_path: Path, *, job_dir: Path) -> list[str]:
    """What Python is to be started with."""
    return ["-m", __name__, str(task_path), str(job_dir)]


def write_task(path: Path, *, task: Task) -> Path:
    """Tell ranks what to train: params as they are now, whatever becomes of params.yaml."""
    value = {
        "params": task.params.model_dump(mode="json"),
        "root": str(task.workspace.root.resolve()),
        "identity": task.identity,
        "format_version": task.format_version,
    }
    write_json(path, value=value)
    return path


def read_task(path: Path) -> Task:
    """What `write_task` wrote."""
    value = read_json(path)
    assert isinstance(value, dict)
    return Task(
        params=Params.model_validate(value["params"]),
        workspace=Workspace(root=Path(value["root"])),
        identity=str(value["identity"]),
        format_version=int(value["format_version"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTask:
    """What every rank does, whoever started it; travels to other machines."""

    task_path: Path

    def __call__(self, rank: int) -> None:
        """Train as one of the ranks that the environment names."""
        if rank == 0:
            log_to_stderr()
        task = read_task(self.task_path)
        with open_ranks(task.params.runtime) as ranks:
            train_as(ranks, task=task)


def main(task_path: Path, *, job_dir: Path) -> None:
    """Train as the rank that torchrun's environment names."""
    end_with_parent()
    rank = int(os.environ["RANK"])
    train = partial(TrainTask(task_path=task_path), rank)
    run_rank(JobFiles(directory=job_dir), rank=rank, train=train)


if __name__ == "__main__":
    main(Path(sys.argv[1]), job_dir=Path(sys.argv[2]))
