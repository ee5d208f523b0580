"""Which test images the stage `probe` looks at: front views that show a face and a garment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.config import ProbeParams
from mcld.data.codec import decode_iuv
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.evaluation.scores import MIN_REGION_PIXELS, REGIONS
from mcld.framing import Framing
from mcld.inference.test_pairs import pair_seed
from mcld.stages.columns import read_pixels
from mcld.stages.densepose import IUV_MEMBER
from mcld.types import ImageRecord
from mcld.workspace import Workspace

VIEW = "front"
SHOWN_REGIONS = ("head", "torso")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenImage:
    """A test image with its IUV map, in which a head and a torso are seen."""

    image: ImageRecord
    iuv_png: bytes


def choose_images(
    params: ProbeParams, *, framing: Framing, image_dir: Path, workspace: Workspace
) -> tuple[tuple[ChosenImage, ...], dict[str, int]]:
    """Up to `num_images` front views of test people, in an order as random as the seed; and who was passed.

    Those without a usable picture, IUV map, head or torso are passed over and counted by reason. Raises
    DataError when none is left.
    """
    images = read_index(workspace.stage_dir("dataset")).images
    fronts = [image for image in images if image.split == "test" and image.view.rpartition("_")[2] == VIEW]
    densepose = Column.open(workspace.stage_dir("densepose"))
    chosen: list[ChosenImage] = []
    passed_over: Counter[str] = Counter()
    # Of a larger number the first are the same: their parts are reused.
    for image in sorted(fronts, key=lambda image: image_seed(params.seed, key=image.key)):
        found = _iuv_png(image, densepose=densepose, framing=framing, image_dir=image_dir)
        if found.reason:
            passed_over[found.reason] += 1
        else:
            chosen.append(ChosenImage(image=image, iuv_png=found.iuv_png))
        if len(chosen) == params.num_images:
            break
    if not chosen:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in passed_over.items()) or "there is none"
        raise DataError(
            f"probe: no test image of view '{VIEW}' can be probed ({reasons}); check the stages 'dataset' "
            "and 'densepose'"
        )
    return tuple(chosen), dict(sorted(passed_over.items()))


def image_seed(seed: int, *, key: str) -> int:
    """A function of (seed, image) alone, whatever else is probed."""
    return pair_seed(seed, source=key, target=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An IUV map as a PNG, or the reason why the image cannot be probed."""

    iuv_png: bytes = b""
    reason: str = ""


def _iuv_png(image: ImageRecord, *, densepose: Column, framing: Framing, image_dir: Path) -> _Found:
    item = densepose.read_part(image.part).get(image.key)
    if item is None:
        return _Found(reason=densepose.excluded().get(image.key, "left out before densepose"))
    pixels = read_pixels(image, root_dir=image_dir)
    if isinstance(pixels, str):
        return _Found(reason=pixels)
    parts_HW = framing.iuv(decode_iuv(item[IUV_MEMBER]))[..., 0]
    for region in SHOWN_REGIONS:
        if int(np.isin(parts_HW, REGIONS[region]).sum()) < MIN_REGION_PIXELS:
            return _Found(reason=f"no {region} in view")
    return _Found(iuv_png=item[IUV_MEMBER])
