"""A workspace beside another shares what that one made before training, and what is known of real images."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.data.manifest import write_manifest
from mcld.errors import DataError
from mcld.stages.side_workspace import STAGES_BEFORE, side_workspace
from mcld.types import Manifest
from mcld.workspace import REAL_IMAGES, Workspace


@pytest.fixture
def main(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path / "main")
    for stage in STAGES_BEFORE:
        manifest = Manifest(stage=stage, format_version=1, settings={}, parts=(), counts={})
        write_manifest(workspace.stage_dir(stage), manifest=manifest)
    return workspace


def test_stages_before_training_and_real_images_are_the_other_ones(main: Workspace, tmp_path: Path) -> None:
    for _ in range(2):  # repeated, it changes nothing
        side = side_workspace(main, folder=tmp_path / "side")
    for stage in STAGES_BEFORE:
        assert side.stage_dir(stage).resolve() == main.stage_dir(stage).resolve()
    (side.state_dir / REAL_IMAGES / "statistics.npz").write_bytes(b"of all training images")
    assert (main.state_dir / REAL_IMAGES / "statistics.npz").read_bytes() == b"of all training images"
    assert not side.stage_dir("train").exists()


def test_a_stage_that_has_not_run_is_named(main: Workspace, tmp_path: Path) -> None:
    (main.stage_dir("shards") / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"shards: has not been made; run `dvc repro shards weights` first"):
        side_workspace(main, folder=tmp_path / "side")
