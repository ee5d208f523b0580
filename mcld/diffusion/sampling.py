"""Sampling: from noise to a latent by any model that predicts v, with classifier-free guidance.

    scheduler = ddim_scheduler(NoiseSchedule())
    noise = initial_noise(seeds, shape_CHW=(4, 64, 64))
    latent = sample(denoise, noise_BCHW=noise, scheduler=scheduler, num_steps=20, guidance_scale=3.5)

`denoise(latent, timestep) -> v` sees 2B rows, all conditioned and then all null (Ho & Salimans 2022,
"Classifier-Free Diffusion Guidance"), or B conditioned rows: at every step when guidance_scale is 1, and at
the steps outside of guidance_interval (Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval").

Any diffusers scheduler with v-prediction will do. Each call works on a fresh one of the same settings:
multi-step solvers remember, and a call must not depend on the one before. A row depends on its own noise
only, whatever else is in its batch; with a scheduler that adds noise at every step, too, if each row has its
own generator.

Shapes: B rows, C latent channels, H W latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from mcld.diffusion.schedulers import (
    ALL_STEPS,
    Generators,
    Interval,
    Scheduler,
    check_sampling,
    fresh,
    guided_steps,
    step_options,
)

Denoise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingStep:
    """What happened in one step, for progress bars, previews and tests."""

    index: int
    num_steps: int
    timestep: Tensor  # () as the scheduler counts; a fraction with some spacings
    model_input: Tensor  # (B, C, H, W) the latent as the model saw it
    latent: Tensor  # (B, C, H, W) after the step
    v_conditioned: Tensor  # (B, C, H, W)
    v_null: Tensor | None  # (B, C, H, W) None at a step without guidance


OnStep = Callable[[SamplingStep], Tensor | None]  # a tensor takes the place of the latent


def seeded_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator per seed, on the CPU so that every device draws alike."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def initial_noise(seeds: Sequence[int], *, shape_CHW: tuple[int, int, int]) -> Tensor:
    """One row of standard normal noise per seed, on the CPU."""
    return draw_rows(
        seeded_generators(seeds), shape_BCHW=(len(seeds), *shape_CHW), device=torch.device("cpu")
    )


def draw_rows(
    generator: Generators, *, shape_BCHW: tuple[int, int, int, int], device: torch.device
) -> Tensor:
    """Standard normal noise (B, C, H, W) float32; from a list of generators, each row from its own."""
    noise_BCHW: Tensor = randn_tensor(shape_BCHW, generator=generator, device=device, dtype=torch.float32)
    return noise_BCHW


@torch.no_grad()
def sample(
    denoise: Denoise,
    *,
    noise_BCHW: Tensor,
    scheduler: Scheduler,
    num_steps: int,
    guidance_scale: float,
    guidance_interval: Interval = ALL_STEPS,
    eta: float = 0.0,
    generator: Generators | None = None,
    on_step: OnStep | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Tensor:
    """The final latent (B, C, H, W). guidance_scale 1 is a single pass per step without null rows.

    `guidance_interval`: (from, to), fractions of the steps; the others are a single pass as well.
    `eta` and `generator` are for schedulers that add noise at every step. `is_stopped` is asked before each
    step: once it says yes, the latent is returned as it is. Raises ConfigError as `check_sampling`.
    """
    check_sampling(
        scheduler,
        num_steps=num_steps,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
        eta=eta,
    )
    scheduler = fresh(scheduler)
    scheduler.set_timesteps(num_steps, device=noise_BCHW.device)
    options = step_options(scheduler, eta=eta, generator=generator)
    # Not num_steps: some schedulers look twice at a step.
    guided = guided_steps(guidance_interval, num_steps=len(scheduler.timesteps))
    latent = noise_BCHW * scheduler.init_noise_sigma
    for index, timestep in enumerate(scheduler.timesteps):
        if is_stopped():
            break
        model_input = scheduler.scale_model_input(latent, timestep)
        v_conditioned, v_null = _predict(
            denoise, model_input, timestep=timestep, guided=guidance_scale != 1.0 and index in guided
        )
        v = v_conditioned if v_null is None else v_null + guidance_scale * (v_conditioned - v_null)
        latent = scheduler.step(v, timestep, latent, **options).prev_sample
        if on_step is not None:
            step = SamplingStep(
                index=index,
                num_steps=len(scheduler.timesteps),
                timestep=timestep,
                model_input=model_input,
                latent=latent,
                v_conditioned=v_conditioned,
                v_null=v_null,
            )
            changed = on_step(step)
            latent = latent if changed is None else changed
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
