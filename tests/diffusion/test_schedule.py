"""The schedule has diffusers' numbers, and noising and v-target undo each other."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from mcld.diffusion import (
    NoiseSchedule,
    add_noise,
    ddim_scheduler,
    draw_noise,
    offset_noise,
    signal_levels,
    signal_to_noise,
    v_target,
)


@pytest.mark.parametrize("beta_curve", ["linear", "scaled_linear"])
@pytest.mark.parametrize("zero_terminal_snr", [True, False])
def test_signal_levels_are_those_of_diffusers_bit_for_bit(beta_curve: str, zero_terminal_snr: bool) -> None:
    schedule = NoiseSchedule(beta_curve=beta_curve, zero_terminal_snr=zero_terminal_snr)  # type: ignore[arg-type]
    theirs = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule=beta_curve,
        rescale_betas_zero_snr=zero_terminal_snr,
    ).alphas_cumprod
    assert torch.equal(signal_levels(schedule), theirs)


def test_the_last_timestep_has_no_signal() -> None:
    last = signal_levels(NoiseSchedule())[-1:]
    assert float(last) == 0.0
    assert float(signal_to_noise(last)) == 0.0


def test_noising_and_v_target_are_those_of_diffusers() -> None:
    scheduler = ddim_scheduler(NoiseSchedule())
    latent, noise = torch.randn(3, 4, 5, 6), torch.randn(3, 4, 5, 6)
    timestep = torch.tensor([0, 480, 999])
    alpha_bar = signal_levels(NoiseSchedule())[timestep]
    ours = add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    torch.testing.assert_close(ours, scheduler.add_noise(latent, noise, timestep))
    target = v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    torch.testing.assert_close(target, scheduler.get_velocity(latent, noise, timestep))


def test_trailing_timesteps_start_at_the_last_and_are_evenly_spaced() -> None:
    scheduler = ddim_scheduler(NoiseSchedule())
    scheduler.set_timesteps(20)
    assert scheduler.timesteps.tolist() == [round(1000 - index * 50) - 1 for index in range(20)]


def test_offset_noise_shifts_whole_channels_and_comes_from_the_generator() -> None:
    noise = torch.randn(2, 3, 4, 4)
    shifted = offset_noise(noise, generator=torch.Generator().manual_seed(1), strength=0.05)
    shift = shifted - noise
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift))
    again = offset_noise(noise, generator=torch.Generator().manual_seed(1), strength=0.05)
    assert torch.equal(shifted, again)
    plain = draw_noise((2, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    drawn = draw_noise((2, 3, 4, 4), generator=torch.Generator().manual_seed(1), offset_strength=0.05)
    assert not torch.equal(plain, drawn)
