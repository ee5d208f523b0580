"""The blocks of Inception-v3 (Szegedy et al. 2015, figures 5 to 7), under the names of torchvision's files.

The two published networks differ in one thing only: how the branch that pools does so. Torchvision averages
over the window with its padding of zeros; TensorFlow's network of 2015 leaves the padding out, and in its
last block takes the maximum instead, which is an oversight that every FID has in it.

Shapes: every block takes (B, C, H, W) and returns (B, C', H', W'), float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPSILON = 1e-3
Pool = Callable[[Tensor], Tensor]


def average_with_padding(features_BCHW: Tensor) -> Tensor:
    """3 x 3 means in which zeros beyond the border count (torchvision)."""
    return F.avg_pool2d(features_BCHW, 3, stride=1, padding=1)


def average_without_padding(features_BCHW: Tensor) -> Tensor:
    """3 x 3 means of what lies inside the border (TensorFlow)."""
    return F.avg_pool2d(features_BCHW, 3, stride=1, padding=1, count_include_pad=False)


def maximum(features_BCHW: Tensor) -> Tensor:
    """3 x 3 maxima (the last block of TensorFlow's network)."""
    return F.max_pool2d(features_BCHW, 3, stride=1, padding=1)


def halve(features_BCHW: Tensor) -> Tensor:
    """3 x 3 maxima at every second pixel."""
    return F.max_pool2d(features_BCHW, 3, stride=2)


class NormedConvolution(nn.Module):
    """A convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=NORM_EPSILON)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the class says."""
        return F.relu(self.bn(self.conv(features_BCHW)))


def _row(in_channels: int, out_channels: int, length: int) -> NormedConvolution:
    """1 x `length`, of the same size."""
    return NormedConvolution(in_channels, out_channels, (1, length), padding=(0, length // 2))


def _column(in_channels: int, out_channels: int, length: int) -> NormedConvolution:
    """`length` x 1, of the same size."""
    return NormedConvolution(in_channels, out_channels, (length, 1), padding=(length // 2, 0))


def _chain(features_BCHW: Tensor, *layers: nn.Module) -> Tensor:
    for layer in layers:
        features_BCHW = layer(features_BCHW)
    return features_BCHW


class MixedSquare(nn.Module):
    """Mixed_5: square kernels at 35 x 35 (torchvision's InceptionA)."""

    def __init__(self, in_channels: int, *, pool_channels: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = NormedConvolution(in_channels, 64)
        self.branch5x5_1 = NormedConvolution(in_channels, 48)
        self.branch5x5_2 = NormedConvolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = NormedConvolution(in_channels, 64)
        self.branch3x3dbl_2 = NormedConvolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = NormedConvolution(96, 96, 3, padding=1)
        self.branch_pool = NormedConvolution(in_channels, pool_channels)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the module says."""
        branches = (
            self.branch1x1(features_BCHW),
            _chain(features_BCHW, self.branch5x5_1, self.branch5x5_2),
            _chain(features_BCHW, self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3),
            self.branch_pool(self.pool(features_BCHW)),
        )
        return torch.cat(branches, dim=1)


class ReduceSquare(nn.Module):
    """Mixed_6a: 35 x 35 to 17 x 17 (torchvision's InceptionB)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = NormedConvolution(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = NormedConvolution(in_channels, 64)
        self.branch3x3dbl_2 = NormedConvolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = NormedConvolution(96, 96, 3, stride=2)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the module says."""
        branches = (
            self.branch3x3(features_BCHW),
            _chain(features_BCHW, self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3),
            halve(features_BCHW),
        )
        return torch.cat(branches, dim=1)


class MixedFactored(nn.Module):
    """Mixed_6b to 6e: 7 x 7 as rows and columns at 17 x 17 (torchvision's InceptionC)."""

    def __init__(self, in_channels: int, *, inner_channels: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = NormedConvolution(in_channels, 192)
        self.branch7x7_1 = NormedConvolution(in_channels, inner_channels)
        self.branch7x7_2 = _row(inner_channels, inner_channels, 7)
        self.branch7x7_3 = _column(inner_channels, 192, 7)
        self.branch7x7dbl_1 = NormedConvolution(in_channels, inner_channels)
        self.branch7x7dbl_2 = _column(inner_channels, inner_channels, 7)
        self.branch7x7dbl_3 = _row(inner_channels, inner_channels, 7)
        self.branch7x7dbl_4 = _column(inner_channels, inner_channels, 7)
        self.branch7x7dbl_5 = _row(inner_channels, 192, 7)
        self.branch_pool = NormedConvolution(in_channels, 192)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the module says."""
        double = (
            *(self.branch7x7dbl_1, self.branch7x7dbl_2, self.branch7x7dbl_3),
            *(self.branch7x7dbl_4, self.branch7x7dbl_5),
        )
        branches = (
            self.branch1x1(features_BCHW),
            _chain(features_BCHW, self.branch7x7_1, self.branch7x7_2, self.branch7x7_3),
            _chain(features_BCHW, *double),
            self.branch_pool(self.pool(features_BCHW)),
        )
        return torch.cat(branches, dim=1)


class ReduceFactored(nn.Module):
    """Mixed_7a: 17 x 17 to 8 x 8 (torchvision's InceptionD)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = NormedConvolution(in_channels, 192)
        self.branch3x3_2 = NormedConvolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = NormedConvolution(in_channels, 192)
        self.branch7x7x3_2 = _row(192, 192, 7)
        self.branch7x7x3_3 = _column(192, 192, 7)
        self.branch7x7x3_4 = NormedConvolution(192, 192, 3, stride=2)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the module says."""
        factored = (self.branch7x7x3_1, self.branch7x7x3_2, self.branch7x7x3_3, self.branch7x7x3_4)
        branches = (
            _chain(features_BCHW, self.branch3x3_1, self.branch3x3_2),
            _chain(features_BCHW, *factored),
            halve(features_BCHW),
        )
        return torch.cat(branches, dim=1)


class MixedSpread(nn.Module):
    """Mixed_7b and 7c: rows and columns side by side at 8 x 8 (torchvision's InceptionE)."""

    def __init__(self, in_channels: int, *, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = NormedConvolution(in_channels, 320)
        self.branch3x3_1 = NormedConvolution(in_channels, 384)
        self.branch3x3_2a = _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1 = NormedConvolution(in_channels, 448)
        self.branch3x3dbl_2 = NormedConvolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _row(384, 384, 3)
        self.branch3x3dbl_3b = _column(384, 384, 3)
        self.branch_pool = NormedConvolution(in_channels, 192)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """As the module says."""
        single = self.branch3x3_1(features_BCHW)
        double = _chain(features_BCHW, self.branch3x3dbl_1, self.branch3x3dbl_2)
        branches = (
            self.branch1x1(features_BCHW),
            *(self.branch3x3_2a(single), self.branch3x3_2b(single)),
            *(self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)),
            self.branch_pool(self.pool(features_BCHW)),
        )
        return torch.cat(branches, dim=1)
