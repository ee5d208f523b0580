"""Two small networks for rendered people: what part of a body each pixel shows, and whose face a head has.

Shapes: B pictures, H W sides that divide by 16, C channels, S side of a head crop, D embedding length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_LABELS = 25  # no person, and DensePose's 24 parts
STRIDE_PX = 16  # sides of what PersonNetwork is given divide by this
HEAD_PX = 64  # side of the crops that FaceNetwork is given
CHANNELS = (24, 48, 80, 112)  # of both networks' levels
FACE_NORM = 20.0  # length of an embedding, as of raw ArcFace vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMaps:
    """What PersonNetwork says of each pixel, and of each block of 2 x 2 of them."""

    label_logits: Tensor  # (B, 25, H, W)
    uv: Tensor  # (B, 25, 2, H/2, W/2), 0..1 if the block shows that part; not clamped


class Trunk(nn.Module):
    """A U-Net on blocks of 2 x 2 pixels, four levels deep."""

    def __init__(self, *, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, first))
        self.down = nn.ModuleList(
            _conv(wide, deep, stride=2) for wide, deep in ((first, second), (second, third), (third, fourth))
        )
        self.look = nn.ModuleList(_conv(width, width) for width in channels)
        self.whole = nn.Linear(fourth, fourth)
        self.turn = _conv(fourth, fourth)
        self.up = nn.ModuleList(
            nn.Conv2d(deep, wide, 1) for deep, wide in ((second, first), (third, second), (fourth, third))
        )
        self.join = nn.ModuleList(_conv(width, width) for width in (first, second, third))

    def forward(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels in [-1, 1] to features (B, C, H/2, W/2)."""
        feature: Tensor = self.look[0](self.stem(pixels_B3HW))
        skips = []
        for down, look in zip(self.down, self.look[1:], strict=True):
            skips.append(feature)
            feature = down(feature)
            feature = feature + look(feature)
        # Which side of a body is seen is told by all of it.
        feature = feature + self.whole(feature.mean(dim=(2, 3)))[:, :, None, None]
        feature = feature + self.turn(feature)
        for up, join, skip in zip(reversed(self.up), reversed(self.join), reversed(skips), strict=True):
            feature = skip + functional.interpolate(up(feature), scale_factor=2.0, mode="nearest")
            feature = feature + join(feature)
        return feature


class PersonNetwork(nn.Module):
    """The trunk, then which part each pixel shows, and for every part where on it."""

    def __init__(self, *, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.trunk = Trunk(channels=channels)
        self.labels = nn.Conv2d(channels[0], 4 * NUM_LABELS, 1)
        self.uv = nn.Conv2d(channels[0], 2 * NUM_LABELS, 1)

    def forward(self, pixels_B3HW: Tensor) -> PersonMaps:
        """Pixels in [-1, 1]."""
        feature = self.trunk(pixels_B3HW)
        return PersonMaps(
            label_logits=functional.pixel_shuffle(self.labels(feature), 2),
            uv=self.uv(feature).unflatten(1, (NUM_LABELS, 2)),
        )


class FaceNetwork(nn.Module):
    """Four convolutions that halve, then who it is and whether a face is seen at all."""

    def __init__(self, *, channels: Sequence[int] = CHANNELS, dim: int = 512) -> None:
        super().__init__()
        self.channels, self.dim = tuple(channels), dim
        widths = (3, *channels)
        self.body = nn.Sequential(
            *(_conv(before, after, stride=2) for before, after in zip(widths, channels, strict=False)),
            nn.Flatten(),
            nn.Linear(channels[-1] * (HEAD_PX // 16) ** 2, 64),
            nn.SiLU(),
        )
        self.identity = nn.Linear(64, dim)
        self.seen = nn.Linear(64, 1)

    def forward(self, pixels_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels in [-1, 1] to embeddings (B, D) of length 20, and logits (B,) that a face is seen."""
        features = self.body(pixels_B3SS)
        embedding = FACE_NORM * functional.normalize(self.identity(features), dim=1)
        return embedding, self.seen(features)[:, 0]


def pixels_in(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def _conv(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.SiLU()
    )
