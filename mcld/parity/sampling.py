"""Check sampling: both schedules, the timesteps, each step's latent and predictions, and the variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.diffusion import SamplingStep, sample, signal_levels
from mcld.errors import DataError
from mcld.models import MCLD
from mcld.parity import tolerances
from mcld.parity.golden import Golden, conditions_of
from mcld.parity.rows import Row, compare, compare_exactly
from mcld.parity.schedules import noise_schedule, sampler
from mcld.parity.settings import REMEDY, Settings
from mcld.types import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How the folder's images were sampled."""

    noise: Tensor  # (B, C, h, w)
    conditions: Conditions
    num_steps: int
    guidance_scale: float
    inference: Settings  # of the sampler
    training: Settings  # of the variant with the training betas


def check_sampling(golden: Golden, *, model: MCLD, half_model: MCLD) -> Iterator[Row]:
    """All that `sampling` records."""
    recorded = _recorded(golden)
    yield from _check_schedules(golden, recorded=recorded)
    latent, steps = _sample(recorded, model=model)
    yield _check_timesteps(golden, steps=steps)
    for step in steps:
        yield from _check_step(golden, step=step)
    yield _check_final(golden, "final_latents", latent=latent)
    variants = (
        ("final_latents_valsched", model, recorded.training, recorded.guidance_scale, tolerances.SAMPLING),
        ("final_latents_noguidance", model, recorded.inference, 1.0, tolerances.SAMPLING),
        (
            "final_latents_fp16bank",
            half_model,
            recorded.inference,
            recorded.guidance_scale,
            tolerances.HALF_REFERENCE,
        ),
    )
    for name, network, scheduler, guidance_scale, tolerance in variants:
        latent, _ = _sample(recorded, model=network, scheduler=scheduler, guidance_scale=guidance_scale)
        yield _check_final(golden, name, latent=latent, tolerance=tolerance)


def _recorded(golden: Golden) -> Recorded:
    file = golden.sampling
    noise = file.tensor("in.initial_latents", shape=golden.latent_shape(rows=None))
    settings = _run_settings(golden)
    return Recorded(
        noise=noise,
        conditions=conditions_of(file, golden=golden, rows=len(noise)),
        num_steps=settings.integer("steps"),
        # The authors guide only above 1: at and below it they compute the conditioned rows alone.
        guidance_scale=max(1.0, settings.number("guidance")),
        inference=file.settings.section("scheduler_kwargs"),
        training=file.settings.section("valsched_kwargs"),
    )


def _run_settings(golden: Golden) -> Settings:
    """`steps` and `guidance`: from sampling.json, else config.json. Raises DataError if they disagree."""
    recorded = golden.sampling.settings
    if "config" not in recorded:
        return golden.settings.section("sampling")
    found = recorded.section("config").section("sampling")
    if "sampling" in golden.settings:
        wanted = golden.settings.section("sampling")
        for key in ("steps", "guidance"):
            value, other = found.number(key), wanted.number(key)
            if value != other:
                raise DataError(f"{found.place}: '{key}' is {value}, but config.json has {other}; {REMEDY}")
    return found


def _sample(
    recorded: Recorded,
    *,
    model: MCLD,
    scheduler: Settings | None = None,
    guidance_scale: float | None = None,
) -> tuple[Tensor, list[SamplingStep]]:
    """The final latent and all steps; as recorded where nothing else is asked for."""
    guidance_scale = recorded.guidance_scale if guidance_scale is None else guidance_scale
    prepared = model.prepare(recorded.conditions, with_null=guidance_scale != 1.0)
    steps: list[SamplingStep] = []
    latent = sample(
        lambda latent, timestep: model.denoise(latent, timestep_B=timestep, prepared=prepared),
        noise_BCHW=recorded.noise,
        scheduler=sampler(scheduler or recorded.inference),
        num_steps=recorded.num_steps,
        guidance_scale=guidance_scale,
        on_step=steps.append,
    )
    return latent, steps


def _check_schedules(golden: Golden, *, recorded: Recorded) -> Iterator[Row]:
    for name, settings in (("inference", recorded.inference), ("train", recorded.training)):
        yield compare(
            f"sampling: alphas_cumprod_{name}",
            found=signal_levels(noise_schedule(settings)),
            expected=golden.sampling.tensor(f"out.alphas_cumprod_{name}"),
            tolerance=tolerances.SCHEDULE,
        )


def _check_timesteps(golden: Golden, *, steps: list[SamplingStep]) -> Row:
    return compare_exactly(
        "sampling: timesteps",
        found=torch.tensor([int(step.timestep) for step in steps]),
        expected=golden.sampling.tensor("out.timesteps"),
    )


def _check_step(golden: Golden, *, step: SamplingStep) -> Iterator[Row]:
    for name, value in (
        ("v_cond", step.v_conditioned),
        ("v_uncond", step.v_null),
        ("latents", step.latent),
    ):
        if value is not None:
            yield compare(
                f"sampling: step {step.index} {name}",
                found=value,
                expected=golden.sampling.tensor(f"out.step{step.index}.{name}"),
                tolerance=tolerances.SAMPLING,
            )


def _check_final(golden: Golden, name: str, *, latent: Tensor, tolerance: float = tolerances.SAMPLING) -> Row:
    expected = golden.sampling.tensor(f"out.{name}")
    return compare(f"sampling: {name}", found=latent, expected=expected, tolerance=tolerance)
