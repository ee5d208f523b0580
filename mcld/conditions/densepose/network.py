"""The whole network, R_101_FPN_DL of detectron2's DensePose, under the names of its published weights.

`fuse_norms` moves its batch norms into the convolutions before them, for half precision.

Shapes: B images of one size, H W network pixels (padded), N detections of an image, R people of all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mcld.conditions.densepose.backbone import (
    BATCH_NORM_EPS,
    FeaturePyramid,
    Features,
    FrozenBatchNorm,
    NormalisedConv,
)
from mcld.conditions.densepose.box_head import (
    BoxHead,
    BoxPredictor,
    Detections,
    choose_people,
    pool_proposals,
)
from mcld.conditions.densepose.chart_head import ChartHead, ChartPredictor, Charts, Decoder, pool_people
from mcld.conditions.densepose.proposals import ProposalGenerator, Proposals


class RoiHeads(nn.Module):
    """What is asked of each box."""

    def __init__(self) -> None:
        super().__init__()
        self.box_head = BoxHead()
        self.box_predictor = BoxPredictor()
        self.decoder = Decoder()
        self.densepose_head = ChartHead()
        self.densepose_predictor = ChartPredictor()


class DensePoseNetwork(nn.Module):
    """Features of images, people in them, and the charts of some of those people."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = FeaturePyramid()
        self.proposal_generator = ProposalGenerator()
        self.roi_heads = RoiHeads()

    @property
    def dtype(self) -> torch.dtype:
        """In which the layers compute; boxes, scores and pooling are float32 always."""
        return self.roi_heads.box_head.fc1.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.roi_heads.box_head.fc1.weight.device

    def features(self, pixels_BCHW: Tensor) -> Features:
        """The pyramid p2 … p6 of images as `preprocess.network_input` makes them."""
        pixels_BCHW = pixels_BCHW.to(device=self.device, dtype=self.dtype)
        features: Features = self.backbone(pixels_BCHW.contiguous(memory_format=torch.channels_last))
        return features

    def propose(self, features: Features, *, height_px: int, width_px: int) -> Proposals:
        """Where anything may be in images of this size, which is without padding."""
        proposals: Proposals = self.proposal_generator(features, height_px=height_px, width_px=width_px)
        return proposals

    def detect(
        self, features: Features, *, proposals: Proposals, height_px: int, width_px: int
    ) -> list[Detections]:
        """The people of each image, best first, in network pixels."""
        heads = self.roi_heads
        pooled = pool_proposals(features, proposals=proposals)
        probability, deltas = heads.box_predictor(heads.box_head(pooled.to(self.dtype)))
        rows = proposals.valid.shape
        return choose_people(
            probability.view(rows),
            deltas_BK4=deltas.view(*rows, 4),
            proposals=proposals,
            height_px=height_px,
            width_px=width_px,
        )

    def charts(self, features: Features, *, boxes: Sequence[Tensor]) -> Charts:
        """Charts of the people in `boxes`, (N, 4) network pixels for each image, one image after another."""
        heads = self.roi_heads
        counts = torch.tensor([len(image_boxes) for image_boxes in boxes], device=self.device)
        image_index_R = torch.arange(len(boxes), device=self.device).repeat_interleave(counts)
        pooled = pool_people(
            heads.decoder(features[: len(features) - 1]),
            boxes_R4=torch.cat(list(boxes)),
            image_index_R=image_index_R,
        )
        charts: Charts = heads.densepose_predictor(heads.densepose_head(pooled.to(self.dtype)))
        return charts


def fuse_norms(network: nn.Module) -> None:
    """Move every frozen batch norm into the convolution before it: the same function, one pass less.

    Computed in double precision, so that half precision rounds the product once. The names of the norms are
    gone afterwards: do it after loading.
    """
    for module in network.modules():
        if isinstance(module, NormalisedConv) and isinstance(module.norm, FrozenBatchNorm):
            norm, dtype = module.norm, module.weight.dtype
            scale = norm.weight.double() * (norm.running_var.double() + BATCH_NORM_EPS).rsqrt()
            offset = norm.bias.double() - norm.running_mean.double() * scale
            weight = module.weight.detach().double() * scale[:, None, None, None]
            module.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
            module.bias = nn.Parameter(offset.to(dtype), requires_grad=False)
            module.norm = nn.Identity()
