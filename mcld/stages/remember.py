"""Tell MLflow what stages found. One run a trained model; repeating a command finds the same run again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME, read_manifest
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
        name=f"{params.dataset.source}-{params.weights.preset}-{identity[:8]}",
    )
    tracked.log_params(params.model_dump(mode="json", include=LOGGED_SECTIONS))
    shards = read_manifest(workspace.stage_dir("shards"))
    tracked.set_tags({"mcld.shards": fingerprint([part.sha256 for part in shards.parts])})
    return tracked


def run_of_training(
    params: Params, *, workspace: Workspace, identity: str, num_processes: int = 1, device: str = "cpu"
) -> TrackedRun:
    """The same run, for the process that trains: running again, with its code, machine, data and load."""
    tracked = run_of_model(params, workspace=workspace, identity=identity)
    tracked.start()
    training = {"mcld.num_processes": str(num_processes), "mcld.device": device}
    tracked.set_tags(code_tags(workspace.root) | machine_tags() | training)
    shards_dir = workspace.stage_dir("shards")
    tracked.log_dataset(
        f"{params.dataset.source}-shards",
        digest=folder_digest(shards_dir, stage="shards", root=workspace.root, index_name=MANIFEST_NAME),
        source=params.runtime.shards_url or str(shards_dir.resolve()),
    )
    tracked.watch_system()
    return tracked


def identity_of_model(workspace: Workspace) -> str:
    """The identity under which the train stage finished its model."""
    manifest = read_manifest(workspace.stage_dir("train"))
    return manifest.parts[0].fingerprint


def remember(stage: str, params: Params, *, workspace: Workspace) -> None:
    """After a stage: log its results to the run of the model they speak of. Most stages have none."""
    if stage == "evaluate":
        _remember_evaluation(
            params, workspace=workspace, metrics_path=workspace.metrics_dir / "evaluate.json"
        )
    elif stage == "report":
        _remember_report(params, workspace=workspace, report_dir=workspace.stage_dir("report"))


def _remember_evaluation(params: Params, *, workspace: Workspace, metrics_path: Path) -> None:
    metrics = read_json(metrics_path)
    assert isinstance(metrics, dict)
    numbers = {
        f"test.{name}": float(value) for name, value in metrics.items() if isinstance(value, int | float)
    }
    with run_of_model(params, workspace=workspace, identity=identity_of_model(workspace)) as tracked:
        # Other images of the same model may have been scored before.
        tracked.log_metrics(numbers, step=params.train.steps, corrects=True)
        tracked.log_file(metrics_path, artifact_path="evaluation")


def _remember_report(params: Params, *, workspace: Workspace, report_dir: Path) -> None:
    with run_of_model(params, workspace=workspace, identity=identity_of_model(workspace)) as tracked:
        tracked.log_folder(report_dir, artifact_path="report")
        for picture in sorted(report_dir.glob("*.png")):
            tracked.log_image(picture, key=picture.stem, step=params.train.steps)


def tag_model(params: Params, *, workspace: Workspace, tags: Mapping[str, str]) -> None:
    """Set tags on the run of the model that the train stage finished."""
    with run_of_model(params, workspace=workspace, identity=identity_of_model(workspace)) as tracked:
        tracked.set_tags(tags)
