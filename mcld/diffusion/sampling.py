"""Sampling: from noise to a latent by any model that predicts v, with classifier-free guidance.

    scheduler = ddim_scheduler(NoiseSchedule())
    noise = initial_noise(seeds, shape_CHW=(4, 64, 64))
    latent = sample(denoise, noise_BCHW=noise, scheduler=scheduler, num_steps=20, guidance_scale=3.5)

`denoise(latent, timestep) -> v` sees 2B rows, all conditioned and then all null, or B conditioned rows when
guidance_scale is 1 (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance"). With DDIM a row depends on its
own seed only, whatever else is in its batch.

Shapes: B rows, C latent channels, H W latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from mcld.diffusion.schedule import NoiseSchedule
from mcld.errors import ConfigError

Denoise = Callable[[Tensor, Tensor], Tensor]


class SchedulerResult(Protocol):
    """What a scheduler's step returns."""

    @property
    def prev_sample(self) -> Tensor:
        """The latent at the next, less noisy timestep."""


class Scheduler(Protocol):
    """What `sample` uses of a diffusers scheduler."""

    config: Any
    timesteps: Tensor

    def set_timesteps(self, num_inference_steps: int, device: torch.device | None = None) -> None:
        """Choose the timesteps."""

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """The latent as the model wants to see it."""

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor) -> SchedulerResult:
        """One step towards less noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingStep:
    """What happened in one step, for progress bars, previews and tests."""

    index: int
    num_steps: int
    timestep: int
    latent: Tensor  # (B, C, H, W) after the step
    v_conditioned: Tensor  # (B, C, H, W)
    v_null: Tensor | None  # (B, C, H, W) None without guidance


OnStep = Callable[[SamplingStep], None]


def ddim_scheduler(schedule: NoiseSchedule) -> DDIMScheduler:
    """Deterministic DDIM with v-prediction and trailing timesteps on `schedule`."""
    return DDIMScheduler(
        num_train_timesteps=schedule.num_timesteps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule=schedule.beta_curve,
        rescale_betas_zero_snr=schedule.zero_terminal_snr,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )


def initial_noise(seeds: Sequence[int], *, shape_CHW: tuple[int, int, int]) -> Tensor:
    """One row of standard normal noise per seed, drawn on the CPU so that every device starts alike."""
    rows = [torch.randn(shape_CHW, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)


@torch.no_grad()
def sample(
    denoise: Denoise,
    *,
    noise_BCHW: Tensor,
    scheduler: Scheduler,
    num_steps: int,
    guidance_scale: float,
    on_step: OnStep | None = None,
) -> Tensor:
    """The final latent (B, C, H, W). guidance_scale 1 is a single pass per step without null rows."""
    _check(scheduler, num_steps=num_steps, guidance_scale=guidance_scale)
    scheduler.set_timesteps(num_steps, device=noise_BCHW.device)
    latent = noise_BCHW
    for index, timestep in enumerate(scheduler.timesteps):
        model_input = scheduler.scale_model_input(latent, timestep)
        v_conditioned, v_null = _predict(
            denoise, model_input, timestep=timestep, guided=guidance_scale != 1.0
        )
        v = v_conditioned if v_null is None else v_null + guidance_scale * (v_conditioned - v_null)
        latent = scheduler.step(v, timestep, latent).prev_sample
        if on_step is not None:
            step = SamplingStep(
                index=index,
                num_steps=num_steps,
                timestep=int(timestep),
                latent=latent,
                v_conditioned=v_conditioned,
                v_null=v_null,
            )
            on_step(step)
    return latent


def _predict(
    denoise: Denoise, latent_BCHW: Tensor, *, timestep: Tensor, guided: bool
) -> tuple[Tensor, Tensor | None]:
    rows = torch.cat([latent_BCHW, latent_BCHW]) if guided else latent_BCHW
    v = denoise(rows, timestep.expand(rows.shape[0]))
    if not guided:
        return v, None
    v_conditioned, v_null = v.chunk(2)
    return v_conditioned, v_null


def _check(scheduler: Scheduler, *, num_steps: int, guidance_scale: float) -> None:
    prediction = scheduler.config.prediction_type
    if prediction != "v_prediction":
        raise ConfigError(
            f"scheduler: prediction_type is '{prediction}'; MCLD predicts v, set 'v_prediction'"
        )
    if not 1 <= num_steps <= scheduler.config.num_train_timesteps:
        raise ConfigError(f"num_steps: {num_steps} is outside 1..{scheduler.config.num_train_timesteps}")
    if not guidance_scale >= 1.0:  # so written, it also refuses NaN
        raise ConfigError(f"guidance_scale: {guidance_scale} is below 1, where 1 already means no guidance")
