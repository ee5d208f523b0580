"""Record the training loss, its gradients and a few optimiser steps of the naive implementation.

Shapes: B rows, C latent channels, h w latent size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from benchmarks.naive_mcld import NaiveMCLD
from mcld.types import Conditions
from tests.parity.recording import (
    LATENT_CHANNELS,
    Recording,
    conditions_of,
    copy_model,
    random_inputs,
    random_latent,
)

FULL_GRADIENTS = (
    "denoising_unet.conv_in.weight",
    "denoising_unet.conv_out.bias",
    "image_proj_model.latents",
    "pose_guider.conv_out.weight",
    "reference_unet.conv_in.weight",
)
MODULES = ("reference_unet", "denoising_unet", "pose_guider", "image_proj_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A training batch, noised."""

    conditions: Conditions
    noisy: Tensor  # (B, C, h, w)
    target: Tensor  # (B, C, h, w)
    timestep: Tensor  # (B,)
    weight: Tensor  # (B,)
    face: Tensor  # (B, 1, h, w) bool


def loss_inputs(recording: Recording) -> dict[str, Tensor]:
    """Random `in.*` of a training batch."""
    settings = recording.config["loss"]
    rows, seed = settings["batch"], settings["seed"]
    generator = torch.Generator().manual_seed(seed + 3000)
    return {
        **random_inputs(recording, rows=rows, seed=seed),
        "in.latents": random_latent(recording, rows=rows, seed=seed + 1000),
        "in.noise": random_latent(recording, rows=rows, seed=seed + 2000),
        "in.noise_offset_noise": torch.randn(rows, LATENT_CHANNELS, 1, 1, 1, generator=generator),
        "in.timesteps": torch.tensor(settings["timesteps"]),
    }


def record_loss(
    inputs: Mapping[str, Tensor], *, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and the numbers of loss.json's `results`."""
    batch = noised(inputs, recording=recording)
    outputs = {
        "out.noisy_latents": batch.noisy[:, :, None],
        "out.target": batch.target[:, :, None],
        "out.mse_loss_weights": batch.weight,
        "out.face_mask": batch.face,
    }
    results: dict[str, Any] = {}
    for name, network, with_reference in (
        ("cond_fp16bank", half_model, True),
        ("uncond", model, False),
        ("cond", model, True),  # last, so that its gradients stay
    ):
        network.zero_grad()
        v = network(
            batch.noisy, timestep=batch.timestep, conditions=batch.conditions, with_reference=with_reference
        )
        per_sample = per_sample_loss(v, batch=batch)
        torch.autograd.backward(per_sample.mean())
        outputs[f"out.{name}.model_pred"] = v[:, :, None].detach()
        outputs[f"out.{name}.per_sample"] = per_sample.detach()
        outputs[f"out.{name}.loss"] = per_sample.mean().detach()
        results[name] = _norms_of_modules(network)
    results["cond"]["grad_norm_per_param"] = _norms(model)
    parameters = model.authors_parameters()
    outputs |= {f"grad.{name}": _gradient(parameters[name]) for name in FULL_GRADIENTS}
    losses = _train(copy_model(model, reference_precision="compute"), batch=batch, adamw=recording.adamw)
    results["adamw_trajectory"] = {**recording.adamw, "losses": losses}
    return outputs, results


def noised(inputs: Mapping[str, Tensor], *, recording: Recording) -> Batch:
    """z_t = sqrt(a) z + sqrt(1 - a) eps; v = sqrt(a) eps - sqrt(1 - a) z; w = min(SNR + 1, g) / (SNR + 1)."""
    latent = inputs["in.latents"][:, :, 0]
    noise = (inputs["in.noise"] + recording.noise_offset * inputs["in.noise_offset_noise"])[:, :, 0]
    timestep = inputs["in.timesteps"]
    alpha = DDIMScheduler(**recording.training).alphas_cumprod[timestep]
    signal, spread = (value.sqrt()[:, None, None, None] for value in (alpha, 1 - alpha))
    snr = alpha / (1 - alpha)
    factor = recording.pose_factor
    part = (inputs["in.pose_img"][:, 2:, 0, ::factor, ::factor] * 255).round()
    return Batch(
        conditions=conditions_of(inputs),
        noisy=signal * latent + spread * noise,
        target=signal * noise - spread * latent,
        timestep=timestep,
        weight=(snr + 1).clamp(max=recording.snr_gamma) / (snr + 1),
        face=(part == 23) | (part == 24),
    )


def per_sample_loss(v: Tensor, *, batch: Batch) -> Tensor:
    """w * mean((1 + m) (v_hat - v)^2), (B,)."""
    return batch.weight * ((1 + batch.face.float()) * (v - batch.target) ** 2).mean(dim=(1, 2, 3))


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _norms(model: NaiveMCLD) -> dict[str, float]:
    return {
        name: float(_gradient(parameter).double().norm())
        for name, parameter in model.authors_parameters().items()
        if parameter.requires_grad
    }


def _norms_of_modules(model: NaiveMCLD) -> dict[str, Any]:
    squares = {name: norm**2 for name, norm in _norms(model).items()}
    of_module = {
        module: sum(square for name, square in squares.items() if name.startswith(module)) ** 0.5
        for module in MODULES
    }
    return {"grad_norm_total": sum(squares.values()) ** 0.5, "grad_norm_by_module": of_module}


def _train(model: NaiveMCLD, *, batch: Batch, adamw: Mapping[str, Any]) -> list[float]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters,
        lr=adamw["lr"],
        betas=tuple(adamw["betas"]),
        eps=adamw["eps"],
        weight_decay=adamw["weight_decay"],
    )
    losses = []
    for _ in range(adamw["num_losses"]):
        optimiser.zero_grad()
        v = model(batch.noisy, timestep=batch.timestep, conditions=batch.conditions)
        loss = per_sample_loss(v, batch=batch).mean()
        losses.append(loss.item())
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, adamw["max_grad_norm"])
        optimiser.step()
    return losses
