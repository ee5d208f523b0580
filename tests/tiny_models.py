"""The smallest models of the real classes that fit together, for tests that need one and not its weights."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL

from mcld.models import FaceProjectorConfig, ModelConfig

LATENT_CHANNELS = 4
TINY_CONFIG = ModelConfig(
    block_out_channels=(16, 16),
    attention_levels=(True, True),
    layers_per_block=1,
    attention_head_dim=2,
    cross_attention_dim=8,
    norm_num_groups=8,
    latent_channels=LATENT_CHANNELS,
    pose_channels=(4, 4, 8, 8),
    face=FaceProjectorConfig(dim=8, depth=1, dim_head=4, heads=2, num_tokens=4, embedding_dim=6),
)


def tiny_vae() -> AutoencoderKL:
    """Untrained, from seed 0."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=2,
        sample_size=32,
    )
    return vae.eval()
