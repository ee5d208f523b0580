"""What the VAE alone costs a picture: through it and back, and back from a latent that is slightly off.

Shapes: H W pixels, C latent channels, h w = H/8 W/8 latent cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.conditions.latents import decode_latents, encode_moments, image_batch, sample_moments
from mcld.diffusion import initial_noise


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedPicture:
    """What came back of a picture, each (H, W, 3) float32 in [0, 1]; `latent_std` is of its scaled latent."""

    reconstruction: np.ndarray
    deviated: np.ndarray
    latent_std: float


def probe_picture(picture: np.ndarray, *, vae: AutoencoderKL, deviation: float, seed: int) -> ProbedPicture:
    """Encode (H, W, 3) uint8 RGB and decode it twice: from its latent z, and from z + deviation * n.

    z is what the denoiser learns to make: the mean of the VAE's moments times its scaling factor (0.18215),
    of a standard deviation near 1. n is standard normal noise, independent in every channel and cell, drawn
    from `seed`. So a deviation of 0.2 is an error of about a fifth of a latent's own spread. The paper names
    the number; the unit is our reading of it. With 0 both pictures are equal. H and W are multiples of 8.
    """
    moments = encode_moments(vae, images=image_batch([picture], device=vae.device))
    scaling_factor = float(vae.config.scaling_factor)
    no_noise = torch.zeros_like(moments.chunk(2, dim=1)[0])
    latent_1Chw = sample_moments(moments, noise=no_noise, scaling_factor=scaling_factor)
    _, channels, height, width = latent_1Chw.shape
    noise_1Chw = initial_noise([seed], shape_CHW=(channels, height, width))

    def decoded(latents: Tensor) -> np.ndarray:
        latents = latents.to(vae.device, vae.dtype)
        pixels = decode_latents(vae, latents=latents, scaling_factor=scaling_factor)
        picture_HW3: np.ndarray = pixels[0].permute(1, 2, 0).cpu().numpy()
        return picture_HW3

    return ProbedPicture(
        reconstruction=decoded(latent_1Chw),
        deviated=decoded(latent_1Chw + deviation * noise_1Chw),
        latent_std=float(latent_1Chw.std()),
    )
