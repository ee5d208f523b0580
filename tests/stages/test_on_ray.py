"""Stages on a Ray cluster of two raylets, which loses a process, a machine and its head, in that order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from mcld.config import load_params
from mcld.errors import ConfigError
from mcld.stages import run_stage
from mcld.stages.mapper import SerialMapper, mapper_of
from mcld.stages.ray_mapper import RayMapper
from mcld.workspace import Workspace
from tests.ray_cluster import REPOSITORY_DIR, RayCluster, running_cluster
from tests.stages.kill_sweep import contents
from tests.stages.tiny_training import Training, prepare
from tests.stages.tiny_weights import MODEL_PARAMS, params_with
from tests.workspaces import MINIATURE, change_params

PATIENCE_S = 300
EXIT_USER_ERROR = 2
EXIT_STOPPED = 75
NUM_PARTS = 12
CANARY = "canary-in-the-password"

TRAINING = params_with(
    params_with(
        MODEL_PARAMS,
        section="train",
        steps=8,
        checkpoint_every_steps=1,
        sample_every_steps=8,
        num_sample_pairs=1,
        optimizer="adamw",
    ),
    section="runtime",
    num_processes=2,
    device="cpu",
    keep_every_steps=1,
)

pytestmark = pytest.mark.long


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


def test_training_that_lost_a_process_and_was_stopped_is_where_an_undisturbed_pair_was_under_torchrun(
    cluster: RayCluster, tmp_path: Path
) -> None:
    prepare(tmp_path / "torchrun", params=TRAINING)
    shutil.copytree(tmp_path / "torchrun", tmp_path / "ray")
    undisturbed = Training(folder=tmp_path / "torchrun", params=TRAINING)
    undisturbed.finish_here()
    on_ray = Training(
        folder=tmp_path / "ray",
        params=params_with(TRAINING, section="runtime", launcher="ray", max_restarts=1),
        environment=cluster.environment,
    )
    # What counting a step's work took seconds to find.
    shutil.copytree(undisturbed.workspace.state_dir / "flops", on_ray.workspace.state_dir / "flops")
    process = on_ray.start()
    wait_for(lambda: num_saved(on_ray.workspace) >= 1, during=process)
    ranks = [one for one in psutil.Process(cluster.other_raylet_pid).children() if "Train" in one.name()]
    assert len(ranks) == 1
    ranks[0].kill()
    before = num_saved(on_ray.workspace)
    wait_for(lambda: num_saved(on_ray.workspace) > before, during=process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_STOPPED, errors
    told = re.search(r"stopped by SIGTERM after step (\d+) of 8, which is saved; repeat the command", errors)
    assert told, errors
    # Weights, averages, optimiser, losses so far: all that the steps to come depend on.
    found, expected = (state_after(int(told[1]), one.workspace) for one in (on_ray, undisturbed))
    assert len(found) > 1000
    assert [name for name, value in found.items() if expected[name] != value] == []
    assert set(found) == set(expected)


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


def state_after(step: int, workspace: Workspace) -> dict[str, bytes]:
    """What a checkpoint holds, bit by bit, but for PyTorch's own generators, which no step draws from."""
    paths = (workspace.state_dir / "checkpoints").glob(f"*/step-{step:06d}/*.safetensors")
    tensors = {name: value for path in paths for name, value in load_file(path).items()}
    return {name: value.tobytes() for name, value in tensors.items() if not name.startswith("generator.")}


def num_saved(workspace: Workspace) -> int:
    """The step of the newest checkpoint."""
    paths = (workspace.state_dir / "checkpoints").rglob("step-*/record.json")
    return max((int(path.parent.name.removeprefix("step-")) for path in paths), default=0)


def num_parts(workspace: Workspace) -> int:
    return len(list(workspace.stage_dir("texture").glob("part-*.json")))


def wait_for(is_so: Callable[[], bool], *, during: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert during.poll() is None, during.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
