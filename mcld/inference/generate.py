"""Render batches of pairs: conditions and noise in, images out.

Shapes: B batch, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.conditions.latents import decode_latents, sample_moments
from mcld.config import DiffusionParams, GenerateParams
from mcld.diffusion import Generators, NoiseSchedule, ddim_scheduler
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from mcld.models import MCLD
from mcld.types import Conditions, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A trained model with the VAE that decodes for it, and the noise schedule to sample by."""

    model: MCLD
    vae: AutoencoderKL
    schedule: NoiseSchedule

    @property
    def scaling_factor(self) -> float:
        """What VAE latents are multiplied by for the denoiser."""
        return float(self.vae.config.scaling_factor)

    @property
    def device(self) -> torch.device:
        """Where both models are."""
        return next(self.model.parameters()).device

    def render(self, samples: Sequence[Sample], *, generator: Generators, params: GenerateParams) -> Tensor:
        """Images (B, 3, H, W) float32 in [0, 1]. With a generator a row, row i depends on sample i alone."""
        images, _ = self._render(samples, generator=generator, params=params, steps=())
        return images

    def render_with_maps(
        self,
        samples: Sequence[Sample],
        *,
        generator: Generators,
        params: GenerateParams,
        steps: Sequence[int],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The same images, and where each condition spoke: `focal_maps` (B, h, w), means over `steps`."""
        images, maps = self._render(samples, generator=generator, params=params, steps=steps)
        found = list(maps.values())
        return images, {name: torch.stack([one[name] for one in found]).mean(0) for name in found[0]}

    def _render(
        self,
        samples: Sequence[Sample],
        *,
        generator: Generators,
        params: GenerateParams,
        steps: Sequence[int],
    ) -> tuple[Tensor, dict[int, dict[str, Tensor]]]:
        pipeline = MCLDPipeline(model=self.model, vae=self.vae, scheduler=ddim_scheduler(self.schedule))
        pipeline.set_progress_bar_config(disable=True)
        output = pipeline(
            conditions_of(samples, scaling_factor=self.scaling_factor),
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            generator=generator,
            output_type="pt",
            attention_maps_at=steps,
        )
        assert isinstance(output, MCLDPipelineOutput)
        assert isinstance(output.images, Tensor)
        return output.images.cpu(), output.attention_maps or {}

    @torch.no_grad()
    def reconstruct(self, samples: Sequence[Sample]) -> Tensor:
        """The targets through the VAE alone, the best any sample can be: (B, 3, H, W) float32 in [0, 1]."""
        moments = torch.from_numpy(np.stack([item.target_moments for item in samples]))
        mean, _ = moments.chunk(2, dim=1)
        return decode_latents(self.vae, latents=mean.to(self.device), scaling_factor=1.0).cpu()


def sampling_schedule(params: GenerateParams, *, diffusion: DiffusionParams) -> NoiseSchedule:
    """The noise schedule to sample by: that of the training, `diffusion`, unless another is asked for."""
    wanted = params.beta_schedule
    return NoiseSchedule(beta_curve=diffusion.beta_schedule if wanted == "training" else wanted)


def generator_after(seed: int, *, num_rows: int, shape_CHW: tuple[int, int, int]) -> torch.Generator:
    """A stream of noise from which `num_rows` rows are drawn already, as in one run through all pairs."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_rows):
        torch.randn(shape_CHW, generator=generator)
    return generator


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
