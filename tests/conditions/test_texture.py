"""The UV texture: what is scattered, what is filled, what a render restores."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mcld.conditions.texture import (
    ATLAS_COLUMNS,
    ATLAS_ROWS,
    NUM_PARTS,
    render,
    unwrap,
    visible_fraction,
    visible_mask,
)
from mcld.errors import DataError

GOLDEN_DIR = (
    Path(os.environ.get("MCLD_GOLDEN_DIR", Path(__file__).parents[3] / "shared" / "golden")) / "texture"
)
GOLDEN_CASES = ("c0_all24_1101x750", "c1_few_1101x750", "c2_all24_512x352", "c3_front_512x352")


def random_image(*, seed: int, height_px: int = 60, width_px: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def random_iuv(*, seed: int, height_px: int = 60, width_px: int = 50) -> np.ndarray:
    iuv = random_image(seed=seed, height_px=height_px, width_px=width_px)
    iuv[..., 0] = np.random.default_rng(seed + 1).integers(0, NUM_PARTS + 1, iuv.shape[:2])
    return iuv


def iuv_of(*pixels: tuple[int, int, int]) -> np.ndarray:
    return np.array([pixels], np.uint8)


def read_golden(case: str, *, kind: str) -> np.ndarray:
    """One golden picture: RGB, or I U V for `iuv` (which is stored in OpenCV's channel order)."""
    path = GOLDEN_DIR / f"{case}_{kind}.png"
    if not path.is_file():
        pytest.skip(
            f"golden texture {path.name} not found; set MCLD_GOLDEN_DIR to the folder that holds texture/"
        )
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture if kind == "iuv" else np.ascontiguousarray(picture[..., ::-1])


def scatter_pixel_by_pixel(image: np.ndarray, *, iuv: np.ndarray, size_px: int) -> np.ndarray:
    """The rule as the paper's code states it, one pixel at a time."""
    atlas = np.zeros((ATLAS_ROWS * size_px, ATLAS_COLUMNS * size_px, 3), np.uint8)
    for colour, (part, u, v) in zip(image.reshape(-1, 3), iuv.reshape(-1, 3).astype(int), strict=True):
        if part:
            row = size_px * ((part - 1) % 6) + int((255.0 - v) * (size_px - 1) / 255.0)
            column = size_px * ((part - 1) // 6) + int(u * (size_px - 1) / 255.0)
            atlas[row, column] = colour
    return atlas


@pytest.mark.parametrize("size_px", [8, 64, 200])
def test_scatter_equals_the_rule_applied_pixel_by_pixel(size_px: int) -> None:
    image, iuv = random_image(seed=0), random_iuv(seed=1)
    atlas = unwrap(image, iuv=iuv, part_size_px=size_px, fill_margin_px=0)
    assert np.array_equal(atlas, scatter_pixel_by_pixel(image, iuv=iuv, size_px=size_px))


def test_last_pixel_in_row_major_order_wins_a_texel() -> None:
    image = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 0, 0]]], np.uint8)
    iuv = np.array([[[5, 9, 9], [5, 9, 9]], [[5, 9, 9], [0, 9, 9]]], np.uint8)
    atlas = unwrap(image, iuv=iuv, part_size_px=16, fill_margin_px=0)
    assert atlas[atlas.any(axis=-1)].tolist() == [[7, 8, 9]]


def test_unwrap_then_render_restores_visible_pixels() -> None:
    image, iuv = random_image(seed=2), random_iuv(seed=3)
    size_px = 256  # one texel for each (U, V), so that pixels share a texel only where their labels are equal
    restored = render(unwrap(image, iuv=iuv, part_size_px=size_px, fill_margin_px=4), iuv=iuv)
    person = iuv[..., 0] > 0
    labels, counts = np.unique(iuv[person], axis=0, return_counts=True)
    alone = labels[counts == 1]
    is_alone = person & (iuv[:, :, None] == alone[None, None]).all(-1).any(-1)
    assert is_alone.sum() > 0.9 * person.sum()
    assert np.array_equal(restored[is_alone], image[is_alone])


def test_filling_leaves_visible_texels_alone() -> None:
    image, iuv = random_image(seed=4), random_iuv(seed=5)
    visible = visible_mask(iuv, part_size_px=32)
    bare = unwrap(image, iuv=iuv, part_size_px=32, fill_margin_px=0)
    filled = unwrap(image, iuv=iuv, part_size_px=32, fill_margin_px=6)
    assert np.array_equal(bare[visible], filled[visible])
    assert filled.any(axis=-1).sum() > bare.any(axis=-1).sum()


