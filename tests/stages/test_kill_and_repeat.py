"""A killed stage, run again, ends in the bytes of an undisturbed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from mcld.workspace import Workspace

REPOSITORY_DIR = Path(__file__).resolve().parents[2]


def test_kill_at_every_point_of_every_data_stage_then_repeat_gives_the_same_bytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.kill_sweep", str(Workspace(root=tmp_path).root)],
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["differences"] == []
    column = 2 * 3 + 1  # two parts of three points, and the manifest
    assert result["num_kills"] == {
        "dataset": column + 1,
        "densepose": column,
        "face": column,
        "face, recognised": column,
        "texture": column,
        "latents": column,
        "shards": column + 1,
    }
