"""AlexNet's convolutions, as LPIPS looks at them: torchvision's file alexnet-owt-7be5be79.pth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcld.evaluation.networks import ALEXNET

ORIGIN = ALEXNET.origin
ACTIVATION_CHANNELS = (64, 192, 384, 256, 256)


class AlexNet(nn.Module):
    """Images, (B, 3, H, W) float32, to what comes out of each of the five ReLUs."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(  # by their places in torchvision's sequence
            {
                "0": nn.Conv2d(3, 64, 11, stride=4, padding=2),
                "3": nn.Conv2d(64, 192, 5, padding=2),
                "6": nn.Conv2d(192, 384, 3, padding=1),
                "8": nn.Conv2d(384, 256, 3, padding=1),
                "10": nn.Conv2d(256, 256, 3, padding=1),
            }
        )
        self.pool = nn.MaxPool2d(3, stride=2)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """As the class says; channels are `ACTIVATION_CHANNELS`."""
        activations: list[Tensor] = []
        x = images_BCHW
        for place, convolution in self.features.items():
            x = convolution(self.pool(x) if place in ("3", "6") else x).relu()
            activations.append(x)
        return activations


def published_state() -> dict[str, Tensor]:
    """Every name of the published file with a tensor of its shape, on the meta device."""
    with torch.device("meta"):
        layers = {1: nn.Linear(256 * 6 * 6, 4096), 4: nn.Linear(4096, 4096), 6: nn.Linear(4096, 1000)}
        classifier = {
            f"classifier.{place}.{name}": value
            for place, layer in layers.items()
            for name, value in layer.state_dict().items()
        }
        return AlexNet().state_dict() | classifier
