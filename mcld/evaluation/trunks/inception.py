"""Inception-v3 up to its last pooling, as torchvision trained it and as TensorFlow's of 2015, ported.

    layout       file                                       metrics
    torchvision  inception_v3_google-0cc3c7bd.pth           fid_a
    tf           pt_inception-2015-12-05-6726825d.pth       fid, clean_fid, kid

Public: `Inception`, `load_inception(path, *, layout, expected_sha256)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mcld.evaluation.networks import INCEPTION, INCEPTION_TF
from mcld.evaluation.trunks.inception_blocks import (
    MixedFactored,
    MixedSpread,
    MixedSquare,
    NormedConvolution,
    ReduceFactored,
    ReduceSquare,
    average_with_padding,
    average_without_padding,
    halve,
    maximum,
)
from mcld.evaluation.trunks.weights import STEP_COUNTER, check_finite, read_weights

Layout = Literal["torchvision", "tf"]
INPUT_SIZE_PX = 299
FEATURE_DIM = 2048
ORIGINS: dict[Layout, str] = {"torchvision": INCEPTION.origin, "tf": INCEPTION_TF.origin}
NUM_CLASSES: dict[Layout, int] = {"torchvision": 1000, "tf": 1008}


class Inception(nn.Module):
    """Prepared images, (B, 3, 299, 299) float32, to features, (B, 2048) float32, never negative."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        pool = average_with_padding if layout == "torchvision" else average_without_padding
        last_pool = average_with_padding if layout == "torchvision" else maximum
        self.Conv2d_1a_3x3 = NormedConvolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = NormedConvolution(32, 32, 3)
        self.Conv2d_2b_3x3 = NormedConvolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = NormedConvolution(64, 80)
        self.Conv2d_4a_3x3 = NormedConvolution(80, 192, 3)
        self.Mixed_5b = MixedSquare(192, pool_channels=32, pool=pool)
        self.Mixed_5c = MixedSquare(256, pool_channels=64, pool=pool)
        self.Mixed_5d = MixedSquare(288, pool_channels=64, pool=pool)
        self.Mixed_6a = ReduceSquare(288)
        self.Mixed_6b = MixedFactored(768, inner_channels=128, pool=pool)
        self.Mixed_6c = MixedFactored(768, inner_channels=160, pool=pool)
        self.Mixed_6d = MixedFactored(768, inner_channels=160, pool=pool)
        self.Mixed_6e = MixedFactored(768, inner_channels=192, pool=pool)
        self.Mixed_7a = ReduceFactored(768)
        self.Mixed_7b = MixedSpread(1280, pool=pool)
        self.Mixed_7c = MixedSpread(FEATURE_DIM, pool=last_pool)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """As the class says."""
        assert images_BCHW.shape[1:] == (3, INPUT_SIZE_PX, INPUT_SIZE_PX)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images_BCHW)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halve(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(halve(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features_BD: Tensor = x.mean(dim=(2, 3))
        return features_BD


def load_inception(path: Path, *, layout: Layout, expected_sha256: str | None = None) -> Inception:
    """The network with the weights of a published file, for inference, channels last, on the CPU.

    Raises WeightsError naming the file, and the names that are missing, unexpected or of another shape: a
    file of one layout is refused under the other, since the classes are not as many.
    """
    with torch.device("meta"):
        network = Inception(layout)
    origin = ORIGINS[layout]
    state = read_weights(path, wanted=published_state(layout), origin=origin, expected_sha256=expected_sha256)
    own = network.state_dict()
    kept = {name: state[name] for name in own if name in state}
    check_finite(kept, path=path, origin=origin)
    counters = {name: torch.tensor(0) for name in own if name.endswith(STEP_COUNTER)}
    network.load_state_dict(kept | counters, assign=True)
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it
    return network


def published_state(layout: Layout) -> dict[str, Tensor]:
    """Every name of the published file with a tensor of its shape, on the meta device."""
    with torch.device("meta"):
        trunk = Inception(layout).state_dict()
        parts: dict[str, nn.Module] = {"fc": nn.Linear(FEATURE_DIM, NUM_CLASSES[layout])}
        if layout == "torchvision":
            parts |= {
                "AuxLogits.conv0": NormedConvolution(768, 128),
                "AuxLogits.conv1": NormedConvolution(128, 768, 5),
                "AuxLogits.fc": nn.Linear(768, NUM_CLASSES[layout]),
            }
    classifiers = {
        f"{part}.{name}": value
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }
    return trunk | classifiers
