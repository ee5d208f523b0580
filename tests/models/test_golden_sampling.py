"""Four sampling steps equal the authors', step by step and in every variant."""

from __future__ import annotations

import pytest
from torch import Tensor

from mcld.diffusion import NoiseSchedule, SamplingStep, ddim_scheduler, sample, signal_levels
from mcld.models import MCLD
from tests.golden import (
    golden_conditions,
    golden_dir,
    golden_model,
    golden_tensors,
    read_golden_json,
    relative_error,
)

SAMPLING_TOLERANCE = 1e-4
HALF_BANK_TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def model() -> MCLD:
    return golden_model()


def sample_golden(
    model: MCLD, *, beta_curve: str = "linear", guidance_scale: float = 3.5
) -> tuple[Tensor, list[SamplingStep]]:
    tensors = golden_tensors("sampling.safetensors")
    settings = read_golden_json(golden_dir("model") / "sampling.json")["config"]["sampling"]
    prepared = model.prepare(golden_conditions(tensors), with_null=guidance_scale != 1.0)
    steps: list[SamplingStep] = []
    latent = sample(
        lambda latent, timestep: model.denoise(latent, timestep_B=timestep, prepared=prepared),
        noise_BCHW=tensors["in.initial_latents"],
        scheduler=ddim_scheduler(NoiseSchedule(beta_curve=beta_curve)),  # type: ignore[arg-type]
        num_steps=settings["steps"],
        guidance_scale=guidance_scale,
        on_step=steps.append,
    )
    return latent, steps


def test_signal_levels_equal_the_authors_schedules() -> None:
    tensors = golden_tensors("sampling.safetensors")
    train, inference = signal_levels(NoiseSchedule()), signal_levels(NoiseSchedule(beta_curve="linear"))
    # Last bits of a cumulative product depend on the machine; against diffusers here they are tested exactly.
    assert relative_error(train, expected=tensors["out.alphas_cumprod_train"]) < 1e-6
    assert relative_error(inference, expected=tensors["out.alphas_cumprod_inference"]) < 1e-6


def test_every_step_equals_the_authors(model: MCLD) -> None:
    tensors = golden_tensors("sampling.safetensors")
    latent, steps = sample_golden(model)
    assert [step.timestep for step in steps] == tensors["out.timesteps"].tolist()
    for step in steps:
        assert step.v_null is not None
        for name, value in (
            ("latents", step.latent),
            ("v_cond", step.v_conditioned),
            ("v_uncond", step.v_null),
        ):
            expected = tensors[f"out.step{step.index}.{name}"]
            assert relative_error(value, expected=expected) < SAMPLING_TOLERANCE, (step.index, name)
    assert relative_error(latent, expected=tensors["out.final_latents"]) < SAMPLING_TOLERANCE


def test_training_schedule_and_no_guidance_equal_the_authors(model: MCLD) -> None:
    tensors = golden_tensors("sampling.safetensors")
    scaled, _ = sample_golden(model, beta_curve="scaled_linear")
    unguided, steps = sample_golden(model, guidance_scale=1.0)
    assert relative_error(scaled, expected=tensors["out.final_latents_valsched"]) < SAMPLING_TOLERANCE
    assert relative_error(unguided, expected=tensors["out.final_latents_noguidance"]) < SAMPLING_TOLERANCE
    assert all(step.v_null is None for step in steps)


def test_sampling_with_float16_reference_equals_the_authors_as_shipped() -> None:
    latent, _ = sample_golden(golden_model(reference_precision="float16"))
    expected = golden_tensors("sampling.safetensors")["out.final_latents_fp16bank"]
    assert relative_error(latent, expected=expected) < HALF_BANK_TOLERANCE
