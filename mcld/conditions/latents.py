"""Bring pixels to model resolution and encode them: VAE moments, CLIP embeddings.

Shapes: B batch, H W model resolution, h w = H/8 W/8, C latent channels, D CLIP projection width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

# OpenAI CLIP's published channel statistics, RGB in [0, 1].
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def resize_image(image: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """Squash an (H, W, 3) uint8 image to the given size with antialiased bicubic, as the authors do."""
    if image.shape[:2] == (height_px, width_px):
        return image
    return np.asarray(Image.fromarray(image).resize((width_px, height_px), Image.Resampling.BICUBIC))


def image_batch(images: Sequence[np.ndarray], *, height_px: int, width_px: int) -> Tensor:
    """Stack (H, W, 3) uint8 images as the VAE wants them: (B, 3, height, width) float32 in [-1, 1]."""
    resized = np.stack([resize_image(image, height_px=height_px, width_px=width_px) for image in images])
    return torch.from_numpy(resized).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@torch.no_grad()
def encode_moments(vae: AutoencoderKL, *, images: Tensor) -> Tensor:
    """VAE mean and log-variance, stacked on channels and unscaled: (B, 2C, h, w) float32."""
    moments: Tensor = vae.encode(images.to(vae.device)).latent_dist.parameters
    return moments.cpu()


def clip_batch(
    images: Sequence[np.ndarray], *, model_height_px: int, model_width_px: int, clip_size_px: int
) -> Tensor:
    """CLIP's input, (B, 3, S, S): squash to the model's size, then to a square, then normalise.

    The authors squash to 512 x 512, then take the shortest edge and the centre crop: for a square, a plain
    resize.
    """
    model_sized = [
        resize_image(image, height_px=model_height_px, width_px=model_width_px) for image in images
    ]
    squares = np.stack(
        [resize_image(image, height_px=clip_size_px, width_px=clip_size_px) for image in model_sized]
    )
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255.0
    return (pixels - torch.tensor(CLIP_MEAN).view(1, 3, 1, 1)) / torch.tensor(CLIP_STD).view(1, 3, 1, 1)


@torch.no_grad()
def embed_images(encoder: CLIPVisionModelWithProjection, *, pixels: Tensor) -> Tensor:
    """CLIP image embeddings, (B, D) float32, not normalised."""
    embeddings: Tensor = encoder(pixel_values=pixels.to(encoder.device)).image_embeds
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
