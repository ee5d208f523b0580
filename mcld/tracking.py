"""Remember runs in MLflow: params, metrics by step, images, artifacts. The only module that imports mlflow.

The default store is `mlflow.db` with `mlartifacts/` beside it, in the workspace: a file, no server.
The fluent API is not thread-safe and keeps a global active run, so everything goes through `MlflowClient`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.storage import read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One MLflow run that can be written to, by one process at a time."""

    client: MlflowClient
    run_id: str
    is_new: bool  # made by this call, not found again

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log nested params flattened with dots. MLflow refuses to change a value that is there."""
        from mlflow.entities import Param

        entities = [Param(key, str(value)) for key, value in flatten(params).items()]
        for start in range(0, len(entities), PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entities[start : start + PARAMS_PER_CALL])

    def log_series(self, name: str, *, values: Sequence[tuple[int, float]]) -> None:
        """Log (step, value) points of one metric in as few calls as possible."""
        from mlflow.entities import Metric

        now_ms = _now_ms()
        points = [Metric(name, value, now_ms, step) for step, value in values]
        for start in range(0, len(points), METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=points[start : start + METRICS_PER_CALL])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log single values."""
        for name, value in metrics.items():
            self.log_series(name, values=[(step, value)])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, value)

    def log_image(self, path: Path, *, key: str, step: int) -> None:
        """Show a PNG under `key` at `step` in the run's image panel."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            self.client.log_image(self.run_id, np.asarray(image.convert("RGB")), key=key, step=step)

    def log_folder(self, path: Path, *, artifact_path: str) -> None:
        """Store a folder's files as artifacts."""
        self.client.log_artifacts(self.run_id, str(path), artifact_path)

    def log_file(self, path: Path, *, artifact_path: str | None = None) -> None:
        """Store one file as an artifact."""
        self.client.log_artifact(self.run_id, str(path), artifact_path)

    def finish(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.run_id, "FINISHED")


def default_uri(root: Path) -> str:
    """The store that is used when params name none."""
    return f"sqlite:///{(root / 'mlflow.db').resolve()}"


def open_run(
    *, state_dir: Path, root: Path, tracking_uri: str | None, experiment: str, identity: str, name: str
) -> TrackedRun:
    """The run of `identity` (a fingerprint): the same one when a command is repeated, else a new one."""
    from mlflow import MlflowClient

    uri = tracking_uri or default_uri(root)
    client = MlflowClient(tracking_uri=uri)
    record_path = state_dir / "runs" / f"{identity}.json"
    if record_path.is_file():
        record = read_json(record_path)
        if (
            isinstance(record, dict)
            and record["tracking_uri"] == uri
            and _exists(client, str(record["run_id"]))
        ):
            return TrackedRun(client=client, run_id=str(record["run_id"]), is_new=False)
    experiment_id = _experiment_id(client, experiment=experiment, root=root, is_local=tracking_uri is None)
    run = client.create_run(experiment_id, run_name=name)
    write_json(record_path, value={"tracking_uri": uri, "run_id": run.info.run_id})
    return TrackedRun(client=client, run_id=run.info.run_id, is_new=True)


def code_tags(root: Path) -> dict[str, str]:
    """Where the code stands, as far as known: git commit, whether the tree is dirty, hash of dvc.lock."""
    from mcld.storage import sha256_of_file

    tags: dict[str, str] = {}
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        tags["git.commit"] = commit
        tags["git.dirty"] = str(bool(_git(root, "status", "--porcelain", "--untracked-files=no"))).lower()
    lock = root / "dvc.lock"
    if lock.is_file():
        tags["dvc.lock.sha256"] = sha256_of_file(lock)
    return tags


def flatten(values: Mapping[str, object], *, prefix: str = "") -> dict[str, object]:
    """Nested mappings to dotted keys."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, prefix=f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _experiment_id(client: MlflowClient, *, experiment: str, root: Path, is_local: bool) -> str:
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        return str(found.experiment_id)
    # A server knows where its artifacts go; the local file store must be told to keep them beside itself.
    location = (root / "mlartifacts").resolve().as_uri() if is_local else None
    return str(client.create_experiment(experiment, artifact_location=location))


def _exists(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.lifecycle_stage) == "active"
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _git(root: Path, *arguments: str) -> str:
    """Git's answer, or nothing where there is no git or no repository."""
    try:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _now_ms() -> int:
    import time

    return int(time.time() * 1000)
