"""LPIPS 0.1 (Zhang et al. 2018): how far apart two images are in a network's normalised activations.

    network  trunk, of torchvision           heads, of richzhang/PerceptualSimilarity, lpips/weights/v0.1
    alex     alexnet-owt-7be5be79.pth        alex.pth
    squeeze  squeezenet1_1-b8a52dc0.pth      squeeze.pth

Public: `Lpips`, `load_lpips(trunk_path, *, heads_path, network, expected_sha256)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mcld.evaluation.networks import LPIPS_ALEX, LPIPS_SQUEEZE
from mcld.evaluation.trunks import alexnet, squeezenet
from mcld.evaluation.trunks.weights import check_finite, read_weights

Network = Literal["alex", "squeeze"]
# ImageNet's mean and deviation, for images in [-1, 1]; to three digits, as the package has them.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
NORM_EPSILON = 1e-10


class Lpips(nn.Module):
    """Two batches of images in [-1, 1], (B, 3, H, W) float32, to their distances, (B,) float32, from 0 on."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: nn.Module, *, heads: Sequence[Tensor]) -> None:
        """`trunk` returns a list of activations; `heads` has a weight for each of their channels, (C,)."""
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])

    def forward(self, image_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
        """As the class says. Symmetric, and exactly 0 for equal images: both are in batches of one size."""
        assert image_BCHW.shape == target_BCHW.shape
        distance_B = image_BCHW.new_zeros(len(image_BCHW))
        pairs = zip(self._activations(image_BCHW), self._activations(target_BCHW), strict=True)
        for (seen_BCHW, wanted_BCHW), head_C in zip(pairs, self.heads, strict=True):
            squared_BCHW = (_unit(seen_BCHW) - _unit(wanted_BCHW)).square()
            distance_B = distance_B + torch.einsum("bchw,c->bhw", squared_BCHW, head_C).mean(dim=(1, 2))
        return distance_B

    def _activations(self, image_BCHW: Tensor) -> list[Tensor]:
        activations: list[Tensor] = self.trunk((image_BCHW - self.shift) / self.scale)
        return activations


def _unit(activation_BCHW: Tensor) -> Tensor:
    return activation_BCHW / (activation_BCHW.square().sum(dim=1, keepdim=True).sqrt() + NORM_EPSILON)


def load_lpips(
    trunk_path: Path, *, heads_path: Path, network: Network, expected_sha256: Mapping[str, str] | None = None
) -> Lpips:
    """LPIPS with the weights of two published files, for inference, on the CPU.

    `expected_sha256` is by file name. Raises WeightsError naming the file, and the names that are missing,
    unexpected or of another shape.
    """
    module = alexnet if network == "alex" else squeezenet
    expected = expected_sha256 or {}
    with torch.device("meta"):
        trunk: nn.Module = alexnet.AlexNet() if network == "alex" else squeezenet.SqueezeNet()
    state = read_weights(
        trunk_path,
        wanted=module.published_state(),
        origin=module.ORIGIN,
        expected_sha256=expected.get(trunk_path.name),
    )
    kept = {name: state[name] for name in trunk.state_dict()}
    check_finite(kept, path=trunk_path, origin=module.ORIGIN)
    trunk.load_state_dict(kept, assign=True)
    origin = (LPIPS_ALEX if network == "alex" else LPIPS_SQUEEZE).origin
    wanted = published_heads(module.ACTIVATION_CHANNELS)
    heads = read_weights(
        heads_path, wanted=wanted, origin=origin, expected_sha256=expected.get(heads_path.name)
    )
    check_finite(heads, path=heads_path, origin=origin)
    lpips = Lpips(trunk, heads=[heads[name].flatten() for name in wanted])
    return lpips.eval().requires_grad_(False)


def published_heads(channels: Sequence[int]) -> dict[str, Tensor]:
    """Every name of the published file with a tensor of its shape, on the meta device, in order."""
    return {
        f"lin{index}.model.1.weight": torch.empty(1, width, 1, 1, device="meta")
        for index, width in enumerate(channels)
    }
