"""Encode images at model resolution: VAE moments, CLIP embeddings.

Shapes: B batch, H W model resolution, h w = H/8 W/8, C latent channels, D CLIP projection width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from mcld.framing import resize_image

# OpenAI CLIP's published channel statistics, RGB in [0, 1].
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def image_batch(images: Sequence[np.ndarray], *, device: torch.device | None = None) -> Tensor:
    """Stack (H, W, 3) uint8 images of one size as the VAE wants them: (B, 3, H, W) float32 in [-1, 1].

    They travel to the device as bytes.
    """
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@torch.no_grad()
def encode_moments(vae: AutoencoderKL, *, images: Tensor) -> Tensor:
    """VAE mean and log-variance, stacked on channels and unscaled: (B, 2C, h, w) float32.

    The VAE computes in its own precision.
    """
    moments: Tensor = vae.encode(images.to(vae.device, vae.dtype)).latent_dist.parameters
    return moments.float().cpu()


def clip_batch(
    images: Sequence[np.ndarray], *, clip_size_px: int, device: torch.device | None = None
) -> Tensor:
    """CLIP's input, (B, 3, S, S) float32: (H, W, 3) uint8 images at model size, as squares, normalised.

    The authors squash to 512 x 512, then take the shortest edge and the centre crop: for a square, a plain
    resize.
    """
    squares = np.stack(
        [resize_image(image, height_px=clip_size_px, width_px=clip_size_px) for image in images]
    )
    pixels = torch.from_numpy(squares).to(device).permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels - mean) / std


@torch.no_grad()
def embed_images(encoder: CLIPVisionModelWithProjection, *, pixels: Tensor) -> Tensor:
    """CLIP image embeddings, (B, D) float32, not normalised. The encoder computes in its own precision."""
    embeddings: Tensor = encoder(pixel_values=pixels.to(encoder.device, encoder.dtype)).image_embeds
    return embeddings.float().cpu()


def embed_blank(encoder: CLIPVisionModelWithProjection) -> Tensor:
    """The embedding (D,) float32 of an all-zero input, mean grey: the authors' dropped image."""
    size_px = encoder.config.image_size
    assert isinstance(size_px, int), "CLIP takes squares"
    return embed_images(encoder, pixels=torch.zeros(1, 3, size_px, size_px))[0]


def sample_moments(moments: Tensor, *, noise: Tensor, scaling_factor: float) -> Tensor:
    """Draw latents from moments: scaling_factor (mean + std * noise). Mean alone where `noise` is zero."""
    mean, log_variance = moments.chunk(2, dim=1)
    # Bounds of diffusers' DiagonalGaussianDistribution, so that cached and uncached paths agree.
    std = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
    return scaling_factor * (mean + std * noise)


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, *, latents: Tensor, scaling_factor: float) -> Tensor:
    """Latents to pixels: (B, 3, H, W) float32 in [0, 1]."""
    decoded: Tensor = vae.decode(latents / scaling_factor).sample
    return (decoded.float() / 2.0 + 0.5).clamp(0.0, 1.0)
