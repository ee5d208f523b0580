"""Every solver we name follows the same path from pure noise, and what would leave it is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DEISMultistepScheduler, EulerDiscreteScheduler
from torch import Tensor

from mcld.diffusion import (
    Denoise,
    NoiseSchedule,
    Scheduler,
    check_sampling,
    ddim_scheduler,
    guided_steps,
    initial_noise,
    sample,
    signal_levels,
)
from mcld.errors import ConfigError
from mcld.inference.settings import SchedulerName, scheduler_of

SHAPE = (4, 6, 5)
DDIM = ddim_scheduler(NoiseSchedule())
SOLVERS: tuple[SchedulerName, ...] = ("ddim", "dpm-solver++", "unipc", "euler")
MEAN, DEVIATION = 0.7, 0.4


def best_guess(latent: Tensor, timestep: Tensor) -> Tensor:
    """The v of a perfect model of normally distributed latents: the posterior mean, known in closed form."""
    alpha_bar = signal_levels(NoiseSchedule())[timestep.long()][:, None, None, None]
    variance = alpha_bar * DEVIATION**2 + 1 - alpha_bar
    clean = MEAN + alpha_bar**0.5 * DEVIATION**2 / variance * (latent - alpha_bar**0.5 * MEAN)
    return (alpha_bar**0.5 * latent - clean) / (1 - alpha_bar) ** 0.5


def leading_to(clean: Tensor) -> Denoise:
    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        alpha_bar = signal_levels(NoiseSchedule())[timestep.long()][:, None, None, None]
        return (alpha_bar**0.5 * latent - clean) / (1 - alpha_bar) ** 0.5

    return denoise


def sampled(scheduler: Scheduler, denoise: Denoise, *, num_steps: int) -> Tensor:
    noise = initial_noise([3], shape_CHW=SHAPE)
    return sample(denoise, noise_BCHW=noise, scheduler=scheduler, num_steps=num_steps, guidance_scale=1.0)


def error(name: SchedulerName, *, num_steps: int) -> float:
    """How far from the end of the exact path: noise n ends at mean + deviation * n."""
    expected = MEAN + DEVIATION * initial_noise([3], shape_CHW=SHAPE)
    found = sampled(scheduler_of(name, like=DDIM), best_guess, num_steps=num_steps)
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("num_steps", [1, 2, 8, 10, 12, 20])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_leads_from_pure_noise_to_the_clean_latent(name: SchedulerName, num_steps: int) -> None:
    clean = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    found = sampled(scheduler_of(name, like=DDIM), leading_to(clean), num_steps=num_steps)[0]
    torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SOLVERS)
def test_more_steps_come_closer_to_the_exact_path(name: SchedulerName) -> None:
    assert error(name, num_steps=40) < error(name, num_steps=10) < error(name, num_steps=5)


@pytest.mark.parametrize("name", ["dpm-solver++", "unipc"])
@pytest.mark.parametrize(("num_steps", "share"), [(8, 0.93), (12, 0.88), (40, 0.7)])
def test_solvers_of_second_order_are_closer_than_ddim(
    name: SchedulerName, num_steps: int, share: float
) -> None:
    # With few steps not by much: the last one, to no noise at all, is of first order for every solver.
    assert error(name, num_steps=num_steps) < share * error("ddim", num_steps=num_steps)


@pytest.mark.parametrize("num_steps", [5, 8, 10, 20])
def test_euler_walks_the_path_of_ddim(num_steps: int) -> None:
    ddim, euler = (
        sampled(scheduler_of(name, like=DDIM), best_guess, num_steps=num_steps) for name in ("ddim", "euler")
    )
    torch.testing.assert_close(euler, ddim, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_number_of_steps_that_rounds_to_one_more_is_refused(name: SchedulerName) -> None:
    with pytest.raises(ConfigError, match=r"num_steps: 61 makes \w+ end at timestep -1"):
        check_sampling(scheduler_of(name, like=DDIM), num_steps=61, guidance_scale=1.0)


def test_a_scheduler_that_cannot_start_from_pure_noise_is_refused() -> None:
    scheduler = DEISMultistepScheduler.from_config(DDIM.config)
    with pytest.raises(ConfigError, match="DEISMultistepScheduler has no rescale_betas_zero_snr"):
        check_sampling(scheduler, num_steps=10, guidance_scale=1.0)
    # On a schedule that keeps some signal it is as good as any.
    kept = ddim_scheduler(NoiseSchedule(zero_terminal_snr=False))
    check_sampling(DEISMultistepScheduler.from_config(kept.config), num_steps=10, guidance_scale=1.0)


def test_timesteps_on_another_scale_are_refused() -> None:
    scheduler = EulerDiscreteScheduler.from_config(DDIM.config, timestep_type="continuous")
    with pytest.raises(ConfigError, match="EulerDiscreteScheduler end at timestep -"):
        check_sampling(scheduler, num_steps=10, guidance_scale=1.0)


@pytest.mark.parametrize(
    ("interval", "num_steps", "expected"),
    [
        ((0.0, 1.0), 7, range(7)),
        ((0.2, 0.8), 10, range(2, 8)),
        ((0.0, 0.5), 5, range(2)),
        ((0.24, 0.76), 4, range(1, 3)),
    ],
)
def test_an_interval_is_rounded_to_whole_steps(
    interval: tuple[float, float], num_steps: int, expected: range
) -> None:
    assert guided_steps(interval, num_steps=num_steps) == expected


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ((0.5, 0.5), r"\(0.5, 0.5\) is no interval within 0..1"),
        ((-0.1, 0.5), r"\(-0.1, 0.5\) is no interval"),
        ((0.2, 1.1), r"\(0.2, 1.1\) is no interval"),
        ((float("nan"), 1.0), r"\(nan, 1.0\) is no interval"),
        ((0.41, 0.44), r"\(0.41, 0.44\) holds none of 10 steps; widen it"),
    ],
)
def test_an_interval_without_steps_is_refused(interval: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sampling(DDIM, num_steps=10, guidance_scale=2.0, guidance_interval=interval)
