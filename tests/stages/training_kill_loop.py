"""Kill a training at random moments, again and again, and compare what it comes to with an undisturbed one.

`python -m tests.stages.training_kill_loop FOLDER NUM_KILLS` prints one JSON object. The folder holds a
workspace that is ready for training. Children are forked from a process that has imported everything and
computed nothing, so that an attempt costs a second and not ten.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import torch

from mcld.config import Params
from mcld.stages import run_stage
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace
from tests.stages.kill_sweep import contents
from tests.stages.tiny_training import forget_training

SEED = 5
LONGEST_SHARE = 0.5  # of a whole run: what is left after some kills is shorter than that


def main(folder: Path, *, params: Params, num_kills: int) -> None:
    """Once undisturbed, then with at least so many kills."""
    for module in ("mcld.stages.train", "mcld.tracking.store", "mlflow", "torch.distributed.checkpoint"):
        import_module(module)
    workspace = Workspace(root=folder)
    started = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(start(params, workspace=workspace), 0)[1]) == 0
    seconds = time.monotonic() - started
    expected = outputs(workspace)
    rng = random.Random(SEED)
    killed, completed, differences = 0, 0, 0
    forget_training(workspace)
    while killed < num_kills or not completed:
        exit_code = attempt(params, workspace=workspace, delay_s=rng.uniform(0.0, LONGEST_SHARE * seconds))
        killed += exit_code == -signal.SIGKILL
        if exit_code == 0:
            completed += 1
            differences += outputs(workspace) != expected
            forget_training(workspace)
        assert exit_code in (0, -signal.SIGKILL), exit_code
    sys.stdout.write(
        json.dumps({"killed": killed, "completed": completed, "differences": differences}) + "\n"
    )


def attempt(params: Params, *, workspace: Workspace, delay_s: float) -> int:
    """Train, or go on, and be killed after `delay_s` if that is not done by then; returns the exit code."""
    child = start(params, workspace=workspace)
    deadline = time.monotonic() + delay_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(params: Params, *, workspace: Workspace) -> int:
    """The number of a process that trains."""
    child = os.fork()
    if child:
        return child
    torch.set_num_threads(1)
    exit_code = 1
    try:
        run_stage("train", params, workspace=workspace, mapper=SerialMapper())
        exit_code = 0
    finally:
        os._exit(exit_code)


def outputs(workspace: Workspace) -> dict[str, bytes]:
    """All bytes that DVC would version: weights, samples, losses, manifest."""
    return contents(workspace.stage_dir("train")) | contents(workspace.metrics_dir)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        params=Params.model_validate_json((Path(sys.argv[1]) / "params.json").read_text()),
        num_kills=int(sys.argv[2]),
    )
