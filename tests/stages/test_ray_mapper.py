"""Parts made on a Ray cluster of two raylets: the same bytes, machines that are lost, a head that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mcld.config import load_params
from mcld.errors import ConfigError
from mcld.stages import run_stage
from mcld.stages.mapper import SerialMapper, mapper_of
from mcld.stages.ray_mapper import RayMapper
from mcld.workspace import Workspace
from tests.ray_cluster import REPOSITORY_DIR, RayCluster, running_cluster
from tests.stages.kill_sweep import contents
from tests.workspaces import MINIATURE, change_params

PATIENCE_S = 120
EXIT_USER_ERROR = 2
NUM_PARTS = 12
CANARY = "canary-in-the-password"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose textures were made in one process."""
    folder = tmp_path_factory.mktemp("local")
    shutil.copy(REPOSITORY_DIR / "params.yaml", folder)
    change_params(folder, changes=MINIATURE)
    change_params(
        folder,
        changes={
            "dataset": {"num_outfits": NUM_PARTS, "outfits_per_part": 1},
            "runtime": {"mapper": "ray", "num_workers": 0},
        },
    )
    params = load_params(folder / "params.yaml")
    for stage in ("dataset", "densepose", "texture"):
        run_stage(stage, params, workspace=Workspace(root=folder), mapper=SerialMapper())
    return folder


@pytest.fixture
def workspace(local: Path, tmp_path: Path) -> Workspace:
    """The same, with no textures yet."""
    shutil.copytree(local, tmp_path / "work")
    shutil.rmtree(tmp_path / "work/artifacts/texture")
    return Workspace(root=tmp_path / "work")


def test_a_machine_lost_in_the_middle_leaves_the_bytes_of_a_local_run(
    cluster: RayCluster, local: Path, workspace: Workspace
) -> None:
    process = start(workspace, cluster=cluster, pause_s=0.5)
    wait_for(lambda: num_parts(workspace) >= 2, during=process)
    lost = psutil.Process(cluster.other_raylet_pid)
    for one in [*lost.children(recursive=True), lost]:
        one.kill()
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert "texture: a worker is lost" in errors
    assert contents(workspace.stage_dir("texture")) == contents(Workspace(root=local).stage_dir("texture"))
    assert list((workspace.state_dir / "ray").iterdir()) == []
    logs = [path for path in cluster.token_path.parent.rglob("*") if path.is_file()]
    assert len(logs) > 1
    assert not any(CANARY.encode() in path.read_bytes() for path in logs)


def test_a_part_that_kills_its_workers_and_a_head_that_is_gone_are_told_as_such(
    cluster: RayCluster, workspace: Workspace
) -> None:
    killing = start(workspace, cluster=cluster, pause_s=0, MCLD_FAULT="texture:part_started:1")
    _, errors = killing.communicate(timeout=PATIENCE_S)
    assert killing.returncode == EXIT_USER_ERROR, errors
    assert "texture: part 0 lost its worker, 3 times" in errors

    process = start(workspace, cluster=cluster, pause_s=1)
    wait_for(lambda: num_parts(workspace) >= 1, during=process)
    os.kill(cluster.head_pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_USER_ERROR, errors
    assert f"texture: the head of the Ray cluster at {cluster.address} is gone" in errors

    repeated = start(workspace, cluster=cluster, pause_s=0)
    _, errors = repeated.communicate(timeout=PATIENCE_S)
    assert repeated.returncode == EXIT_USER_ERROR, errors
    assert f"runtime.ray_address: no Ray head answers at {cluster.address}; start one" in errors


def test_params_choose_the_mapper(workspace: Workspace) -> None:
    runtime = load_params(workspace.root / "params.yaml").runtime
    assert isinstance(mapper_of(runtime, workspace=workspace), RayMapper)


@pytest.mark.parametrize("address", ["local", "ray://node0:10001", "node0"])
def test_an_address_that_would_start_or_need_something_else_is_refused(
    address: str, workspace: Workspace
) -> None:
    runtime = load_params(workspace.root / "params.yaml").runtime.model_copy(update={"ray_address": address})
    with pytest.raises(ConfigError, match=rf"runtime\.ray_address: '{address}' is not host:port"):
        list(mapper_of(runtime, workspace=workspace).map(abs, [1], description="texture"))


def start(
    workspace: Workspace, *, cluster: RayCluster, pause_s: float, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stages.ray_stage", str(pause_s)],
        cwd=workspace.root,
        env={
            **os.environ,
            **cluster.environment,
            "PYTHONPATH": str(REPOSITORY_DIR),
            "MCLD_DEEPFASHION_PASSWORD": CANARY,
            **environment,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def num_parts(workspace: Workspace) -> int:
    return len(list(workspace.stage_dir("texture").glob("part-*.json")))


def wait_for(is_so: Callable[[], bool], *, during: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert during.poll() is None, during.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
