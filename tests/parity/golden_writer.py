"""Record a folder of tensors by the naive implementation: a second source for `mcld check model`.

Nothing here uses the model or the diffusion code that is checked: predictions are `benchmarks.naive_mcld`'s,
schedules are diffusers', and loss and noising are written out. The `record_` functions take inputs, so that
they can be compared with what the authors' code recorded for the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from benchmarks.naive_mcld import NaiveMCLD, NaiveStep, naive_sample
from tests.parity.loss_only_writer import record_loss_only
from tests.parity.loss_writer import loss_inputs, record_loss
from tests.parity.recording import (
    Recording,
    conditions_of,
    copy_model,
    random_inputs,
    random_latent,
    random_model,
    write_file,
    write_json,
)

STATE_NAMES = ("denoising_unet", "reference_unet", "pose_guider", "image_proj_model")


def write_golden(directory: Path, *, recording: Recording) -> None:
    """Write every file of the layout, for a random model and random inputs."""
    directory.mkdir(parents=True)
    write_json(directory / "config.json", recording.config)
    model = random_model(recording)
    half_model = copy_model(model, reference_precision="float16")
    for name in STATE_NAMES:
        write_file(directory, name, tensors=_state(model, name=name), settings={})
    for index, seed in enumerate(recording.config["input_seeds"]):
        inputs = _prediction_inputs(recording, seed=seed)
        outputs = record_prediction(inputs, model=model, half_model=half_model, with_bank=index == 0)
        write_file(directory, f"instancenet_seed{seed}", tensors={**inputs, **outputs}, settings={})
    _write_sampling(directory, recording=recording, model=model, half_model=half_model)
    _write_loss(directory, recording=recording, model=model, half_model=half_model)
    if recording.loss_only_hw is not None:
        arrays = record_loss_only(recording, latent_hw=recording.loss_only_hw)
        np.savez_compressed(directory / "loss_only_64.npz", **arrays)  # type: ignore[arg-type]


@torch.no_grad()
def record_prediction(
    inputs: Mapping[str, Tensor], *, model: NaiveMCLD, half_model: NaiveMCLD, with_bank: bool
) -> dict[str, Tensor]:
    """One prediction and its parts."""
    conditions = conditions_of(inputs)

    def predict(network: NaiveMCLD, *, with_reference: bool) -> Tensor:
        v = network(
            inputs["in.noisy_latents"][:, :, 0],
            timestep=inputs["in.timesteps"],
            conditions=conditions,
            with_reference=with_reference,
        )
        return _with_frame(v)

    bank = model.reference_features(conditions) if with_bank else {}
    return {
        "out.pose_fea": _with_frame(model.pose_guider(inputs["in.pose_img"][:, :, 0])),
        "out.face_tokens": model.face_tokens(conditions),
        "out.model_pred_cond_fp32bank": predict(model, with_reference=True),
        "out.model_pred_cond_fp16bank": predict(half_model, with_reference=True),
        "out.model_pred_uncond": predict(model, with_reference=False),
        **{f"bank.{name}": feature for name, feature in bank.items()},
    }


def record_sampling(
    inputs: Mapping[str, Tensor], *, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD
) -> dict[str, Tensor]:
    """Sampling step by step, and its variants."""
    guidance = recording.config["sampling"]["guidance"]
    steps: list[NaiveStep] = []

    def final(network: NaiveMCLD, scheduler: Mapping[str, Any], guidance_scale: float) -> Tensor:
        steps.clear()
        latent = naive_sample(
            network,
            conditions=conditions_of(inputs),
            noise=inputs["in.initial_latents"][:, :, 0],
            num_steps=recording.config["sampling"]["steps"],
            guidance_scale=guidance_scale,
            scheduler=DDIMScheduler(**scheduler),
            on_step=steps.append,
        )
        return _with_frame(latent)

    outputs = {
        "out.final_latents_fp16bank": final(half_model, recording.inference, guidance),
        "out.final_latents_valsched": final(model, recording.training, guidance),
        "out.final_latents_noguidance": final(model, recording.inference, 1.0),
        "out.final_latents": final(model, recording.inference, guidance),
        "out.timesteps": torch.tensor([step.timestep for step in steps]),
        "out.alphas_cumprod_inference": DDIMScheduler(**recording.inference).alphas_cumprod,
        "out.alphas_cumprod_train": DDIMScheduler(**recording.training).alphas_cumprod,
    }
    for index, step in enumerate(steps):
        assert step.v_null is not None
        outputs[f"out.step{index}.latents"] = _with_frame(step.latent)
        outputs[f"out.step{index}.v_cond"] = _with_frame(step.v_conditioned)
        outputs[f"out.step{index}.v_uncond"] = _with_frame(step.v_null)
    return outputs


def _prediction_inputs(recording: Recording, *, seed: int) -> dict[str, Tensor]:
    rows = recording.config["batch"]
    return {
        **random_inputs(recording, rows=rows, seed=seed),
        "in.noisy_latents": random_latent(recording, rows=rows, seed=seed + 1000),
        "in.timesteps": torch.tensor([(331 * seed + 500 * row) % 1000 for row in range(rows)]),
    }


def _write_sampling(
    directory: Path, *, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD
) -> None:
    rows, seed = recording.config["sampling"]["batch"], recording.config["sampling"]["seed"]
    inputs = {
        **random_inputs(recording, rows=rows, seed=seed),
        "in.initial_latents": random_latent(recording, rows=rows, seed=seed + 1000),
    }
    outputs = record_sampling(inputs, recording=recording, model=model, half_model=half_model)
    settings = {
        "scheduler_kwargs": recording.inference,
        "valsched_kwargs": recording.training,
        "config": recording.config,
    }
    write_file(directory, "sampling", tensors={**inputs, **outputs}, settings=settings)


def _write_loss(directory: Path, *, recording: Recording, model: NaiveMCLD, half_model: NaiveMCLD) -> None:
    inputs = loss_inputs(recording)
    outputs, results = record_loss(inputs, recording=recording, model=model, half_model=half_model)
    settings = {
        "noise_offset": recording.noise_offset,
        "snr_gamma": recording.snr_gamma,
        "scheduler_kwargs": recording.training,
        "results": results,
    }
    write_file(directory, "loss", tensors={**inputs, **outputs}, settings=settings)


def _state(model: NaiveMCLD, *, name: str) -> dict[str, Tensor]:
    """The authors' state dict of that name, in float16."""
    return {
        key.removeprefix(f"{name}."): parameter.detach().half()
        for key, parameter in model.authors_parameters().items()
        if key.startswith(f"{name}.")
    }


def _with_frame(value: Tensor) -> Tensor:
    """(B, C, h, w) with the authors' frame axis, (B, C, 1, h, w)."""
    return value[:, :, None]
