"""A killed stage, run again, ends in the bytes of an undisturbed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

REPOSITORY_DIR = Path(__file__).resolve().parents[2]


def swept(*arguments: str) -> dict[str, int]:
    """Kills by stage, after which every repeated run ended in the same bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.kill_sweep", *arguments],
        cwd=REPOSITORY_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["differences"] == []
    return cast("dict[str, int]", result["num_kills"])


def test_kill_at_every_point_of_every_data_stage_then_repeat_gives_the_same_bytes(tmp_path: Path) -> None:
    column = 2 * 3 + 1  # two parts of three points, and the manifest
    assert swept(str(tmp_path)) == {
        "dataset": column + 1,
        "densepose": column,
        "face": column,
        "face, recognised": column,
        "texture": column,
        "latents": column,
        "shards": column + 1,
    }


@pytest.mark.long
def test_kill_at_every_point_of_reading_a_zip_then_repeat_gives_the_same_bytes(tmp_path: Path) -> None:
    part = 4  # begun, images written, list written, record written
    assert swept(str(tmp_path), "zip") == {"dataset": 2 * part + 2}
