"""Training as a user starts it: on one process or several, stopped, killed at random, and gone on with."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mcld.cli.export import export_pipeline
from mcld.config import Params
from mcld.data.shard_transfer import push_shards
from mcld.errors import ConfigError
from mcld.inference.pipeline import MCLDPipeline
from mcld.models import load_mcld
from mcld.stages.training import shown_params
from tests.s3_server import Fault
from tests.stages.kill_sweep import contents
from tests.stages.tiny_training import PATIENCE_S, REPOSITORY_DIR, Training, forget_training, prepare
from tests.stages.tiny_weights import MODEL_PARAMS, params_with
from tests.stores import Store

NUM_STEPS = 12
CHECKPOINT_EVERY = 2
NUM_KILLS = 20
EXIT_STOPPED = 75
CANARY = "c4n4ry-Secret"
PARAMS = params_with(
    MODEL_PARAMS,
    section="train",
    steps=NUM_STEPS,
    checkpoint_every_steps=CHECKPOINT_EVERY,
    sample_every_steps=6,
    num_sample_pairs=1,
    optimizer="adamw",
)

# Fewer steps: twenty attempts take long. Kills still fall before, at and after checkpoints.
KILLED_PARAMS = params_with(PARAMS, section="train", steps=8, batch_size=2, sample_every_steps=4)

pytestmark = pytest.mark.slow


def _with_runtime(params: Params, **values: object) -> Params:
    return params_with(params, section="runtime", **values)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare(folder, params=PARAMS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """One process, from beginning to end."""
    folder = tmp_path_factory.mktemp("undisturbed") / "work"
    shutil.copytree(prepared, folder)
    done = Training(folder=folder, params=PARAMS)
    done.finish_here()
    return done


@pytest.fixture
def training(prepared: Path, undisturbed: Training, tmp_path: Path) -> Training:
    """Nothing trained yet; what counting a step's work took seconds to find is there."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    training = Training(folder=folder, params=PARAMS)
    shutil.copytree(undisturbed.workspace.state_dir / "flops", training.workspace.state_dir / "flops")
    return training


@pytest.mark.long
def test_twenty_random_kills_end_in_the_weights_and_losses_of_an_undisturbed_run(training: Training) -> None:
    replace(training, params=KILLED_PARAMS).write_params()
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.training_kill_loop", str(training.folder), str(NUM_KILLS)],
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] >= NUM_KILLS
    assert found["completed"] >= 1
    assert found["differences"] == 0


def test_being_stopped_saves_a_checkpoint_and_costs_nothing(
    training: Training, undisturbed: Training
) -> None:
    process = training.start()
    _wait_for(lambda: _has_checkpoint(training))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_STOPPED, errors
    assert re.search(r"stopped by SIGTERM after step \d+ of 12, which is saved; repeat the command", errors)
    training.finish_here()
    assert contents(training.workspace.stage_dir("train")) == contents(
        undisturbed.workspace.stage_dir("train")
    )
    assert _losses(training) == _losses(undisturbed)


@pytest.mark.long
def test_with_all_in_a_store_another_machine_goes_on_to_the_same_model(
    training: Training,
    undisturbed: Training,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.server.endpoint)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    caplog.set_level("INFO")
    places = {"shards_url": store.folder.place, "checkpoints_url": f"s3://{store.bucket}/checkpoints"}
    there = replace(training, params=_with_runtime(PARAMS, **places, shards_cache_gib=1, resident_gib=0))
    push_shards(there.workspace.stage_dir("shards"), folder=store.folder)
    store.script.begin(
        Fault(kind="status", status=503, match="train-.*tar"),
        Fault(kind="cut", match="train-.*tar", skip=1, after_bytes=10),
    )
    there.finish_here()
    assert all(fault.times == 0 for fault in store.script.faults)
    expected = contents(undisturbed.workspace.stage_dir("train"))
    assert contents(there.workspace.stage_dir("train")) == expected
    copied = sorted(name.split("/")[-2] for name in store.names() if name.endswith("record.json"))
    assert copied == ["step-000010", "step-000012"]

    forget_training(there.workspace)  # a machine that has nothing but the data
    there.finish_here()
    assert "fetching the checkpoint of step 12" in caplog.text
    assert contents(there.workspace.stage_dir("train") / "model") == contents(
        undisturbed.workspace.stage_dir("train") / "model"
    )
    kept = [path for path in there.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in caplog.text


def test_the_password_of_a_tracking_server_is_not_kept_with_checkpoints() -> None:
    params = _with_runtime(PARAMS, tracking_uri=f"http://somebody:{CANARY}@mlflow:5000")
    assert shown_params(params)["runtime"]["tracking_uri"] == "http://mlflow:5000"  # type: ignore[index]


def test_a_kept_checkpoint_becomes_a_pipeline_and_the_last_one_is_the_finished_model(
    undisturbed: Training, tmp_path: Path
) -> None:
    finished = load_mcld(undisturbed.workspace.stage_dir("train") / "model").state_dict()
    differing = []
    for step in (NUM_STEPS - CHECKPOINT_EVERY, NUM_STEPS):
        export_pipeline(tmp_path / str(step), Params(), workspace=undisturbed.workspace, step=step)
        weights = MCLDPipeline.from_pretrained(tmp_path / str(step)).model.state_dict()
        differing.append(sum(not torch.equal(value, finished[name]) for name, value in weights.items()))
        assert f"| steps | {step} |" in (tmp_path / str(step) / "README.md").read_text()
    assert differing[0] > 0
    assert differing[1] == 0


def test_two_processes_lose_as_one_does_and_the_model_is_whole(
    training: Training, undisturbed: Training
) -> None:
    both = replace(training, params=_with_runtime(PARAMS, num_processes=2, parallel="fsdp"))
    both.finish()
    assert _losses(both) == pytest.approx(_losses(undisturbed), rel=1e-3)
    found, expected = (load_mcld(one.workspace.stage_dir("train") / "model") for one in (both, undisturbed))
    weights = found.state_dict()
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0.02, atol=2e-3, msg=name)


@pytest.mark.long
def test_a_lost_process_is_named_and_a_stopped_pair_goes_on_as_one(
    training: Training, undisturbed: Training
) -> None:
    both = replace(training, params=_with_runtime(PARAMS, num_processes=2))
    process = both.start()
    _wait_for(lambda: _has_checkpoint(both))
    os.kill(int((both.workspace.state_dir / "train/machine-0/rank-1.pid").read_text()), signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, errors
    assert "process 1 was ended by SIGKILL" in errors
    num_saved = len(_checkpoints(both))

    process = both.start()
    _wait_for(lambda: len(_checkpoints(both)) > num_saved or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EXIT_STOPPED, errors
    training.finish_here()
    assert _losses(training) == pytest.approx(_losses(undisturbed), rel=1e-3)


def test_a_batch_that_cannot_be_shared_is_an_error_with_its_numbers(training: Training) -> None:
    three = replace(training, params=_with_runtime(PARAMS, num_processes=3))
    with pytest.raises(
        ConfigError, match=r"train\.batch_size: 4 pairs cannot be shared evenly by 3 processes"
    ):
        three.finish_here()


def _has_checkpoint(training: Training) -> bool:
    return bool(_checkpoints(training))


def _checkpoints(training: Training) -> list[Path]:
    return list((training.workspace.state_dir / "checkpoints").rglob("step-*/record.json"))


def _losses(training: Training) -> list[float]:
    with (training.workspace.metrics_dir / "loss.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
