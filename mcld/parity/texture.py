"""Compare our UV textures with what the authors' code made of the same images and IUV maps, row by row.

What is scattered or looked up must agree to the bit. What is inpainted agrees as far as the charts do: the
authors' come from a picture that is not free, ours are the triangles of the body's surface, and where their
outlines differ by a texel inpainting starts from other colours. The recorded masks show most of the authors'
charts; with those put in, nearly all of the inpainting must agree too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mcld.conditions.texture import render, unwrap
from mcld.conditions.texture_fill import near
from mcld.conditions.texture_layouts import to_tiles
from mcld.conditions.texture_smpl import PART_SIZE_PX, atlas_from_smpl, charts, smpl_from_atlas
from mcld.parity.rows import Row, ratio
from mcld.parity.texture_cases import TextureCase, read_cases

FILL_MARGIN_PX = 5
# Shares are of all texels; levels are grey levels of 255, averaged over all texels and channels.
MASK_SHARE = 0.01
SHARE = 0.05
LEVELS = 0.35
SHARE_BY_MASKS = 0.02
LEVELS_BY_MASKS = 0.15
FACT = 1e-9  # a figure of the JSON: sums may be made in another order


def check_texture(directory: Path) -> Iterator[Row]:
    """Every check of every case, as it is done.

    Raises DataError when the folder cannot be used, ConfigError where the SMPL layout's package is missing.
    """
    cases = read_cases(directory)
    part_charts = charts(part_size_px=PART_SIZE_PX)
    recorded_charts = _with_masks(part_charts, cases=cases)
    for case in cases:
        found = _unwrap(case, part_charts=part_charts)
        yield from _check_scatter(case, found=found, part_charts=part_charts)
        yield from _check_fill(case, found=found, by_masks=_unwrap(case, part_charts=recorded_charts))
        yield from _check_lookups(case)
        yield from _check_facts(case)


def _check_scatter(case: TextureCase, *, found: np.ndarray, part_charts: np.ndarray) -> Iterator[Row]:
    shown = _shown(case)
    yield _share(f"{case.name}: visible texels", found=found[shown], expected=case.recorded["atlas"][shown])
    mask = _margin(case) & part_charts
    error = float((mask != _mask(case)).mean())
    yield Row(name=f"{case.name}: mask", error=error, tolerance=MASK_SHARE)


def _check_fill(case: TextureCase, *, found: np.ndarray, by_masks: np.ndarray) -> Iterator[Row]:
    atlas, normal = case.recorded["atlas"], case.recorded["normal"]
    yield _share(f"{case.name}: atlas", found=found, expected=atlas, tolerance=SHARE)
    yield _levels(f"{case.name}: atlas, levels", found=found, expected=atlas, tolerance=LEVELS)
    name = f"{case.name}: atlas by the recorded masks"
    yield _share(name, found=by_masks, expected=atlas, tolerance=SHARE_BY_MASKS)
    yield _levels(f"{name}, levels", found=by_masks, expected=atlas, tolerance=LEVELS_BY_MASKS)
    name = f"{case.name}: normal from the image"
    yield _share(name, found=smpl_from_atlas(found), expected=normal, tolerance=SHARE)


def _check_lookups(case: TextureCase) -> Iterator[Row]:
    """Each conversion, made from what it was recorded from."""
    atlas, normal = case.recorded["atlas"], case.recorded["normal"]
    found = {
        "normal": smpl_from_atlas(atlas),
        "normal2atlas": atlas_from_smpl(normal),
        "render": render(atlas, iuv=case.iuv),
        "render_from_normal": render(atlas_from_smpl(normal), iuv=case.iuv),
    }
    for kind, picture in found.items():
        if kind in case.recorded:
            yield _share(f"{case.name}: {kind}", found=picture, expected=case.recorded[kind])


def _check_facts(case: TextureCase) -> Iterator[Row]:
    """The figures of the JSON, where they are."""
    body = case.iuv[..., 0] > 0
    lost = np.abs(render(case.recorded["atlas"], iuv=case.iuv)[body].astype(int) - case.image[body])
    found = {"coverage": body.mean(), "render_mean_abs_err_in_body": lost.mean() if body.any() else 0.0}
    for key, value in found.items():
        if key in case.settings:
            yield _fact(f"{case.name}: {key}", found=float(value), expected=case.settings.number(key))


def _unwrap(case: TextureCase, *, part_charts: np.ndarray) -> np.ndarray:
    return unwrap(
        case.image,
        iuv=case.iuv,
        part_size_px=PART_SIZE_PX,
        fill_margin_px=FILL_MARGIN_PX,
        fill="telea",
        black_is_missing=True,
        part_charts=part_charts,
    )


def _shown(case: TextureCase) -> np.ndarray:
    """Which texels an image shows, black ones left out, (1200, 800) bool."""
    bare = unwrap(case.image, iuv=case.iuv, part_size_px=PART_SIZE_PX, fill_margin_px=0)
    return np.asarray(bare.any(axis=-1))


def _margin(case: TextureCase) -> np.ndarray:
    """Which texels may be filled, (24, 200, 200) bool."""
    return np.stack([near(tile, margin_px=FILL_MARGIN_PX) for tile in to_tiles(_shown(case))])


def _mask(case: TextureCase) -> np.ndarray:
    """The recorded mask, (24, 200, 200) bool: the margin, as far as it lies within the authors' charts."""
    return np.asarray(to_tiles(case.recorded["mask"]).any(axis=-1))


def _with_masks(part_charts: np.ndarray, *, cases: Sequence[TextureCase]) -> np.ndarray:
    """Our charts, and the authors' where any case's mask shows them."""
    for case in cases:
        part_charts = np.where(_margin(case), _mask(case), part_charts)
    return part_charts


def _share(name: str, *, found: np.ndarray, expected: np.ndarray, tolerance: float = 0.0) -> Row:
    """A row for pictures, (..., channels): the share of texels that differ, and by how much at most."""
    difference = np.abs(found.astype(int) - expected)
    error = float(difference.any(axis=-1).mean()) if difference.size else 0.0
    note = f"by up to {difference.max()} levels" if error else ""
    return Row(name=name, error=error, tolerance=tolerance, note=note)


def _levels(name: str, *, found: np.ndarray, expected: np.ndarray, tolerance: float) -> Row:
    return Row(name=name, error=float(np.abs(found.astype(int) - expected).mean()), tolerance=tolerance)


def _fact(name: str, *, found: float, expected: float) -> Row:
    return Row(name=name, error=ratio(found - expected, scale=expected), tolerance=FACT)
