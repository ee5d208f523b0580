"""What sampling asks of a diffusers scheduler, and which schedulers and settings it refuses.

Any of diffusers' schedulers that predicts v on the model's own noise schedule will do. Refused is what would
quietly sample something else: another prediction, a schedule whose last timestep still holds signal when the
model's holds none, or timesteps that the model never saw.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from mcld.diffusion.schedule import NoiseSchedule
from mcld.errors import ConfigError

Generators = torch.Generator | list[torch.Generator]  # one for the batch, or one a row
Interval = tuple[float, float]  # from, to: fractions of the steps, 0 to 1
ALL_STEPS: Interval = (0.0, 1.0)


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


def fresh(scheduler: Scheduler) -> Scheduler:
    """One of the same settings that has not sampled yet."""
    anew: Scheduler = type(scheduler).from_config(scheduler.config)  # type: ignore[attr-defined]
    return anew


def step_options(scheduler: Scheduler, *, eta: float, generator: Generators | None) -> dict[str, Any]:
    """What this scheduler's step takes beyond v, timestep and latent: diffusers' schedulers differ in it."""
    options = {"eta": eta, "generator": generator}
    return {name: value for name, value in options.items() if name in _parameters(scheduler.step)}


def guided_steps(interval: Interval, *, num_steps: int) -> range:
    """The steps in which there is guidance: the interval's ends, rounded to whole steps."""
    start, end = interval
    return range(round(start * num_steps), round(end * num_steps))


def check_sampling(
    scheduler: Scheduler,
    *,
    num_steps: int,
    guidance_scale: float,
    guidance_interval: Interval = ALL_STEPS,
    eta: float = 0.0,
) -> None:
    """Raises ConfigError for a scheduler that cannot sample such a model, or a setting out of its bounds."""
    _check_scheduler(scheduler)
    if not 1 <= num_steps <= scheduler.config.num_train_timesteps:
        raise ConfigError(f"num_steps: {num_steps} is outside 1..{scheduler.config.num_train_timesteps}")
    _check_timesteps(scheduler, num_steps=num_steps)
    if not guidance_scale >= 1.0:  # so written, it also refuses NaN
        raise ConfigError(f"guidance_scale: {guidance_scale} is below 1, where 1 already means no guidance")
    if math.isinf(guidance_scale):
        raise ConfigError("guidance_scale: inf is not finite; 1 to 10 is usual")
    check_interval(guidance_interval, num_steps=num_steps)
    if not 0.0 <= eta <= 1.0:
        raise ConfigError(f"eta: {eta} is outside 0..1, from deterministic DDIM to DDPM")
    if eta and "eta" not in _parameters(scheduler.step):
        raise ConfigError(f"eta: {eta}, but {type(scheduler).__name__} has no eta; use DDIMScheduler or 0")


def check_interval(interval: Interval, *, num_steps: int) -> None:
    """Raises ConfigError unless it is (from, to) with 0 <= from < to <= 1 and holds a step."""
    start, end = interval
    if not 0.0 <= start < end <= 1.0:
        raise ConfigError(
            f"guidance_interval: ({start}, {end}) is no interval within 0..1, the fractions of the steps; "
            "(0, 1) is all of them"
        )
    if not guided_steps(interval, num_steps=num_steps):
        raise ConfigError(
            f"guidance_interval: ({start}, {end}) holds none of {num_steps} steps; "
            "widen it, or set guidance_scale to 1"
        )


def _check_scheduler(scheduler: Scheduler) -> None:
    name = type(scheduler).__name__
    # Not the config alone: a scheduler without such a parameter keeps one it was given, and ignores it.
    if "prediction_type" not in _parameters(type(scheduler)):
        raise ConfigError(
            f"scheduler: {name} has no prediction_type; MCLD predicts v, use one that "
            "can be told so, such as DDIM, DPM-Solver++ or UniPC"
        )
    prediction = scheduler.config.prediction_type
    if prediction != "v_prediction":
        raise ConfigError(
            f"scheduler: prediction_type is '{prediction}'; MCLD predicts v, set 'v_prediction'"
        )
    wants_no_signal = scheduler.config.get("rescale_betas_zero_snr", False)
    if wants_no_signal and "rescale_betas_zero_snr" not in _parameters(type(scheduler)):
        raise ConfigError(
            f"scheduler: {name} has no rescale_betas_zero_snr, and would take pure noise for a latent with "
            "some signal; use one that has it, such as DDIM, DPM-Solver++, UniPC or Euler"
        )


def _check_timesteps(scheduler: Scheduler, *, num_steps: int) -> None:
    """diffusers' trailing spacing rounds to a step too many at some numbers, 61 of 1000 the first."""
    anew = fresh(scheduler)
    anew.set_timesteps(num_steps)
    last = float(anew.timesteps.min())
    if last < 0:
        raise ConfigError(
            f"num_steps: {num_steps} makes {type(scheduler).__name__} end at timestep {last:g}, which no "
            "model was trained for; choose another number"
        )


def _parameters(function: Callable[..., object]) -> set[str]:
    return set(inspect.signature(function).parameters)
