"""Find the people in images and paint one's IUV map: the surest one's, or the biggest one's.

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
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.densepose.box_head import Detections, scale_to_image
from mcld.conditions.densepose.canvas import UvOverflow, paint_iuv
from mcld.conditions.densepose.chart_head import Charts
from mcld.conditions.densepose.network import DensePoseNetwork
from mcld.conditions.densepose.preprocess import network_input, resize

SURE_SCORE = 0.5  # of a detection, to be counted as a person beside others

# Whom an image is of, where there are several: the one with the best score, or of the sure ones the biggest.
PersonChoice = Literal["best-score", "biggest"]
# Of how many people there are charts: of the first so many, of all, or of the sure ones, at least of one.
ChartCount = int | Literal["sure"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everyone found in one image, the chosen one first, then by score; and the charts of the first ones."""

    image_hw: tuple[int, int]
    detections: Detections  # boxes in pixels of the image
    charts: Charts | None  # rows belong to the first detections; None where there is nobody

    @property
    def num_sure(self) -> int:
        """How many people are surely there."""
        return int((self.detections.scores > SURE_SCORE).sum())


def find_people(
    network: DensePoseNetwork,
    *,
    images: Sequence[np.ndarray],
    max_charts: ChartCount = 1,
    person: PersonChoice = "best-score",
) -> list[People]:
    """The people in (H, W, 3) uint8 RGB images of one size; charts of the first `max_charts`, or of all."""
    image_hw = (images[0].shape[0], images[0].shape[1])
    assert all(image.shape == (*image_hw, 3) for image in images), "one batch is of one size"
    resized = [resize(image) for image in images]
    return find_people_in_resized(
        network, resized=resized, image_hw=image_hw, max_charts=max_charts, person=person
    )


@torch.inference_mode()
def find_people_in_resized(
    network: DensePoseNetwork,
    *,
    resized: Sequence[np.ndarray],
    image_hw: tuple[int, int],
    max_charts: ChartCount = 1,
    person: PersonChoice = "best-score",
) -> list[People]:
    """As `find_people`, of images that were brought to network size elsewhere and were `image_hw` before."""
    network_hw = (resized[0].shape[0], resized[0].shape[1])
    with full_precision():
        features = network.features(network_input(resized, device=network.device))
        height_px, width_px = network_hw
        proposals = network.propose(features, height_px=height_px, width_px=width_px)
        found = network.detect(features, proposals=proposals, height_px=height_px, width_px=width_px)
        placed = [
            _chosen_first(
                *scale_to_image(detections, network_hw=network_hw, image_hw=image_hw), person=person
            )
            for detections in found
        ]
        boxes = [
            detections.boxes[rows][: _num_charts(detections, wanted=max_charts)]
            for detections, (_, rows) in zip(found, placed, strict=True)
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


def _num_charts(detections: Detections, *, wanted: ChartCount) -> int | None:
    """How many of the first people get charts; None for all."""
    if wanted != "sure":
        return wanted
    return max(1, int((detections.scores > SURE_SCORE).sum()))


def _chosen_first(detections: Detections, rows: Tensor, *, person: PersonChoice) -> tuple[Detections, Tensor]:
    """The detections, and which rows they were, with the chosen person moved to the front."""
    is_sure = detections.scores > SURE_SCORE
    if person == "best-score" or not bool(is_sure.any()):
        return detections, rows
    left, top, right, bottom = detections.boxes.unbind(dim=1)
    area = ((right - left) * (bottom - top)).masked_fill(~is_sure, -1.0)
    is_other = torch.ones_like(is_sure)
    is_other[area.argmax()] = False
    order = torch.argsort(is_other.byte(), stable=True)  # the others keep their order
    return Detections(boxes=detections.boxes[order], scores=detections.scores[order]), rows[order]


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
