"""The noise schedule: how much signal is left at each timestep, and what the model must predict there.

Zero terminal SNR and trailing timesteps (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps
are Flawed"), v-prediction (Salimans & Ho 2022). Numbers are those of diffusers' DDIMScheduler, bit for bit.

    alpha_bar_T = signal_levels(NoiseSchedule())            # once
    alpha_bar_B = alpha_bar_T[timestep_B]                   # every step
    noisy = add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar_B)
    target = v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar_B)

Shapes: T timesteps, B rows, C latent channels, H W latent size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

BetaCurve = Literal["scaled_linear", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSchedule:
    """What defines a schedule. The authors train with scaled_linear and sample with linear betas."""

    beta_curve: BetaCurve = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_timesteps: int = 1000
    zero_terminal_snr: bool = True


def signal_levels(schedule: NoiseSchedule) -> Tensor:
    """The share of signal variance left at each timestep: alpha-bar (T,) float32."""
    if schedule.beta_curve == "linear":
        beta_T = torch.linspace(schedule.beta_start, schedule.beta_end, schedule.num_timesteps)
    else:
        root_T = torch.linspace(schedule.beta_start**0.5, schedule.beta_end**0.5, schedule.num_timesteps)
        beta_T = root_T**2
    if schedule.zero_terminal_snr:
        beta_T = _rescale_to_zero_terminal_snr(beta_T)
    return torch.cumprod(1.0 - beta_T, dim=0)


def add_noise(latent_BCHW: Tensor, *, noise_BCHW: Tensor, alpha_bar_B: Tensor) -> Tensor:
    """z_t = sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps."""
    signal, spread = _mixing(alpha_bar_B)
    return signal * latent_BCHW + spread * noise_BCHW


def v_target(latent_BCHW: Tensor, *, noise_BCHW: Tensor, alpha_bar_B: Tensor) -> Tensor:
    """v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) z."""
    signal, spread = _mixing(alpha_bar_B)
    return signal * noise_BCHW - spread * latent_BCHW


def signal_to_noise(alpha_bar_B: Tensor) -> Tensor:
    """SNR (B,) = alpha_bar / (1 - alpha_bar); 0 at the last timestep."""
    return alpha_bar_B / (1.0 - alpha_bar_B)


def draw_noise(shape: tuple[int, ...], *, generator: torch.Generator, offset_strength: float = 0.0) -> Tensor:
    """Standard normal noise on the generator's device, with noise offset if asked for."""
    noise_BCHW = torch.randn(shape, generator=generator, device=generator.device)
    if offset_strength == 0.0:
        return noise_BCHW
    return offset_noise(noise_BCHW, generator=generator, strength=offset_strength)


def offset_noise(noise_BCHW: Tensor, *, generator: torch.Generator, strength: float) -> Tensor:
    """Noise offset (Guttenberg 2023): one more draw per row and channel, to learn overall brightness."""
    shape_BC11 = (*noise_BCHW.shape[:2], 1, 1)
    return noise_BCHW + strength * torch.randn(shape_BC11, generator=generator, device=noise_BCHW.device)


def _mixing(alpha_bar_B: Tensor) -> tuple[Tensor, Tensor]:
    alpha_bar_B111 = alpha_bar_B[:, None, None, None]
    return alpha_bar_B111**0.5, (1.0 - alpha_bar_B111) ** 0.5


def _rescale_to_zero_terminal_snr(beta_T: Tensor) -> Tensor:
    # Lin et al. 2024, algorithm 1. Back to betas, not straight to alpha-bar: the rounding is then diffusers'.
    root_T = torch.cumprod(1.0 - beta_T, dim=0).sqrt()
    first, last = root_T[0], root_T[-1]
    alpha_bar_T = ((root_T - last) * (first / (first - last))) ** 2
    alpha_T = torch.cat([alpha_bar_T[:1], alpha_bar_T[1:] / alpha_bar_T[:-1]])
    return 1.0 - alpha_T
