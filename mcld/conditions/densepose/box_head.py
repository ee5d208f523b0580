"""From proposals to people: each proposal is scored and moved once more.

Shapes: B images, K proposals of an image, R = B K, C channels, S grid size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcld.conditions.densepose.backbone import NUM_CHANNELS, STRIDES, Features
from mcld.conditions.densepose.boxes import clip_boxes, decode_boxes, is_filled, suppress_overlaps
from mcld.conditions.densepose.proposals import Proposals
from mcld.conditions.densepose.roi_align import roi_align

GRID = 7
HIDDEN = 1024
PERSON, NUM_CLASSES = 0, 2  # the last class is background
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
MIN_SCORE = 0.05
MAX_OVERLAP = 0.5
MAX_PEOPLE = 100
LEVELS = slice(0, 4)  # p2 … p5
USUAL_SIZE_PX, USUAL_LEVEL, LAST_LEVEL = 224, 2, 3  # ImageNet's images were seen on p4, the third level


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """People in one image, best first."""

    boxes: Tensor  # (N, 4) float32; (x1, y1, x2, y2) pixels
    scores: Tensor  # (N,) float32 in 0..1


class BoxHead(nn.Module):
    """Two dense layers on what lies in a box."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(NUM_CHANNELS * GRID * GRID, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, pooled_RCSS: Tensor) -> Tensor:
        """(R, 1024)."""
        return F.relu_(self.fc2(F.relu_(self.fc1(pooled_RCSS.flatten(1)))))


class BoxPredictor(nn.Module):
    """Class scores, and a person's box deltas."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_score = nn.Linear(HIDDEN, NUM_CLASSES)
        self.bbox_pred = nn.Linear(HIDDEN, 4)

    def forward(self, hidden_RD: Tensor) -> tuple[Tensor, Tensor]:
        """The person's probability (R,) and deltas (R, 4), float32."""
        probability = self.cls_score(hidden_RD).float().softmax(dim=-1)[:, PERSON]
        return probability, self.bbox_pred(hidden_RD).float()


def pool_proposals(features: Features, *, proposals: Proposals) -> Tensor:
    """What lies in each proposal, (B K, C, 7, 7) float32, from the level that fits its size."""
    boxes_R4 = proposals.boxes.flatten(0, 1)
    num_images, num_proposals = proposals.valid.shape
    image_index_R = torch.arange(num_images, device=boxes_R4.device).repeat_interleave(num_proposals)
    return roi_align(
        features[LEVELS],
        strides=STRIDES[LEVELS],
        boxes_R4=boxes_R4,
        image_index_R=image_index_R,
        level_R=level_of(boxes_R4),
        size=GRID,
    )


def level_of(boxes_R4: Tensor) -> Tensor:
    """Which level a box is taken from (R,) long, 0 for p2: twice the size is one level up (FPN, eq. 1)."""
    area = (boxes_R4[:, 2] - boxes_R4[:, 0]) * (boxes_R4[:, 3] - boxes_R4[:, 1])
    level = torch.floor(USUAL_LEVEL + torch.log2(area.sqrt() / USUAL_SIZE_PX + 1e-8))
    return level.clamp(0, LAST_LEVEL).long()


def choose_people(
    probability_BK: Tensor, *, deltas_BK4: Tensor, proposals: Proposals, height_px: int, width_px: int
) -> list[Detections]:
    """The boxes that are people, of each image: likely enough, overlaps suppressed, the best hundred."""
    boxes = decode_boxes(deltas_BK4, anchors_N4=proposals.boxes, weights=BOX_WEIGHTS)
    valid = proposals.valid & boxes.isfinite().all(-1) & (probability_BK > MIN_SCORE)
    boxes = clip_boxes(boxes, height_px=height_px, width_px=width_px)
    # Those that are not valid go last; stable: proposals of equal score keep their order.
    order = torch.argsort(probability_BK.masked_fill(~valid, -1.0), dim=1, descending=True, stable=True)
    num_valid = int(valid.sum(dim=1).max())
    order = order[:, :num_valid]
    scores, valid = probability_BK.gather(1, order), valid.gather(1, order)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    stays = suppress_overlaps(boxes, valid_GN=valid, max_overlap=MAX_OVERLAP)
    return [
        Detections(boxes=image_boxes[rows][:MAX_PEOPLE], scores=image_scores[rows][:MAX_PEOPLE])
        for image_boxes, image_scores, rows in zip(boxes, scores, stays, strict=True)
    ]


def scale_to_image(
    detections: Detections, *, network_hw: tuple[int, int], image_hw: tuple[int, int]
) -> tuple[Detections, Tensor]:
    """The detections in pixels of the original image, and which rows they were: empty boxes are left out."""
    height_px, width_px = image_hw
    scale = detections.boxes.new_tensor([width_px / network_hw[1], height_px / network_hw[0]] * 2)
    boxes = clip_boxes(detections.boxes * scale, height_px=height_px, width_px=width_px)
    rows = is_filled(boxes).nonzero()[:, 0]
    return Detections(boxes=boxes[rows], scores=detections.scores[rows]), rows
