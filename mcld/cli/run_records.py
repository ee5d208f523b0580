"""Find the MLflow run that somebody means: by its name, its id, or the folder of its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.tracking import RunReader, RunRecord
    from mcld.types import Manifest

WEIGHTS = "*.safetensors"


def find_run(wanted: str | None, *, root: Path, reader: RunReader) -> RunRecord | None:
    """The run of a name, an id or a model's folder; without any that of the workspace's own model, if any.

    Raises ConfigError for an unknown one, TrackingError where MLflow does not answer.
    """
    from mcld.data.manifest import MANIFEST_NAME, read_manifest
    from mcld.stages.made_from import MODEL_STAGE
    from mcld.stages.remember import identity_of_model
    from mcld.workspace import Workspace

    workspace = Workspace(root=root)
    has_model = (workspace.stage_dir(MODEL_STAGE) / MANIFEST_NAME).is_file()
    if wanted is None:
        return reader.by_identity(identity_of_model(workspace)) if has_model else None
    folder = root / wanted
    if not folder.is_dir():
        return reader.find(wanted)
    if (Workspace(root=folder).stage_dir(MODEL_STAGE) / MANIFEST_NAME).is_file():
        return _of_identity(identity_of_model(Workspace(root=folder)), folder=folder, reader=reader)
    manifest = read_manifest(workspace.stage_dir(MODEL_STAGE)) if has_model else None
    if manifest is None or not _holds_one_of(manifest, folder=folder):
        raise ConfigError(
            f"{folder}: is no model of this workspace; give a run's name or id, or `artifacts/train`"
        )
    return _of_identity(identity_of_model(workspace), folder=folder, reader=reader)


def artifact_json(run: RunRecord, path: str, *, reader: RunReader) -> dict[str, Any]:
    """A JSON artifact of a run; empty where it has none."""
    data = reader.artifact(run.run_id, path)
    value = {} if data is None else json.loads(data)
    assert isinstance(value, dict)
    return value


def _of_identity(identity: str, *, folder: Path, reader: RunReader) -> RunRecord:
    found = reader.by_identity(identity)
    if found is None:
        raise ConfigError(
            f"{folder}: MLflow knows no run of its model ({identity[:12]}…); `mcld tracking sync` sends what "
            "it has not been told yet, or set runtime.tracking_uri"
        )
    return found


def _holds_one_of(manifest: Manifest, *, folder: Path) -> bool:
    """Whether weights in a folder are those that a manifest names, as after `mcld export`."""
    from mcld.storage import sha256_of_file

    ours = {part.sha256 for part in manifest.parts}
    return any(sha256_of_file(path) in ours for path in sorted(folder.rglob(WEIGHTS)))
