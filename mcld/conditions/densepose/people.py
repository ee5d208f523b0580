"""Find the people in images and paint the best one's IUV map.

    network = load_densepose(Path("densepose.safetensors"))
    for people in find_people(network, images=images):        # images of one size
        iuv = best_iuv(people, uv_overflow="clamp")           # None: no person detected

The three steps can be had apart: resizing is for processes of the CPU, the network for a GPU that must not
wait, painting for whoever is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.densepose.box_head import Detections, scale_to_image
from mcld.conditions.densepose.canvas import UvOverflow, paint_iuv
from mcld.conditions.densepose.chart_head import Charts
from mcld.conditions.densepose.network import DensePoseNetwork
from mcld.conditions.densepose.preprocess import network_input, resize


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everyone found in one image, best first, and the charts of the first of them."""

    image_hw: tuple[int, int]
    detections: Detections  # boxes in pixels of the image
    charts: Charts | None  # rows belong to the first detections; None where there is nobody


def find_people(
    network: DensePoseNetwork, *, images: Sequence[np.ndarray], max_charts: int | None = 1
) -> list[People]:
    """The people in (H, W, 3) uint8 RGB images of one size; charts of the best `max_charts`, or of all."""
    image_hw = (images[0].shape[0], images[0].shape[1])
    assert all(image.shape == (*image_hw, 3) for image in images), "one batch is of one size"
    resized = [resize(image) for image in images]
    return find_people_in_resized(network, resized=resized, image_hw=image_hw, max_charts=max_charts)


@torch.inference_mode()
def find_people_in_resized(
    network: DensePoseNetwork,
    *,
    resized: Sequence[np.ndarray],
    image_hw: tuple[int, int],
    max_charts: int | None = 1,
) -> list[People]:
    """As `find_people`, of images that were brought to network size elsewhere and were `image_hw` before."""
    network_hw = (resized[0].shape[0], resized[0].shape[1])
    with full_precision():
        features = network.features(network_input(resized, device=network.device))
        height_px, width_px = network_hw
        proposals = network.propose(features, height_px=height_px, width_px=width_px)
        found = network.detect(features, proposals=proposals, height_px=height_px, width_px=width_px)
        placed = [
            scale_to_image(detections, network_hw=network_hw, image_hw=image_hw) for detections in found
        ]
        boxes = [
            detections.boxes[rows][:max_charts] for detections, (_, rows) in zip(found, placed, strict=True)
        ]
        charts = _charts_by_image(network, features=features, boxes=boxes)
    return [
        People(image_hw=image_hw, detections=detections, charts=image_charts)
        for (detections, _), image_charts in zip(placed, charts, strict=True)
    ]


def best_iuv(people: People, *, uv_overflow: UvOverflow) -> np.ndarray | None:
    """The IUV map (H, W, 3) uint8 of the best detection, the others left out; None where there is nobody."""
    return None if people.charts is None else iuv_of(people, row=0, uv_overflow=uv_overflow)


def iuv_of(people: People, *, row: int, uv_overflow: UvOverflow) -> np.ndarray:
    """The IUV map of one person whose charts are known."""
    assert people.charts is not None
    return paint_iuv(
        people.charts,
        row=row,
        box_4=people.detections.boxes[row],
        image_hw=people.image_hw,
        uv_overflow=uv_overflow,
    )


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it, a GPU's float32 convolutions keep all their bits, and repeating gives the same bits."""
    # TF32 has 10 bits of mantissa: charts are then off by up to 0.09, and thousands of pixels change part.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _charts_by_image(
    network: DensePoseNetwork, *, features: tuple[Tensor, ...], boxes: Sequence[Tensor]
) -> list[Charts | None]:
    counts = [len(image_boxes) for image_boxes in boxes]
    if not any(counts):
        return [None] * len(boxes)
    charts = network.charts(features, boxes=boxes)
    by_image = zip(
        *(chart.split(counts) for chart in (charts.coarse, charts.fine, charts.u, charts.v)), strict=True
    )
    return [Charts(coarse=coarse, fine=fine, u=u, v=v) if len(u) else None for coarse, fine, u, v in by_image]
