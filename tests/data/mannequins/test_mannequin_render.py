"""The renderer's promises: determinism, DensePose charts, and textures that follow the body."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from mcld.data.mannequins import Mannequin, RenderedView, face_embedding, render_view, sample_mannequin

SEED = 11
HEIGHT_PX, WIDTH_PX = 256, 176
TILE_PX = 64


@functools.cache
def _view(index: int, view: str) -> RenderedView:
    return render_view(_person(index), view=view, height_px=HEIGHT_PX, width_px=WIDTH_PX)


@functools.cache
def _person(index: int) -> Mannequin:
    return sample_mannequin(SEED, index=index)


def _index_with(view: str) -> int:
    return next(index for index in range(200) if view in _person(index).views)


def _texel(iuv: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    part, u, v = (iuv[..., channel].astype(np.int64) for channel in range(3))
    return part, v * (TILE_PX - 1) // 255, u * (TILE_PX - 1) // 255


def _collect_texture(rendered: RenderedView) -> tuple[np.ndarray, np.ndarray]:
    """Tiles (25, T, T, 3) and which of their texels were seen."""
    part, row, column = _texel(rendered.iuv)
    total = np.zeros((25, TILE_PX, TILE_PX, 3))
    count = np.zeros((25, TILE_PX, TILE_PX, 1))
    np.add.at(total, (part, row, column), rendered.image)
    np.add.at(count, (part, row, column), 1)
    return total / np.maximum(count, 1), count[..., 0] > 0


def test_same_arguments_give_the_same_bytes() -> None:
    first, again = (
        render_view(sample_mannequin(4, index=9), view="1_front", height_px=128, width_px=96)
        for _ in range(2)
    )
    assert first.image.tobytes() == again.image.tobytes()
    assert first.iuv.tobytes() == again.iuv.tobytes()
    other = render_view(sample_mannequin(5, index=9), view="1_front", height_px=128, width_px=96)
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("size_px", [(256, 176), (128, 96), (101, 77)])
def test_view_has_the_promised_shapes(size_px: tuple[int, int]) -> None:
    height_px, width_px = size_px
    rendered = render_view(_person(0), view="1_front", height_px=height_px, width_px=width_px)
    assert rendered.image.shape == rendered.iuv.shape == (height_px, width_px, 3)
    assert rendered.image.dtype == rendered.iuv.dtype == np.uint8
    assert rendered.face_visible


def test_all_24_parts_occur_and_background_is_zero() -> None:
    seen: set[int] = set()
    for index in range(4):
        for view in _person(index).views:
            iuv = _view(index, view).iuv
            seen |= set(np.unique(iuv[..., 0]).tolist())
            assert not iuv[iuv[..., 0] == 0].any()
    assert seen == set(range(25))


def test_left_is_the_persons_left() -> None:
    index = next(
        index
        for index in range(50)
        if abs(_person(index).pose_of("1_front").yaw) < 10
        and {3, 4} <= set(_view(index, "1_front").iuv[..., 0].ravel())
    )
    iuv = _view(index, "1_front").iuv

    def middle_x(part: int) -> float:
        return float(np.nonzero(iuv[..., 0] == part)[1].mean())

    assert middle_x(4) > middle_x(3)  # left hand on the picture's right
    assert middle_x(24) > middle_x(23)
    assert (iuv[..., 0] == 2).sum() > 20 * (iuv[..., 0] == 1).sum()  # the chest shows, not the back


def test_back_view_shows_the_back_and_no_face() -> None:
    index = next(
        index
        for index in range(50)
        if "3_back" in _person(index).views and abs(_person(index).pose_of("3_back").head_yaw) < 20
    )
    rendered = _view(index, "3_back")
    assert (rendered.iuv[..., 0] == 1).sum() > 5 * (rendered.iuv[..., 0] == 2).sum()
    assert not rendered.face_visible


def test_flat_view_shows_a_garment_without_iuv() -> None:
    rendered = _view(_index_with("6_flat"), "6_flat")
    assert not rendered.iuv.any()
    assert not rendered.face_visible
    corner = rendered.image[:8, :8].reshape(-1, 3).mean(0)
    assert (np.abs(rendered.image - corner).max(2) > 24).mean() > 0.03


def test_collect_then_render_restores_visible_pixels() -> None:
    for index in range(4):
        rendered = _view(index, "1_front")
        tiles, _ = _collect_texture(rendered)
        restored = tiles[_texel(rendered.iuv)]
        body = rendered.iuv[..., 0] > 0
        error = ((restored - rendered.image)[body] ** 2).mean()
        assert 10 * np.log10(255**2 / error) > 25


def test_front_texture_fits_the_side_view() -> None:
    """Charts belong to the body: what two views both see has nearly one colour, unlike another person's."""
    own: list[float] = []
    foreign: list[float] = []
    people = [index for index in range(12) if "2_side" in _person(index).views][:6]
    for index, other in zip(people, people[1:] + people[:1], strict=True):
        side = _view(index, "2_side")
        texel, body = _texel(side.iuv), side.iuv[..., 0] > 0
        for source, errors in ((index, own), (other, foreign)):
            tiles, known = _collect_texture(_view(source, "1_front"))
            both = body & known[texel]
            assert both.sum() > 200
            errors.append(float(np.abs(tiles[texel][both] - side.image[both]).mean()))
    assert np.mean(own) < 25
    assert np.mean(own) < 0.5 * np.mean(foreign)


def test_u_and_v_are_continuous_inside_a_part() -> None:
    jumps = pixels = 0
    for index in range(4):
        for view in ("1_front", _person(index).views[-1]):
            iuv = _view(index, view).iuv.astype(np.int64)
            for first, second in ((iuv[:, :-1], iuv[:, 1:]), (iuv[:-1], iuv[1:])):
                same = (first[..., 0] == second[..., 0]) & (
                    first[..., 0] > 6
                )  # hands and feet close on themselves
                step = np.abs(first - second)[same][:, 1:].max(1)
                jumps += int((step > 60).sum())
                pixels += len(step)
    assert jumps < 0.01 * pixels


def test_small_and_large_pictures_show_the_same_charts() -> None:
    large = _view(0, "1_front").iuv
    small = render_view(_person(0), view="1_front", height_px=HEIGHT_PX // 2, width_px=WIDTH_PX // 2).iuv
    assert (large[::2, ::2, 0] == small[..., 0]).mean() > 0.95


def test_unknown_view_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no view '9_top'; it has 1_front"):
        render_view(_person(0), view="9_top", height_px=32, width_px=24)


def test_face_embedding_is_of_the_person_not_of_the_outfit() -> None:
    first, second, stranger = (face_embedding(_person(index)) for index in (2, 3, 4))
    assert first.shape == (512,)
    assert first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(20, rel=1e-4)
    assert np.array_equal(first, second)  # indices 2 and 3 are one person in two outfits
    assert first @ stranger / 400 < 0.9
