"""One tiny finished run of the data stages, shared; tests that change it work on a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import run_data_stages


@pytest.fixture(scope="session")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(root=tmp_path_factory.mktemp("finished"))
    run_data_stages(workspace)
    return workspace


@pytest.fixture
def workspace_copy(finished_workspace: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(root=Path(shutil.copytree(finished_workspace.root, tmp_path / "run")))
