"""Stage `train`: shards and base weights to a model, a loss curve and sample grids, kept in MLflow.

One process trains here, in this one; several are started by torchrun (`mcld.training.launch`) or on a Ray
cluster (`mcld.training.cluster_launch`), each of them as `mcld.stages.train_rank`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from mcld.cluster.engine import connected
from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME, read_manifest, whole_manifest
from mcld.devices import pick_device
from mcld.stages.mapper import Mapper
from mcld.stages.train_rank import TrainTask, arguments_of_rank, write_task
from mcld.stages.training import Task, settings_of, train_as
from mcld.stages.training_record import LOSS_NAME
from mcld.storage import fingerprint, read_json, remove_leftovers, sha256_of_file, write_json
from mcld.training.cluster_launch import launch_on_cluster, num_ranks_on
from mcld.training.distributed import alone
from mcld.training.launch import launch
from mcld.training.placement import check_shares, placement_of
from mcld.types import Report
from mcld.workspace import Workspace

FORMAT_VERSION = 3
STARTED_NAME = "run.json"


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Train, or go on where a killed run stopped, or find that it is all done.

    Raises TrainingStoppedError when asked to stop by a signal: a checkpoint is saved then.
    """
    started = time.monotonic()
    out_dir = workspace.stage_dir("train")
    identity = run_identity(params, workspace=workspace)
    reused = _is_current(out_dir, identity=identity, metrics_dir=workspace.metrics_dir)
    if not reused:
        _train(Task(params=params, workspace=workspace, identity=identity, format_version=FORMAT_VERSION))
    manifest = read_manifest(out_dir)
    return Report(
        stage="train",
        num_items=params.train.steps,
        num_excluded=0,
        num_reused=params.train.steps if reused else 0,
        seconds=time.monotonic() - started,
        output=out_dir,
        details=dict(manifest.counts),
    )


def run_begun(workspace: Workspace) -> str | None:
    """Identity of the run that the stage's folder holds, finished or not."""
    started = workspace.stage_dir("train") / STARTED_NAME
    if not started.is_file():
        return None
    value = read_json(started)
    return str(value["identity"]) if isinstance(value, dict) else None


def run_identity(params: Params, *, workspace: Workspace) -> str:
    """Hash of all that shapes the trained model: it names the checkpoints and the MLflow run."""
    return fingerprint(
        {
            "format_version": FORMAT_VERSION,
            "settings": settings_of(params),
            "shards": sha256_of_file(workspace.stage_dir("shards") / MANIFEST_NAME),
            "weights": sha256_of_file(workspace.stage_dir("weights") / MANIFEST_NAME),
        }
    )


def _train(task: Task) -> None:
    if task.params.runtime.launcher == "ray":
        _train_on_cluster(task)
    else:
        _train_by_torchrun(task)


def _train_on_cluster(task: Task) -> None:
    runtime = task.params.runtime
    with connected(runtime.ray_address) as cluster:
        num_ranks = num_ranks_on(cluster, runtime=runtime)
        check_shares(task.params.train.batch_size, num_ranks=num_ranks, num_pieces=runtime.accumulation_steps)
        _begin(task.workspace, identity=task.identity)
        job_dir = task.workspace.state_dir / "train" / "cluster"
        task_path = write_task(job_dir.with_suffix(".json"), task=task)
        launch_on_cluster(
            TrainTask(task_path=task_path.resolve()),
            cluster=cluster,
            num_ranks=num_ranks,
            runtime=runtime,
            job_dir=job_dir,
        )


def _train_by_torchrun(task: Task) -> None:
    runtime = task.params.runtime
    placement = placement_of(runtime)
    check_shares(
        task.params.train.batch_size, num_ranks=placement.num_ranks, num_pieces=runtime.accumulation_steps
    )
    if placement.node_rank == 0:
        _begin(task.workspace, identity=task.identity)
    if placement.num_ranks == 1:
        train_as(alone(pick_device(runtime.device)), task=task)
        return
    job_dir = task.workspace.state_dir / "train" / f"machine-{placement.node_rank}"
    task_path = write_task(job_dir.with_suffix(".json"), task=task)
    arguments = arguments_of_rank(task_path, job_dir=job_dir)
    launch(arguments, placement=placement, runtime=runtime, job_dir=job_dir)


def _begin(workspace: Workspace, *, identity: str) -> None:
    """Empty the folder unless it holds the beginnings of this very run."""
    out_dir = workspace.stage_dir("train")
    if run_begun(workspace) != identity:
        shutil.rmtree(out_dir, ignore_errors=True)
    (out_dir / MANIFEST_NAME).unlink(missing_ok=True)
    remove_leftovers(out_dir)
    write_json(out_dir / STARTED_NAME, value={"identity": identity})


def _is_current(out_dir: Path, *, identity: str, metrics_dir: Path) -> bool:
    """Whether the folder holds the result of this very run, whole."""
    if not (metrics_dir / LOSS_NAME).is_file():
        return False
    manifest = whole_manifest(out_dir)
    return manifest is not None and all(part.fingerprint == identity for part in manifest.parts)
