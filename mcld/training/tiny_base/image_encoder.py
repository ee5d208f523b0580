"""The tiny CLIP image encoder: the real class, small, with seeded random weights that nobody trains.

Random features of an image still say much about its colours and layout, and the embedded preset asks no more.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


def build_image_encoder(*, seed: int, projection_dim: int) -> CLIPVisionModelWithProjection:
    """64 x 64 px in patches of 16, two layers of width 96; frozen."""
    config = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=64,
        patch_size=16,
        projection_dim=projection_dim,
    )
    encoder = CLIPVisionModelWithProjection(config)
    _draw_weights(encoder, generator=torch.Generator().manual_seed(seed))
    encoder.requires_grad_(False)
    encoder.eval()
    return encoder


@torch.no_grad()
def _draw_weights(module: nn.Module, *, generator: torch.Generator) -> None:
    """Unit-gain Gaussian weights, zero biases.

    CLIP's own initial scale is so small that all images look alike.
    """
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
