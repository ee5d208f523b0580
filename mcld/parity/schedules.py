"""The noise schedules and samplers that a golden folder was recorded with, made from our own.

Recorded settings are the arguments of a diffusers DDIMScheduler; what they leave out is its default.
"""

from __future__ import annotations

from typing import cast

from diffusers import DDIMScheduler

from mcld.diffusion import NoiseSchedule, ddim_scheduler
from mcld.diffusion.schedule import BetaCurve
from mcld.parity.settings import Settings

BETA_CURVES = ("scaled_linear", "linear")
SPACINGS = ("trailing", "leading", "linspace")


def noise_schedule(recorded: Settings) -> NoiseSchedule:
    """Our schedule of these settings. Raises DataError for one that we do not have."""
    settings = _with_defaults(recorded)
    return NoiseSchedule(
        beta_curve=cast(BetaCurve, settings.choice("beta_schedule", choices=BETA_CURVES)),
        beta_start=settings.number("beta_start"),
        beta_end=settings.number("beta_end"),
        num_timesteps=settings.integer("num_train_timesteps"),
        zero_terminal_snr=settings.flag("rescale_betas_zero_snr"),
    )


def sampler(recorded: Settings) -> DDIMScheduler:
    """Our sampler of these settings; those that it fixes are set as recorded."""
    settings = _with_defaults(recorded)
    ours = ddim_scheduler(noise_schedule(recorded))
    fixed = {
        "timestep_spacing": settings.choice("timestep_spacing", choices=SPACINGS),
        "prediction_type": settings.choice("prediction_type", choices=("v_prediction",)),
        "steps_offset": settings.integer("steps_offset", minimum=0),
        "clip_sample": settings.flag("clip_sample"),
        "clip_sample_range": settings.number("clip_sample_range"),
        "set_alpha_to_one": settings.flag("set_alpha_to_one"),
    }
    scheduler = DDIMScheduler.from_config({**ours.config, **fixed})
    assert isinstance(scheduler, DDIMScheduler)
    return scheduler


def _with_defaults(recorded: Settings) -> Settings:
    return Settings(place=recorded.place, values={**DDIMScheduler().config, **recorded.values})
