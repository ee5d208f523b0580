"""Ask DVC whether a stage is fresh, and tell it when one has been made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dvc.repo import Repo

from mcld.cli.status import changes
from mcld.config import PARAMS_PATH, load_params
from mcld.errors import ConfigError
from mcld.stages import stage_spec
from mcld.storage import fingerprint, sha256_of_file

if TYPE_CHECKING:
    from mcld.workspace import Workspace

MANIFEST_NAME = "manifest.json"


def what_changed(name: str, *, workspace: Workspace) -> tuple[str, ...]:
    """Why DVC would run this stage; empty when it is fresh."""
    with Repo(str(workspace.root)) as repo:
        return changes(repo.status(targets=[name]).get(name, []))


def inputs_fingerprint(name: str, *, workspace: Workspace) -> str:
    """One hash of all that a stage is made from: its settings, its module, the manifests of what it reads."""
    spec = stage_spec(name)
    params = load_params(workspace.root / PARAMS_PATH)
    settings = params.model_dump(mode="json", include=set(spec.params))
    files = [workspace.root / f"{spec.module.replace('.', '/')}.py"]
    files += [workspace.stage_dir(upstream) / MANIFEST_NAME for upstream in spec.inputs]
    return fingerprint([settings, [_hash_or_none(path) for path in files]])


def commit(name: str, *, workspace: Workspace, made_from: str) -> None:
    """Record a stage as made, as `dvc repro` does. `made_from` is the inputs' fingerprint of before the run.

    Raises ConfigError when the inputs changed meanwhile: the output would be recorded under the wrong ones.
    """
    if inputs_fingerprint(name, workspace=workspace) != made_from:
        raise ConfigError(
            f"{name}: its parameters or inputs were changed while it ran, so its output is not recorded; "
            "run it again"
        )
    with Repo(str(workspace.root)) as repo:
        repo.commit(target=name, force=True)


def _hash_or_none(path: Path) -> str | None:
    return sha256_of_file(path) if path.is_file() else None
