"""ResNet-101 with a feature pyramid (He et al. 2016; Lin et al. 2017), under detectron2's names.

Shapes: B images, C channels, H W input (multiples of 32). Level i is (B, 256, H / 2^i, W / 2^i), i in 2..6.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-5
BLOCKS = {"res2": 3, "res3": 4, "res4": 23, "res5": 3}
STEM_CHANNELS = 64
NUM_CHANNELS = 256  # of every level of the pyramid
LEVELS = ("p2", "p3", "p4", "p5", "p6")
STRIDES: tuple[int, ...] = (4, 8, 16, 32, 64)  # image pixels of a cell

Features = tuple[Tensor, ...]  # in the order of LEVELS


class FrozenBatchNorm(nn.Module):
    """Batch norm with fixed statistics: a scale and an offset of each channel."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, Tensor(num_channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape."""
        return F.batch_norm(
            x_BCHW, self.running_mean, self.running_var, self.weight, self.bias, eps=BATCH_NORM_EPS
        )


class NormalisedConv(nn.Conv2d):
    """A convolution without bias, padded to keep the size, and the `norm` that follows it."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, norm: nn.Module, stride: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False
        )
        self.norm = norm

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Without an activation."""
        normalised: Tensor = self.norm(super().forward(x_BCHW))
        return normalised


def frozen_conv(in_channels: int, out_channels: int, *, kernel: int, stride: int = 1) -> NormalisedConv:
    """A convolution with frozen batch norm."""
    norm = FrozenBatchNorm(out_channels)
    return NormalisedConv(in_channels, out_channels, kernel=kernel, stride=stride, norm=norm)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 around a shortcut. The stride is in the first, as in the original ResNet."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        middle = out_channels // 4
        self.shortcut = (
            None
            if in_channels == out_channels
            else frozen_conv(in_channels, out_channels, kernel=1, stride=stride)
        )
        self.conv1 = frozen_conv(in_channels, middle, kernel=1, stride=stride)
        self.conv2 = frozen_conv(middle, middle, kernel=3)
        self.conv3 = frozen_conv(middle, out_channels, kernel=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, out channels, H / stride, W / stride)."""
        shortcut = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        x_BCHW = F.relu_(self.conv1(x_BCHW))
        x_BCHW = F.relu_(self.conv2(x_BCHW))
        return F.relu_(self.conv3(x_BCHW).add_(shortcut))


class Stem(nn.Module):
    """The first convolution: from pixels to a quarter of their resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = frozen_conv(3, STEM_CHANNELS, kernel=7, stride=2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, 64, H / 4, W / 4)."""
        return F.max_pool2d(F.relu_(self.conv1(x_BCHW)), kernel_size=3, stride=2, padding=1)


class ResNet(nn.Module):
    """A stem and four stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        in_channels = STEM_CHANNELS
        for index, (name, num_blocks) in enumerate(BLOCKS.items()):
            out_channels = NUM_CHANNELS << index
            strides = [1 if index == 0 else 2] + [1] * (num_blocks - 1)
            blocks = [
                Bottleneck(in_channels if first == 0 else out_channels, out_channels, stride=stride)
                for first, stride in enumerate(strides)
            ]
            self.add_module(name, nn.Sequential(*blocks))
            in_channels = out_channels

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """The outputs of the stages, strides 4, 8, 16, 32."""
        outputs = [self.stem(pixels_BCHW)]
        for name in BLOCKS:
            outputs.append(self.get_submodule(name)(outputs[-1]))
        return outputs[1:]


class FeaturePyramid(nn.Module):
    """Coarse levels say what is there, fine ones where: each level adds the next coarser one."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom_up = ResNet()
        for index in range(len(BLOCKS)):
            self.add_module(f"fpn_lateral{index + 2}", nn.Conv2d(NUM_CHANNELS << index, NUM_CHANNELS, 1))
            self.add_module(f"fpn_output{index + 2}", nn.Conv2d(NUM_CHANNELS, NUM_CHANNELS, 3, padding=1))

    def forward(self, pixels_BCHW: Tensor) -> Features:
        """p2 … p6."""
        outputs = self.bottom_up(pixels_BCHW)
        sums: list[Tensor] = []
        for level in (5, 4, 3, 2):
            lateral = self.get_submodule(f"fpn_lateral{level}")(outputs[level - 2])
            coarser = F.interpolate(sums[-1], scale_factor=2, mode="nearest") if sums else None
            sums.append(lateral if coarser is None else lateral.add_(coarser))
        pyramid = [self.get_submodule(f"fpn_output{level}")(x) for level, x in enumerate(sums[::-1], start=2)]
        return (*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2))
