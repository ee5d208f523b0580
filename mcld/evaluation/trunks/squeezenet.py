"""SqueezeNet 1.1's convolutions, as LPIPS looks at them: torchvision's file squeezenet1_1-b8a52dc0.pth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcld.evaluation.networks import SQUEEZENET

ORIGIN = SQUEEZENET.origin
ACTIVATION_CHANNELS = (64, 128, 256, 384, 384, 512, 512)
_POOLED_BEFORE = ("3", "6", "9")
_LOOKED_AT = ("0", "4", "7", "9", "10", "11", "12")


class Fire(nn.Module):
    """Few channels, then many: 1 x 1 and 3 x 3 side by side (Iandola et al. 2016, figure 1)."""

    def __init__(self, in_channels: int, *, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """To twice `expanded` channels, of the same size."""
        few = self.squeeze(features_BCHW).relu()
        return torch.cat((self.expand1x1(few), self.expand3x3(few)), dim=1).relu()


class SqueezeNet(nn.Module):
    """Images, (B, 3, H, W) float32, to seven activations."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(  # by their places in torchvision's sequence
            {
                "0": nn.Conv2d(3, 64, 3, stride=2),
                "3": Fire(64, squeezed=16, expanded=64),
                "4": Fire(128, squeezed=16, expanded=64),
                "6": Fire(128, squeezed=32, expanded=128),
                "7": Fire(256, squeezed=32, expanded=128),
                "9": Fire(256, squeezed=48, expanded=192),
                "10": Fire(384, squeezed=48, expanded=192),
                "11": Fire(384, squeezed=64, expanded=256),
                "12": Fire(512, squeezed=64, expanded=256),
            }
        )
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """As the class says; channels are `ACTIVATION_CHANNELS`."""
        activations: list[Tensor] = []
        x = images_BCHW
        for place, layer in self.features.items():
            x = layer(self.pool(x) if place in _POOLED_BEFORE else x).relu()  # a Fire's is positive already
            if place in _LOOKED_AT:
                activations.append(x)
        return activations


def published_state() -> dict[str, Tensor]:
    """Every name of the published file with a tensor of its shape, on the meta device."""
    with torch.device("meta"):
        classifier = nn.Conv2d(512, 1000, 1).state_dict()
        return SqueezeNet().state_dict() | {f"classifier.1.{name}": v for name, v in classifier.items()}
