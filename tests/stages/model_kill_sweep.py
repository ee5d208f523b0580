"""Kill the model stages at their points, repeat them, compare with an undisturbed run; see kill_sweep.py.

`python -m tests.stages.model_kill_sweep FOLDER` prints one JSON object: what the repeated run could reuse,
by stage and kill, and what differed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

import torch

from mcld.errors import MCLDError
from mcld.stages import run_stage
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace
from tests.stages.kill_sweep import contents
from tests.stages.tiny_weights import MODEL_PARAMS, write_tiny_weights

DATA_STAGES = ("dataset", "densepose", "face", "texture")
# Points and passings: with 4 steps and a checkpoint every 2, before, between and after checkpoints.
KILLS = {
    "weights": ("weights:file_copied:1", "weights:file_copied:7", "weights:manifest_written:1"),
    "latents": (
        "latents:part_written:2",
        "latents:record_written:1",
        "latents:blank_written:1",
        "latents:manifest_written:1",
    ),
    "shards": (),
    "train": (
        "train:step:1",
        "train:step:3",
        "train:sample_written:2",
        "train:checkpoint_state_written:2",
        "train:checkpoint_written:1",
        "train:checkpoint_written:2",
        "train:model_written:1",
        "train:manifest_written:1",
    ),
    "generate": (
        "generate:part_started:1",
        "generate:part_written:2",
        "generate:record_written:2",
        "generate:manifest_written:1",
    ),
}
# What the stages import when run; imported here once instead of in each of forty children.
IMPORTED_WHEN_RUN = ("mcld.stages.training", "mcld.tracking.store", "mlflow", "torch.distributed.checkpoint")
REUSED_NAME = "reused.txt"  # of the last run in a child
STATE_OF_TRAINING = ("checkpoints", "runs")


def main(folder: Path) -> None:
    """Sweep stage by stage; each sweep starts from the undisturbed outputs of the stages before."""
    for stage in (*DATA_STAGES, *KILLS):
        import_module(f"mcld.stages.{stage}")
    for module in IMPORTED_WHEN_RUN:
        import_module(module)
    workspace = Workspace(root=folder)
    base = workspace.root / "base"
    if os.fork() == 0:  # in a child: the parent must never have computed, or its forks may hang
        write_tiny_weights(base)
        os._exit(0)
    os.wait()
    for stage in DATA_STAGES:
        assert run_in_child(stage, workspace=workspace) == 0, stage
    num_reused, differences = dict[str, dict[str, int]](), list[str]()
    for stage in KILLS:
        num_reused[stage], differing = sweep(stage, workspace=workspace)
        differences += differing
    sys.stdout.write(json.dumps({"num_reused": num_reused, "differences": differences}) + "\n")


def sweep(stage: str, *, workspace: Workspace) -> tuple[dict[str, int], list[str]]:
    """What each repeated run could reuse, by kill; the kills after which it ended in other bytes."""
    assert run_in_child(stage, workspace=workspace) == 0, stage
    expected = outputs(stage, workspace=workspace)
    num_reused, differences = {}, []
    for fault in KILLS[stage]:
        shutil.rmtree(workspace.stage_dir(stage))
        for name in STATE_OF_TRAINING if stage == "train" else ():
            shutil.rmtree(workspace.state_dir / name, ignore_errors=True)
        assert run_in_child(stage, workspace=workspace, fault=fault) == -signal.SIGKILL, fault
        assert run_in_child(stage, workspace=workspace) == 0, fault
        num_reused[fault.removeprefix(f"{stage}:")] = int((workspace.root / REUSED_NAME).read_text())
        if outputs(stage, workspace=workspace) != expected:
            differences.append(fault)
    return num_reused, differences


def outputs(stage: str, *, workspace: Workspace) -> dict[str, bytes]:
    """All bytes that DVC would version."""
    found = contents(workspace.stage_dir(stage))
    if stage == "train":
        found |= contents(workspace.metrics_dir)
    return found


def run_in_child(stage: str, *, workspace: Workspace, fault: str | None = None) -> int:
    """Exit code of a stage run in a forked copy of this process; negative for a signal."""
    child = os.fork()
    if child == 0:
        if fault:
            os.environ["MCLD_FAULT"] = fault
        torch.set_num_threads(1)
        exit_code = 1
        try:
            report = run_stage(stage, MODEL_PARAMS, workspace=workspace, mapper=SerialMapper())
            (workspace.root / REUSED_NAME).write_text(str(report.num_reused))
            exit_code = 0
        except MCLDError as error:
            sys.stderr.write(f"{stage}: {error}\n")
        finally:
            os._exit(exit_code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
