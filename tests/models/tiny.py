"""A model small enough for every test, with weights that make each condition matter."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mcld.models import MCLD, FaceProjectorConfig, ModelConfig
from mcld.types import Conditions

TINY = ModelConfig(
    block_out_channels=(16, 32, 32),
    layers_per_block=1,
    attention_head_dim=4,
    cross_attention_dim=24,
    norm_num_groups=8,
    latent_channels=4,
    pose_channels=(4, 8, 8, 8),
    face=FaceProjectorConfig(dim=16, depth=1, dim_head=8, heads=2, num_tokens=4, embedding_dim=20),
)
LATENT_HW = (8, 6)


def tiny_model(*, seed: int = 0, **changes: Any) -> MCLD:
    """A tiny model in which also the convolutions that start at zero are random."""
    torch.manual_seed(seed)
    model = MCLD(dataclasses.replace(TINY, **changes))
    torch.nn.init.normal_(model.pose_guider.conv_out.weight, std=5.0)
    return model


def tiny_conditions(
    num_rows: int,
    *,
    latent_hw: tuple[int, int] = LATENT_HW,
    texture_hw: tuple[int, int] = LATENT_HW,
    seed: int = 1,
) -> Conditions:
    """Random conditions; every row has a face."""
    generator = torch.Generator().manual_seed(seed)
    image_hw = (latent_hw[0] * TINY.pose_factor, latent_hw[1] * TINY.pose_factor)
    return Conditions(
        target_iuv=torch.randint(0, 256, (num_rows, 3, *image_hw), generator=generator, dtype=torch.uint8),
        texture_latent=torch.randn(num_rows, 4, *texture_hw, generator=generator),
        image_embedding=torch.randn(num_rows, 24, generator=generator),
        texture_embedding=torch.randn(num_rows, 24, generator=generator),
        face_embedding=torch.randn(num_rows, 20, generator=generator),
        face_found=torch.ones(num_rows, dtype=torch.bool),
    )


def tiny_latent(num_rows: int, *, latent_hw: tuple[int, int] = LATENT_HW, seed: int = 2) -> Tensor:
    """A random noisy latent."""
    return torch.randn(num_rows, 4, *latent_hw, generator=torch.Generator().manual_seed(seed))


def take_rows(conditions: Conditions, *, rows: slice) -> Conditions:
    """Some rows of a batch of conditions."""
    names = [item.name for item in dataclasses.fields(conditions)]
    return Conditions(**{name: getattr(conditions, name)[rows] for name in names})
