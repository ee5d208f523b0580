"""Region proposals (Ren et al. 2015): where anything may be, out of three anchors at every feature cell.

Shapes: B images, N anchors of a level, K proposals, H W feature map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcld.conditions.densepose.backbone import NUM_CHANNELS, STRIDES, Features
from mcld.conditions.densepose.boxes import clip_boxes, decode_boxes, is_filled, suppress_overlaps

ANCHOR_SIZES_PX = (32, 64, 128, 256, 512)  # one a level: the square root of its anchors' area
ANCHOR_RATIOS = (0.5, 1.0, 2.0)  # height / width
NUM_BEST = 1000  # of a level before suppression, and of all levels after it
MAX_OVERLAP = 0.7
BOX_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
NOWHERE = -torch.inf  # the score of a place that no box fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Boxes that may hold something, best first. Places that are not `valid` are there to fill the tensor."""

    boxes: Tensor  # (B, K, 4) float32, network pixels
    logits: Tensor  # (B, K) float32
    valid: Tensor  # (B, K) bool


class ProposalHead(nn.Module):
    """Scores and box deltas of every anchor, by the same weights on every level."""

    def __init__(self) -> None:
        super().__init__()
        num_anchors = len(ANCHOR_RATIOS)
        self.conv = nn.Conv2d(NUM_CHANNELS, NUM_CHANNELS, 3, padding=1)
        self.objectness_logits = nn.Conv2d(NUM_CHANNELS, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(NUM_CHANNELS, 4 * num_anchors, 1)

    def forward(self, feature_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N) and deltas (B, N, 4), float32; anchors in the order of `anchors_of`."""
        hidden = F.relu_(self.conv(feature_BCHW))
        logits = self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1)
        deltas = self.anchor_deltas(hidden).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        return logits.float(), deltas.float()


class ProposalGenerator(nn.Module):
    """The proposals of all levels together."""

    def __init__(self) -> None:
        super().__init__()
        self.rpn_head = ProposalHead()

    def forward(self, features: Features, *, height_px: int, width_px: int) -> Proposals:
        """The best proposals in images of this size (without padding), network pixels."""
        levels = [
            _best_of_level(
                *self.rpn_head(feature), anchors_N4=anchors_of(feature, stride=stride, size_px=size_px)
            )
            for feature, stride, size_px in zip(features, STRIDES, ANCHOR_SIZES_PX, strict=True)
        ]
        logits = torch.stack([level_logits for level_logits, _ in levels], dim=1)  # (B, levels, K)
        boxes = torch.stack([level_boxes for _, level_boxes in levels], dim=1)
        boxes = clip_boxes(boxes, height_px=height_px, width_px=width_px)
        valid = logits.isfinite() & is_filled(boxes)
        stays = suppress_overlaps(
            boxes.flatten(0, 1), valid_GN=valid.flatten(0, 1), max_overlap=MAX_OVERLAP
        ).view_as(valid)
        best, index = logits.masked_fill(~stays, NOWHERE).flatten(1).topk(NUM_BEST)
        chosen = boxes.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, 4))
        valid = best > NOWHERE
        boxes = chosen.masked_fill(~valid[..., None], 0.0)  # they may hold NaN, which nothing can be read at
        return Proposals(boxes=boxes, logits=best, valid=valid)


def anchors_of(feature_BCHW: Tensor, *, stride: int, size_px: int) -> Tensor:
    """The anchors (N, 4) of a level: row by row, cell by cell, ratio by ratio, centred on cells' corners."""
    height, width = feature_BCHW.shape[2:]
    device = feature_BCHW.device
    # In double precision, then rounded: as detectron2, which makes them with Python's numbers.
    ratio = torch.tensor(ANCHOR_RATIOS, dtype=torch.float64)
    anchor_width = (size_px**2 / ratio).sqrt()
    half = (torch.stack([anchor_width, anchor_width * ratio], dim=-1) / 2).float().to(device)
    y, x = torch.meshgrid(
        torch.arange(height, device=device) * float(stride),
        torch.arange(width, device=device) * float(stride),
        indexing="ij",
    )
    centre = torch.stack([x, y], dim=-1)[:, :, None]  # (H, W, 1, 2)
    return torch.cat([centre - half, centre + half], dim=-1).flatten(0, 2)


def _best_of_level(logits_BN: Tensor, deltas_BN4: Tensor, *, anchors_N4: Tensor) -> tuple[Tensor, Tensor]:
    """The best logits of a level (B, 1000), and their boxes (B, 1000, 4); small levels are filled up."""
    best, index = logits_BN.topk(min(NUM_BEST, logits_BN.shape[1]))
    deltas = deltas_BN4.gather(1, index[..., None].expand(-1, -1, 4))
    boxes = decode_boxes(deltas, anchors_N4=anchors_N4[index], weights=BOX_WEIGHTS)
    missing = NUM_BEST - best.shape[1]
    return F.pad(best, (0, missing), value=NOWHERE), F.pad(boxes, (0, 0, 0, missing))
