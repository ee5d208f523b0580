"""Sampling: from noise to a latent by any model that predicts v, with classifier-free guidance.

    scheduler = ddim_scheduler(NoiseSchedule())
    noise = initial_noise(seeds, shape_CHW=(4, 64, 64))
    latent = sample(denoise, noise_BCHW=noise, scheduler=scheduler, num_steps=20, guidance_scale=3.5)

`denoise(latent, timestep) -> v` sees 2B rows, all conditioned and then all null, or B conditioned rows when
guidance_scale is 1 (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance").

Any diffusers scheduler with v-prediction will do. Each call works on a fresh one of the same settings:
multi-step solvers remember, and a call must not depend on the one before. A row depends on its own noise
only, whatever else is in its batch; with a scheduler that adds noise at every step, too, if each row has its
own generator.

Shapes: B rows, C latent channels, H W latent size.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from mcld.diffusion.schedule import NoiseSchedule
from mcld.errors import ConfigError

Denoise = Callable[[Tensor, Tensor], Tensor]
Generators = torch.Generator | list[torch.Generator]  # one for the batch, or one a row


class SchedulerResult(Protocol):
    """What a scheduler's step returns."""

    @property
    def prev_sample(self) -> Tensor:
        """The latent at the next, less noisy timestep."""


class Scheduler(Protocol):
    """What `sample` uses of a diffusers scheduler; `step` may also take `generator` and `eta`."""

    config: Any
    timesteps: Tensor
    init_noise_sigma: float

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
    timestep: Tensor  # () as the scheduler counts; a fraction with some spacings
    model_input: Tensor  # (B, C, H, W) the latent as the model saw it
    latent: Tensor  # (B, C, H, W) after the step
    v_conditioned: Tensor  # (B, C, H, W)
    v_null: Tensor | None  # (B, C, H, W) None without guidance


OnStep = Callable[[SamplingStep], Tensor | None]  # a tensor takes the place of the latent


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
    eta: float = 0.0,
    generator: Generators | None = None,
    on_step: OnStep | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Tensor:
    """The final latent (B, C, H, W). guidance_scale 1 is a single pass per step without null rows.

    `eta` and `generator` are for schedulers that add noise at every step. `is_stopped` is asked before each
    step: once it says yes, the latent is returned as it is. Raises ConfigError as `check_sampling`.
    """
    check_sampling(scheduler, num_steps=num_steps, guidance_scale=guidance_scale, eta=eta)
    scheduler = _fresh(scheduler)
    scheduler.set_timesteps(num_steps, device=noise_BCHW.device)
    options = _step_options(scheduler, eta=eta, generator=generator)
    latent = noise_BCHW * scheduler.init_noise_sigma
    for index, timestep in enumerate(scheduler.timesteps):
        if is_stopped():
            break
        model_input = scheduler.scale_model_input(latent, timestep)
        v_conditioned, v_null = _predict(
            denoise, model_input, timestep=timestep, guided=guidance_scale != 1.0
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


def check_sampling(scheduler: Scheduler, *, num_steps: int, guidance_scale: float, eta: float = 0.0) -> None:
    """Raises ConfigError for a scheduler that does not predict v, or a setting out of its bounds."""
    # Not the config alone: a scheduler without prediction_type keeps one it was given, and ignores it.
    if "prediction_type" not in _parameters(type(scheduler)):
        raise ConfigError(
            f"scheduler: {type(scheduler).__name__} has no prediction_type; MCLD predicts v, use one that "
            "can be told so, such as DDIM, DPM-Solver++ or UniPC"
        )
    prediction = scheduler.config.prediction_type
    if prediction != "v_prediction":
        raise ConfigError(
            f"scheduler: prediction_type is '{prediction}'; MCLD predicts v, set 'v_prediction'"
        )
    if not 1 <= num_steps <= scheduler.config.num_train_timesteps:
        raise ConfigError(f"num_steps: {num_steps} is outside 1..{scheduler.config.num_train_timesteps}")
    if not guidance_scale >= 1.0:  # so written, it also refuses NaN
        raise ConfigError(f"guidance_scale: {guidance_scale} is below 1, where 1 already means no guidance")
    if math.isinf(guidance_scale):
        raise ConfigError("guidance_scale: inf is not finite; 1 to 10 is usual")
    if not 0.0 <= eta <= 1.0:
        raise ConfigError(f"eta: {eta} is outside 0..1, from deterministic DDIM to DDPM")
    if eta and "eta" not in _parameters(scheduler.step):
        raise ConfigError(f"eta: {eta}, but {type(scheduler).__name__} has no eta; use DDIMScheduler or 0")


def _fresh(scheduler: Scheduler) -> Scheduler:
    fresh: Scheduler = type(scheduler).from_config(scheduler.config)  # type: ignore[attr-defined]
    return fresh


def _step_options(scheduler: Scheduler, *, eta: float, generator: Generators | None) -> dict[str, Any]:
    """What this scheduler's step takes beyond v, timestep and latent: diffusers' schedulers differ in it."""
    options = {"eta": eta, "generator": generator}
    return {name: value for name, value in options.items() if name in _parameters(scheduler.step)}


def _parameters(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _predict(
    denoise: Denoise, latent_BCHW: Tensor, *, timestep: Tensor, guided: bool
) -> tuple[Tensor, Tensor | None]:
    rows = torch.cat([latent_BCHW, latent_BCHW]) if guided else latent_BCHW
    v = denoise(rows, timestep.expand(rows.shape[0]))
    if not guided:
        return v, None
    v_conditioned, v_null = v.chunk(2)
    return v_conditioned, v_null
