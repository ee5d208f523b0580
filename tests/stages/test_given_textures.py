"""Textures made elsewhere become a column as they are, unless size or colours are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.config import Params, TextureParams
from mcld.data.codec import decode_image, encode_png
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.storage import write_bytes
from mcld.types import ImageRecord
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import PARAMS, run_data_stage

SIZE_PX = 16


@pytest.fixture
def given(workspace_copy: Workspace) -> Path:
    """A folder with the textures of the tiny run's people, as published: by flattened name, a split each."""
    directory = workspace_copy.root / "given"
    column = Column.open(workspace_copy.stage_dir("texture"))
    for image in read_index(workspace_copy.stage_dir("dataset")).images:
        if image.key not in column.excluded():
            item = column.read_part(image.part).get(image.key)
            if item:
                write_bytes(path_of(directory, image), data=item["texture.png"])
    return directory


def path_of(directory: Path, image: ImageRecord) -> Path:
    from mcld.data.deepfashion import parse_name

    return directory / f"{image.split}_texture" / f"{parse_name(image.key).flat}.png"


def params_for(directory: Path, *, order: str = "rgb", part_size_px: int = SIZE_PX) -> Params:
    section = TextureParams.model_validate(
        {
            "maker": "precomputed",
            "precomputed_dir": str(directory.relative_to(directory.parent)),
            "precomputed_order": order,
            "part_size_px": part_size_px,
        }
    )
    return PARAMS.model_copy(update={"texture": section})


def textures(workspace: Workspace) -> dict[str, dict[str, bytes]]:
    column = Column.open(workspace.stage_dir("texture"))
    return {key: item for part in column.manifest.parts for key, item in column.read_part(part.index).items()}


def swap(directory: Path) -> None:
    for path in directory.rglob("*.png"):
        path.write_bytes(encode_png(decode_image(path.read_bytes())[..., ::-1]))


def test_given_textures_become_the_column_that_unwrapping_makes(
    given: Path, workspace_copy: Workspace
) -> None:
    made = textures(workspace_copy)
    report = run_data_stage("texture", workspace=workspace_copy, params=params_for(given))
    assert report.num_reused == 0
    assert textures(workspace_copy) == made
    settings = read_manifest(workspace_copy.stage_dir("texture")).settings
    assert settings == {
        "maker": "precomputed", "precomputed_order": "rgb", "layout": "atlas", "part_size_px": SIZE_PX,
    }  # fmt: skip
    assert run_data_stage("texture", workspace=workspace_copy, params=params_for(given)).num_reused == 3


def test_swapped_red_and_blue_are_noticed_and_put_right_when_asked(
    given: Path, workspace_copy: Workspace
) -> None:
    made = textures(workspace_copy)
    swap(given)
    with pytest.raises(
        DataError, match=r"red and blue are swapped.*set texture\.precomputed_order \(now rgb\)"
    ):
        run_data_stage("texture", workspace=workspace_copy, params=params_for(given))
    assert not (workspace_copy.stage_dir("texture") / "manifest.json").exists()
    run_data_stage("texture", workspace=workspace_copy, params=params_for(given, order="bgr"))
    assert textures(workspace_copy) == made
    swap(given)
    with pytest.raises(DataError, match=r"red and blue are swapped.*\(now bgr\)"):
        run_data_stage("texture", workspace=workspace_copy, params=params_for(given, order="bgr"))


def test_a_texture_of_another_size_is_an_error_and_a_missing_one_an_exclusion(
    given: Path, workspace_copy: Workspace
) -> None:
    with pytest.raises(DataError, match=r"\.png: texture has shape \(96, 64, 3\); expected \(192, 128, 3\)"):
        run_data_stage("texture", workspace=workspace_copy, params=params_for(given, part_size_px=32))
    image = next(
        image
        for image in read_index(workspace_copy.stage_dir("dataset")).images
        if path_of(given, image).is_file()
    )
    path_of(given, image).unlink()
    report = run_data_stage("texture", workspace=workspace_copy, params=params_for(given))
    assert report.num_excluded == 1
    assert Column.open(workspace_copy.stage_dir("texture")).excluded() == {image.key: "no UV texture given"}


def test_a_damaged_texture_is_an_error_naming_the_file(given: Path, workspace_copy: Workspace) -> None:
    path = next(iter(sorted(given.rglob("*.png"))))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=rf"{path.name}: truncated or damaged image; repair it or remove it"):
        run_data_stage("texture", workspace=workspace_copy, params=params_for(given))
