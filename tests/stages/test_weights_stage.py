"""Base weights are verified first; an error says which file, what was expected, where to get it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcld.config import Params, WeightsParams
from mcld.data.manifest import read_manifest
from mcld.errors import WeightsError
from mcld.stages import weights
from mcld.stages.mapper import SerialMapper
from mcld.storage import sha256_of_file
from mcld.types import Report
from mcld.workspace import Workspace

NAMES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "image_encoder": "model.safetensors",
    "pose_embedding": "diffusion_pytorch_model.safetensors",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose base folder has the right names; this stage never looks inside the tensors."""
    for component, name in NAMES.items():
        folder = tmp_path / "base" / component
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / name).write_bytes(component.encode())
    return Workspace(root=tmp_path)


def _run(workspace: Workspace, *, preset: WeightsParams | None = None) -> Report:
    section = preset or WeightsParams(preset="sd15", base_dir="base")
    return weights.run(Params(weights=section), workspace=workspace, mapper=SerialMapper())


def test_files_are_copied_and_recorded_and_a_repeat_copies_nothing(workspace: Workspace) -> None:
    assert _run(workspace).num_reused == 0
    parts = read_manifest(workspace.stage_dir("weights")).parts
    assert len(parts) == 8
    for part in parts:
        assert sha256_of_file(workspace.stage_dir("weights") / part.path) == part.sha256
    assert _run(workspace).num_reused == 8


def test_a_changed_source_file_is_copied_again(workspace: Workspace) -> None:
    _run(workspace)
    (workspace.root / "base" / "vae" / NAMES["vae"]).write_bytes(b"other")
    assert _run(workspace).num_reused == 0
    assert (workspace.stage_dir("weights") / "vae" / NAMES["vae"]).read_bytes() == b"other"


def test_a_damaged_copy_is_made_again(workspace: Workspace) -> None:
    _run(workspace)
    copy = workspace.stage_dir("weights") / "unet" / NAMES["unet"]
    copy.write_bytes(b"damaged")
    assert _run(workspace).num_reused == 0
    assert copy.read_bytes() == b"unet"


def test_a_missing_file_is_named_with_where_it_comes_from(workspace: Workspace) -> None:
    (workspace.root / "base" / "image_encoder" / NAMES["image_encoder"]).unlink()
    with pytest.raises(WeightsError, match=r"image_encoder/model\.safetensors: missing.*sd-image-variations"):
        _run(workspace)
    assert not workspace.stage_dir("weights").exists()


def test_a_missing_folder_is_named_with_what_it_should_hold(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "base")
    with pytest.raises(WeightsError, match=r"weights\.base_dir.*unet, vae, image_encoder, pose_embedding"):
        _run(workspace)


def test_a_flipped_byte_is_found_where_a_card_knows_the_hash(workspace: Workspace) -> None:
    base = workspace.root / "base"
    name = f"vae/{NAMES['vae']}"
    (base / "card.json").write_text(json.dumps({"sha256": {name: sha256_of_file(base / name)}}))
    _run(workspace)
    (base / name).write_bytes(b"vaf")
    with pytest.raises(WeightsError, match=r"vae/.*sha256 is .*, expected "):
        _run(workspace)


def test_the_tiny_base_that_ships_with_the_package_is_whole(tmp_path: Path) -> None:
    report = _run(Workspace(root=tmp_path), preset=WeightsParams(preset="tiny"))
    assert report.num_items == 8
    assert sum(part.num_bytes for part in read_manifest(report.output).parts) <= 16 * 2**20
