"""Render batches of pairs: conditions and one seed a pair in, images out.

Shapes: B batch, C latent channels, H W pixels, h w = H/8 W/8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.conditions.latents import decode_latents, sample_moments
from mcld.config import GenerateParams
from mcld.devices import on_device
from mcld.diffusion import NoiseSchedule, ddim_scheduler, initial_noise, sample
from mcld.models import MCLD
from mcld.types import Conditions, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A trained model with the VAE that decodes for it."""

    model: MCLD
    vae: AutoencoderKL

    @property
    def scaling_factor(self) -> float:
        """What VAE latents are multiplied by for the denoiser."""
        return float(self.vae.config.scaling_factor)

    @property
    def device(self) -> torch.device:
        """Where both models are."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def render(self, samples: Sequence[Sample], *, seeds: Sequence[int], params: GenerateParams) -> Tensor:
        """Images (B, 3, H, W) float32 in [0, 1]. Row i depends on sample i and seed i alone."""
        conditions = on_device(conditions_of(samples, scaling_factor=self.scaling_factor), device=self.device)
        prepared = self.model.prepare(conditions, with_null=params.guidance_scale != 1.0)
        channels, height, width = latent_shape(samples[0])

        def denoise(latent_BCHW: Tensor, timestep_B: Tensor) -> Tensor:
            return self.model.denoise(latent_BCHW, timestep_B=timestep_B, prepared=prepared)

        latents = sample(
            denoise,
            noise_BCHW=initial_noise(seeds, shape_CHW=(channels, height, width)).to(self.device),
            scheduler=ddim_scheduler(NoiseSchedule(beta_curve=params.beta_schedule)),
            num_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
        )
        return decode_latents(self.vae, latents=latents, scaling_factor=self.scaling_factor).cpu()

    @torch.no_grad()
    def reconstruct(self, samples: Sequence[Sample]) -> Tensor:
        """The targets through the VAE alone, the best any sample can be: (B, 3, H, W) float32 in [0, 1]."""
        moments = torch.from_numpy(np.stack([item.target_moments for item in samples]))
        mean, _ = moments.chunk(2, dim=1)
        return decode_latents(self.vae, latents=mean.to(self.device), scaling_factor=1.0).cpu()


def latent_shape(item: Sample) -> tuple[int, int, int]:
    """(C, h, w) of a sample's target."""
    doubled, height, width = item.target_moments.shape
    return doubled // 2, height, width


def conditions_of(samples: Sequence[Sample], *, scaling_factor: float) -> Conditions:
    """Stack samples; the texture latent is the mean of its moments, as in the authors' sampling."""
    texture_moments = torch.from_numpy(np.stack([item.texture_moments for item in samples]))
    no_noise = torch.zeros(texture_moments.chunk(2, dim=1)[0].shape)
    return Conditions(
        target_iuv=torch.from_numpy(np.stack([item.target_iuv for item in samples]))
        .permute(0, 3, 1, 2)
        .contiguous(),
        texture_latent=sample_moments(texture_moments, noise=no_noise, scaling_factor=scaling_factor),
        image_embedding=torch.from_numpy(np.stack([item.image_embedding for item in samples])),
        texture_embedding=torch.from_numpy(np.stack([item.texture_embedding for item in samples])),
        face_embedding=torch.from_numpy(np.stack([item.face_embedding for item in samples])),
        face_found=torch.tensor([item.face_found for item in samples]),
    )
