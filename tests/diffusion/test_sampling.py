"""Sampling recovers what a perfect denoiser knows, row by row from each row's own seed."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from mcld.diffusion import (
    Denoise,
    NoiseSchedule,
    SamplingStep,
    ddim_scheduler,
    initial_noise,
    sample,
    signal_levels,
)
from mcld.errors import ConfigError

SHAPE = (4, 6, 5)


def perfect_denoiser(clean: Tensor) -> Denoise:
    """The v that leads to `clean` (C, H, W) from any latent; null rows are led to its negative."""
    alpha_bar_T = signal_levels(NoiseSchedule())

    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        alpha_bar = alpha_bar_T[timestep][:, None, None, None]
        num_conditioned = max(1, latent.shape[0] // 2)
        goal = torch.cat(
            [clean.expand(num_conditioned, *SHAPE), -clean.expand(latent.shape[0] - num_conditioned, *SHAPE)]
        )
        return (alpha_bar**0.5 * latent - goal) / (1 - alpha_bar) ** 0.5

    return denoise


def run(denoise: Denoise, *, seeds: list[int], guidance_scale: float = 1.0, num_steps: int = 5) -> Tensor:
    return sample(
        denoise,
        noise_BCHW=initial_noise(seeds, shape_CHW=SHAPE),
        scheduler=ddim_scheduler(NoiseSchedule()),
        num_steps=num_steps,
        guidance_scale=guidance_scale,
    )


def test_a_perfect_denoiser_leads_to_the_clean_latent() -> None:
    clean = torch.randn(SHAPE)
    torch.testing.assert_close(run(perfect_denoiser(clean), seeds=[3])[0], clean, rtol=1e-3, atol=1e-3)


def test_a_row_depends_on_its_own_seed_only() -> None:
    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        return latent.tanh() * (1 + timestep[:, None, None, None] / 1000)

    together, alone = run(denoise, seeds=[5, 6, 7]), run(denoise, seeds=[6])
    assert torch.equal(together[1], alone[0])


def test_guidance_adds_the_scaled_difference_and_one_is_a_single_pass() -> None:
    rows_seen: list[int] = []
    steps: list[SamplingStep] = []

    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        rows_seen.append(latent.shape[0])
        half = latent.shape[0] // 2
        return torch.cat([torch.ones_like(latent[:half]), torch.zeros_like(latent[half:])])

    sample(
        denoise,
        noise_BCHW=initial_noise([1, 2], shape_CHW=SHAPE),
        scheduler=ddim_scheduler(NoiseSchedule()),
        num_steps=1,
        guidance_scale=3.5,
        on_step=steps.append,
    )
    run(denoise, seeds=[1, 2], num_steps=1)
    assert rows_seen == [4, 2]
    # From pure noise at the last timestep DDIM's clean estimate is -v.
    torch.testing.assert_close(steps[0].latent, torch.full((2, *SHAPE), -3.5))


def test_outside_of_the_interval_there_is_no_guidance_and_half_the_rows() -> None:
    steps: list[SamplingStep] = []

    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        return latent * torch.linspace(0.5, 1.0, latent.shape[0])[:, None, None, None]

    def sampled(interval: tuple[float, float]) -> Tensor:
        return sample(
            denoise,
            noise_BCHW=initial_noise([1], shape_CHW=SHAPE),
            scheduler=ddim_scheduler(NoiseSchedule()),
            num_steps=4,
            guidance_scale=3.5,
            guidance_interval=interval,
            on_step=steps.append,
        )

    sampled((0.25, 0.75))
    assert [step.v_null is not None for step in steps] == [False, True, True, False]
    assert all(step.v_conditioned.shape == (1, *SHAPE) for step in steps)
    assert not torch.equal(sampled((0.25, 0.75)), sampled((0.0, 1.0)))


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_other_v_prediction_schedulers_lead_to_the_clean_latent_too(kind: type) -> None:
    clean = torch.randn(SHAPE)
    scheduler = kind(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
    noise = initial_noise([3], shape_CHW=SHAPE)
    latent = sample(
        perfect_denoiser(clean), noise_BCHW=noise, scheduler=scheduler, num_steps=8, guidance_scale=1.0
    )
    torch.testing.assert_close(latent[0], clean, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("guidance_scale", "num_steps", "message"),
    [
        (0.5, 5, "guidance_scale: 0.5 is below 1"),
        (float("nan"), 5, "guidance_scale: nan"),
        (1.0, 0, "num_steps: 0 is"),
    ],
)
def test_settings_out_of_range_are_refused(guidance_scale: float, num_steps: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(
            perfect_denoiser(torch.zeros(SHAPE)),
            seeds=[1],
            guidance_scale=guidance_scale,
            num_steps=num_steps,
        )


def test_a_scheduler_that_predicts_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="prediction_type is 'epsilon'; MCLD predicts v"):
        sample(
            perfect_denoiser(torch.zeros(SHAPE)),
            noise_BCHW=initial_noise([1], shape_CHW=SHAPE),
            scheduler=DDIMScheduler(),
            num_steps=2,
            guidance_scale=1.0,
        )
