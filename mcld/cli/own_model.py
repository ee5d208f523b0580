"""Which model a command uses that works on photographs: the one named, or the workspace's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.workspace import Workspace

MODEL_VARIABLE = "MCLD_MODEL"
EXPORTED_NAME = "model"  # below .mcld/
MADE_FROM_NAME = "model.made_from"  # beside it: the manifest that the export was made from


def model_dir(named: Path | None, *, workspace: Workspace) -> Path:
    """The folder that was named, else MCLD_MODEL's, else an export of what was trained here, below .mcld.

    Raises ConfigError when nothing is named and nothing was trained here.
    """
    if named is not None:
        return named
    if os.environ.get(MODEL_VARIABLE):
        return Path(os.environ[MODEL_VARIABLE])
    return _own(workspace)


def _own(workspace: Workspace) -> Path:
    """The workspace's model, exported anew when the training, or how photographs are prepared, is another."""
    from mcld.data.manifest import MANIFEST_NAME

    manifest = workspace.stage_dir("train") / MANIFEST_NAME
    if not manifest.is_file():
        raise ConfigError(
            f"model: none is named, and none was trained in {workspace.root.resolve()}; give --model FOLDER "
            f"(or {MODEL_VARIABLE}), a folder that `mcld export` wrote, or train one: dvc repro"
        )
    from mcld.cli.export import export_pipeline
    from mcld.config import load_params
    from mcld.storage import fingerprint, sha256_of_file, write_bytes

    params = load_params(workspace.root / "params.yaml")
    made_from = fingerprint([sha256_of_file(manifest), params.model_dump(mode="json", exclude={"runtime"})])
    exported, record = workspace.state_dir / EXPORTED_NAME, workspace.state_dir / MADE_FROM_NAME
    if not (exported.is_dir() and record.is_file() and record.read_text() == made_from):
        export_pipeline(exported, params, workspace=workspace)
        write_bytes(record, data=made_from.encode())
    return exported
