"""One tiny finished run of the data stages, shared; tests that change it work on a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from mcld.config import EvaluateParams
from mcld.workspace import Workspace
from tests.metric_weights import write_weights
from tests.stages.tiny_latents import CACHED, UNCACHED, packed, write_textured
from tests.stages.tiny_pipeline import run_data_stages
from tests.stores import server, store

__all__ = ["server", "store"]


@pytest.fixture(scope="session")
def finished_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(root=tmp_path_factory.mktemp("finished"))
    run_data_stages(workspace)
    return workspace


@pytest.fixture
def workspace_copy(finished_workspace: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(root=Path(shutil.copytree(finished_workspace.root, tmp_path / "run")))


@pytest.fixture(scope="session")
def metric_files(tmp_path_factory: pytest.TempPathFactory) -> EvaluateParams:
    """Settings that name a file of every network of the metrics."""
    return write_weights(tmp_path_factory.mktemp("metrics"))


@pytest.fixture(scope="session")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """As before the stage `latents`, with tiny weights. Tests that compute with these share one thread."""
    torch.set_num_threads(1)
    return write_textured(tmp_path_factory.mktemp("textured"))


@pytest.fixture(scope="session")
def cached(textured: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return packed(textured, tmp_path_factory.mktemp("cached") / "run", params=CACHED)


@pytest.fixture(scope="session")
def uncached(textured: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return packed(textured, tmp_path_factory.mktemp("uncached") / "run", params=UNCACHED)
