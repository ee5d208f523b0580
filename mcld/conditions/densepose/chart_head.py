"""From a person's box to charts: which body part each cell shows, and where on that part (Güler et al. 2018).

Shapes: B images, R people, C channels, H W feature map, S = 28 grid of a person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mcld.conditions.densepose.backbone import NUM_CHANNELS, STRIDES, Features, NormalisedConv
from mcld.conditions.densepose.roi_align import roi_align

GRID = 28
HIDDEN = 512
NUM_CONVS = 8
NUM_GROUPS = 32
DILATIONS = (6, 12, 56)
NUM_COARSE, NUM_FINE = 2, 25  # background and person; background and 24 parts
LEVELS = ("p2", "p3", "p4", "p5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """What the network says of R people, each box resampled to 112 x 112 cells; float32."""

    coarse: Tensor  # (R, 2, 112, 112) logits: background, person
    fine: Tensor  # (R, 25, 112, 112) logits: background, 24 parts
    u: Tensor  # (R, 25, 112, 112): about 0..1, for each part
    v: Tensor  # (R, 25, 112, 112)


class Decoder(nn.Module):
    """Brings p2 … p5 to the resolution of p2 and adds them up."""

    def __init__(self) -> None:
        super().__init__()
        for name, stride in zip(LEVELS, STRIDES, strict=False):
            self.add_module(name, _doublings(int(math.log2(stride // STRIDES[0]))))
        self.predictor = nn.Conv2d(NUM_CHANNELS, NUM_CHANNELS, 1)

    def forward(self, features: Features) -> Tensor:
        """(B, 256, H / 4, W / 4) of an H x W input."""
        total = self.get_submodule(LEVELS[0])(features[0])
        for name, feature in zip(LEVELS[1:], features[1:], strict=False):
            total = total + self.get_submodule(name)(feature)
        summed: Tensor = self.predictor(total)
        return summed


class _ConvRelu(nn.Conv2d):
    """A 3 x 3 convolution and ReLU under one name."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu_(super().forward(x_BCHW))


def _doublings(num_doublings: int) -> nn.Sequential:
    """One convolution before each doubling of the resolution; at least one."""
    layers: list[nn.Module] = []
    for _ in range(max(num_doublings, 1)):
        layers.append(_ConvRelu(NUM_CHANNELS, NUM_CHANNELS, 3, padding=1))
        if num_doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)


def _normalised(*, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(NUM_CHANNELS, NUM_CHANNELS, kernel, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.GroupNorm(NUM_GROUPS, NUM_CHANNELS), nn.ReLU(inplace=True)]


class AtrousPyramid(nn.Module):
    """ASPP (Chen et al. 2017): a cell looks near, wide and at the whole person."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_normalised(kernel=1)),
                *(nn.Sequential(*_normalised(kernel=3, dilation=dilation)) for dilation in DILATIONS),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *_normalised(kernel=1)),
            ]
        )
        num_inputs = len(self.convs) * NUM_CHANNELS
        self.project = nn.Sequential(
            nn.Conv2d(num_inputs, NUM_CHANNELS, 1, bias=False), nn.ReLU(inplace=True)
        )

    def forward(self, x_RCSS: Tensor) -> Tensor:
        """The same shape."""
        branches = [conv(x_RCSS) for conv in self.convs]
        branches[-1] = branches[-1].expand_as(x_RCSS)
        projected: Tensor = self.project(torch.cat(branches, dim=1))
        return projected


class ChartHead(nn.Module):
    """DeepLab's pyramid and eight convolutions on a person's grid."""

    def __init__(self) -> None:
        super().__init__()
        self.ASPP = AtrousPyramid()
        for index in range(NUM_CONVS):
            in_channels = NUM_CHANNELS if index == 0 else HIDDEN
            norm = nn.GroupNorm(NUM_GROUPS, HIDDEN)
            self.add_module(
                f"body_conv_fcn{index + 1}", NormalisedConv(in_channels, HIDDEN, kernel=3, norm=norm)
            )

    def forward(self, pooled_RCSS: Tensor) -> Tensor:
        """(R, 512, 28, 28)."""
        hidden: Tensor = self.ASPP(pooled_RCSS)
        for index in range(NUM_CONVS):
            hidden = F.relu_(self.get_submodule(f"body_conv_fcn{index + 1}")(hidden))
        return hidden


class ChartPredictor(nn.Module):
    """The four charts: a transposed convolution doubles the grid, interpolation doubles it again."""

    def __init__(self) -> None:
        super().__init__()
        self.ann_index_lowres = _doubling(NUM_COARSE)
        self.index_uv_lowres = _doubling(NUM_FINE)
        self.u_lowres = _doubling(NUM_FINE)
        self.v_lowres = _doubling(NUM_FINE)

    def forward(self, hidden_RCSS: Tensor) -> Charts:
        """Charts of 112 x 112 cells."""
        coarse, fine, u, v = (
            F.interpolate(layer(hidden_RCSS).float(), scale_factor=2, mode="bilinear", align_corners=False)
            for layer in (self.ann_index_lowres, self.index_uv_lowres, self.u_lowres, self.v_lowres)
        )
        return Charts(coarse=coarse, fine=fine, u=u, v=v)


def _doubling(num_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(HIDDEN, num_channels, 4, stride=2, padding=1)


def pool_people(decoded_BCHW: Tensor, *, boxes_R4: Tensor, image_index_R: Tensor) -> Tensor:
    """What lies in each person's box, (R, C, 28, 28) float32."""
    return roi_align(
        [decoded_BCHW],
        strides=STRIDES[:1],
        boxes_R4=boxes_R4,
        image_index_R=image_index_R,
        level_R=torch.zeros_like(image_index_R),
        size=GRID,
    )
