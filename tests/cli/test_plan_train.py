"""`mcld plan train`: figures before anything runs, on a machine that has nothing yet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.workspaces import CHECKOUT, run_mcld


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with params of full size, and nothing else."""
    shutil.copy(CHECKOUT / "profiles" / "deepfashion-512.yaml", tmp_path / "params.yaml")
    return tmp_path


def test_every_section_is_printed_and_nothing_is_written(workspace: Path) -> None:
    done = run_mcld("plan", "train", "--gpu", "a100", cwd=workspace)
    assert done.returncode == 0, done.stderr
    for told in ("parameters", "gradients", "rows that fit", "TFLOP", "images a second", "hours", "on disk"):
        assert told in done.stdout
    assert "artifacts/weights is not there yet" in done.stdout
    assert "shards are not made yet" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 110
    assert [path.name for path in workspace.iterdir()] == ["params.yaml"]


def test_json_has_the_same_figures(workspace: Path) -> None:
    done = run_mcld("plan", "train", "--gpu", "V100", "--gpu-memory", "300", "--json", cwd=workspace)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["memory_gib"] == 300
    assert told["networks"][0]["name"] == "denoiser"
    assert told["networks"][0]["num_trained"] > 8e8
    assert told["work"]["peak_tflops"] == 15.7  # it has no bfloat16
    assert any("has no bfloat16" in note for note in told["notes"])
    assert told["data"] is None
    # The weights alone: 7 GiB of float32, twice with the average.
    assert told["checkpoints"]["num_bytes"] > 14 * 2**30


def test_an_unknown_gpu_is_an_error_that_names_the_known(workspace: Path) -> None:
    done = run_mcld("plan", "train", "--gpu", "H300", cwd=workspace)
    assert done.returncode == 2
    assert "'H300' is unknown; did you mean" in done.stderr
    assert "L40S" in done.stderr
    assert "Traceback" not in done.stderr


def test_memory_alone_is_enough_to_ask_whether_the_batch_fits(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "params.yaml", tmp_path / "params.yaml")
    done = run_mcld("plan", "train", "--gpu-memory", "0.2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "DOES NOT FIT" in done.stdout
    assert "runtime.accumulation_steps:" in done.stdout
