"""Tell MLflow what stages found. One run a trained model; repeating a command finds the same run again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.stages.evaluation_record import found_evaluation, tell_files, tell_points
from mcld.stages.made_from import tell_evaluation, tell_made_from
from mcld.stages.model_evaluation import note_evaluation
from mcld.stages.probe_files import FIGURE_NAME, METRICS_NAME
from mcld.stages.run_tags import run_tags
from mcld.storage import fingerprint, read_json
from mcld.tracking import TrackedRun, code_tags, folder_digest, machine_tags, open_run
from mcld.workspace import Workspace

LOGGED_SECTIONS = {"dataset", "weights", "latents", "model", "diffusion", "train"}


def run_of_model(params: Params, *, workspace: Workspace, identity: str) -> TrackedRun:
    """The MLflow run of the model that `identity` (of the train stage) names, with params and tags set.

    Close it at the end (it is a context manager): that is where it waits, within bounds, for MLflow.
    """
    runtime = params.runtime
    tracked = open_run(
        state_dir=workspace.state_dir,
        root=workspace.root,
        tracking_uri=runtime.tracking_uri,
        experiment=runtime.experiment,
        identity=identity,
        name=run_name(params, identity=identity),
    )
    tracked.log_params(params.model_dump(mode="json", include=LOGGED_SECTIONS))
    shards = read_manifest(workspace.stage_dir("shards"))
    tracked.set_tags({"mcld.shards": fingerprint([part.sha256 for part in shards.parts])})
    return tracked


def run_of_checkpoint(params: Params, *, workspace: Workspace, identity: str, step: int) -> TrackedRun:
    """The run of one checkpoint's evaluation, shown under the run of the model."""
    runtime = params.runtime
    tracked = open_run(
        state_dir=workspace.state_dir,
        root=workspace.root,
        tracking_uri=runtime.tracking_uri,
        experiment=runtime.experiment,
        identity=f"{identity}-step-{step}",
        name=f"{run_name(params, identity=identity)}-step-{step}",
        parent=identity,
    )
    tracked.log_params({**params.model_dump(mode="json", include=LOGGED_SECTIONS), "checkpoint_step": step})
    return tracked


def run_name(params: Params, *, identity: str) -> str:
    """What a person calls a model's run."""
    return f"{params.dataset.source}-{params.weights.preset}-{identity[:8]}"


def run_of_training(
    params: Params, *, workspace: Workspace, identity: str, num_processes: int = 1, device: str = "cpu"
) -> TrackedRun:
    """The same run, for the process that trains: running again, with its code, machine, data and load."""
    tracked = run_of_model(params, workspace=workspace, identity=identity)
    tracked.start()
    training = {"mcld.num_processes": str(num_processes), "mcld.device": device, **_parallelism()}
    named = run_tags(params, root=workspace.root)
    tracked.set_tags(code_tags(workspace.root) | machine_tags() | training | named)
    shards_dir = workspace.stage_dir("shards")
    tell_made_from(tracked, params, workspace=workspace)
    tracked.log_dataset(
        f"{params.dataset.source}-shards",
        digest=folder_digest(shards_dir, stage="shards", root=workspace.root, index_name=MANIFEST_NAME),
        source=params.runtime.shards_url or str(shards_dir.resolve()),
    )
    tracked.watch_system()
    return tracked


def _parallelism() -> dict[str, str]:
    """How many threads add up a sum, which rounds it: `mcld reproduce` takes as many."""
    import torch

    return {"mcld.num_threads": str(torch.get_num_threads()), "mcld.num_cores": str(os.cpu_count() or 1)}


def identity_of_model(workspace: Workspace) -> str:
    """The identity under which the train stage finished its model."""
    manifest = read_manifest(workspace.stage_dir("train"))
    return manifest.parts[0].fingerprint


def remember(stage: str, params: Params, *, workspace: Workspace) -> None:
    """After a stage: log its results to the run of the model they speak of. Most stages have none."""
    if stage == "evaluate":
        _remember_evaluation(params, workspace=workspace)
    elif stage == "report":
        _remember_report(params, workspace=workspace, report_dir=workspace.stage_dir("report"))


def _remember_evaluation(params: Params, *, workspace: Workspace) -> None:
    identity = identity_of_model(workspace)
    note_evaluation(workspace, identity=identity)
    told_dir = told_folder(workspace, identity=identity, step=params.train.steps)
    found = found_evaluation(params, workspace=workspace, told_dir=told_dir)
    with run_of_model(params, workspace=workspace, identity=identity) as tracked:
        tell_points(tracked, found, step=params.train.steps)
        tell_files(tracked, found)
        tell_evaluation(tracked, params, workspace=workspace)


def told_folder(workspace: Workspace, *, identity: str, step: int) -> Path:
    """Where tables and pictures of an evaluation lie until MLflow has them."""
    return workspace.state_dir / "told" / identity[:16] / f"step-{step:06d}"


def _remember_report(params: Params, *, workspace: Workspace, report_dir: Path) -> None:
    with run_of_model(params, workspace=workspace, identity=identity_of_model(workspace)) as tracked:
        tracked.log_folder(report_dir, artifact_path="report")
        for picture in sorted(report_dir.glob("*.png")):
            tracked.log_image(picture, key=picture.stem, step=params.train.steps)
        _tell_probe(tracked, workspace=workspace, step=params.train.steps)


def _tell_probe(tracked: TrackedRun, *, workspace: Workspace, step: int) -> None:
    """What the VAE alone costs: the bound under which the model works, beside what the model does.

    The stage `probe` needs no model, and so has no run of its own to tell.
    """
    probe_dir = workspace.stage_dir("probe")
    read_manifest(probe_dir)
    flat = cast("dict[str, float]", read_json(workspace.metrics_dir / METRICS_NAME))
    tracked.log_metrics({f"probe.{name}": value for name, value in flat.items()}, step=step, corrects=True)
    tracked.log_image(probe_dir / FIGURE_NAME, key="probe", step=step)


def tag_model(params: Params, *, workspace: Workspace, tags: Mapping[str, str]) -> None:
    """Set tags on the run of the model that the train stage finished."""
    with run_of_model(params, workspace=workspace, identity=identity_of_model(workspace)) as tracked:
        tracked.set_tags(tags)