def test_missing_texels_borrow_within_the_margin_only() -> None:
    image = np.full((1, 1, 3), 200, np.uint8)
    atlas = unwrap(image, iuv=iuv_of((1, 128, 127)), part_size_px=33, fill_margin_px=5)
    rows, columns = np.nonzero(atlas.any(axis=-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (11, 21, 11, 21)
    assert not atlas[11, 11].any()  # a corner of that square is farther than five texels


def test_a_tile_never_borrows_from_its_neighbour() -> None:
    image = np.full((1, 1, 3), 200, np.uint8)
    corner_of_part_two = iuv_of((2, 0, 255))  # row 0, column 0: touches part 1's last row in the atlas
    atlas = unwrap(image, iuv=corner_of_part_two, part_size_px=16, fill_margin_px=1000)
    assert (atlas[16:32, :16] == 200).all()
    atlas[16:32, :16] = 0
    assert not atlas.any()


def test_black_pixels_are_visible_and_are_lent_to_neighbours() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    iuv = iuv_of((1, 0, 255), (1, 255, 255))
    atlas = unwrap(image, iuv=iuv, part_size_px=16, fill_margin_px=100)
    assert visible_mask(iuv, part_size_px=16)[0, 0]
    assert not atlas[:, :7][:16].any()
    assert (atlas[:16, 9:16] == 255).all()


def test_an_image_without_a_person_gives_an_empty_atlas() -> None:
    image, iuv = random_image(seed=6), np.zeros((60, 50, 3), np.uint8)
    assert not unwrap(image, iuv=iuv, part_size_px=8, fill_margin_px=3).any()
    assert visible_fraction(iuv, part_size_px=8) == 0.0


def test_tiles_stand_column_by_column() -> None:
    image = np.full((1, 1, 3), 255, np.uint8)
    for part in range(1, NUM_PARTS + 1):
        atlas = unwrap(image, iuv=iuv_of((part, 0, 255)), part_size_px=10, fill_margin_px=0)
        assert np.argwhere(atlas[..., 0]).tolist() == [[10 * ((part - 1) % 6), 10 * ((part - 1) // 6)]]


def test_background_takes_the_given_colour() -> None:
    atlas = np.full((48, 32, 3), 9, np.uint8)
    image = render(atlas, iuv=iuv_of((0, 0, 0), (3, 1, 1)), background_rgb=(1, 2, 3))
    assert image.tolist() == [[[1, 2, 3], [9, 9, 9]]]


def test_visible_fraction_counts_texels_once() -> None:
    iuv = iuv_of((1, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 0))
    assert visible_fraction(iuv, part_size_px=8) == pytest.approx(2 / (24 * 64))


@pytest.mark.parametrize(
    ("iuv", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\) uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.full((4, 4, 3), 25, np.uint8), "part 25"),
        (np.zeros((5, 4, 3), np.uint8), "does not fit"),
    ],
)
def test_a_wrong_iuv_is_named_with_shape_and_range(iuv: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unwrap(np.zeros((4, 4, 3), np.uint8), iuv=iuv, part_size_px=8, fill_margin_px=0)


def test_an_array_that_is_no_atlas_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(47, 32, 3\)"):
        render(np.zeros((47, 32, 3), np.uint8), iuv=np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("case", [case for case in GOLDEN_CASES if case != "c1_few_1101x750"])
def test_render_equals_golden_bit_for_bit(case: str) -> None:
    atlas, iuv = read_golden(case, kind="atlas"), read_golden(case, kind="iuv")
    assert np.array_equal(render(atlas, iuv=iuv), read_golden(case, kind="render"))


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_visible_texels_equal_golden(case: str) -> None:
    image, iuv, golden = (read_golden(case, kind=kind) for kind in ("image", "iuv", "atlas"))
    visible = visible_mask(iuv, part_size_px=200)
    atlas = unwrap(image, iuv=iuv, part_size_px=200, fill_margin_px=5)
    difference = np.abs(atlas[visible].astype(int) - golden[visible])
    if case == "c1_few_1101x750":  # here the charts are full width, so nothing was stretched
        assert not difference.any()
    # Elsewhere the authors resize each chart to its minimum and maximum and back, which moves some texels.
    assert difference.mean() < 1.5
    assert (difference.max(axis=-1) == 0).mean() > 0.65


def test_filled_texels_agree_with_golden_inpainting() -> None:
    image, iuv, golden = (read_golden("c1_few_1101x750", kind=kind) for kind in ("image", "iuv", "atlas"))
    atlas = unwrap(image, iuv=iuv, part_size_px=200, fill_margin_px=5)
    both = atlas.any(axis=-1) & golden.any(axis=-1)
    assert both.sum() > 0.95 * golden.any(axis=-1).sum()
    assert np.abs(atlas[both].astype(int) - golden[both]).mean() < 5.0
