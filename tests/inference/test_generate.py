"""A rendered row depends on its own pair and seed alone, and listens to both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mcld.conditions.latents import decode_latents
from mcld.config import DiffusionParams, GenerateParams
from mcld.diffusion import NoiseSchedule, ddim_scheduler, initial_noise, sample, seeded_generators
from mcld.inference.generate import (
    Generator,
    conditions_of,
    generator_after,
    latent_shape,
    sampling_schedule,
)
from mcld.models import MCLD
from mcld.types import Pair, Sample
from tests.tiny_models import TINY_CONFIG, tiny_vae

PARAMS = GenerateParams(num_inference_steps=3, guidance_scale=2.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vae = tiny_vae()
    model = MCLD(TINY_CONFIG)
    for parameter in model.pose_guider.parameters():
        if parameter.dim() > 1:  # the last one is zero at first: the pose would not count
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return Generator(model=model.eval(), vae=vae, schedule=NoiseSchedule())


def _sample(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample(
        pair=Pair(source="a/1_front", target="a/2_side", split="test"),
        target_moments=rng.normal(size=(8, 4, 3)).astype(np.float32),
        target_iuv=rng.integers(0, 25, size=(32, 24, 3)).astype(np.uint8),
        texture_moments=rng.normal(size=(8, 3, 3)).astype(np.float32),
        image_embedding=rng.normal(size=8).astype(np.float32),
        texture_embedding=rng.normal(size=8).astype(np.float32),
        face_embedding=rng.normal(size=6).astype(np.float32),
        face_found=True,
        target_hw=(64, 48),
    )


def test_a_batch_gives_the_images_of_its_single_rows(generator: Generator) -> None:
    samples, seeds = [_sample(1), _sample(2), _sample(3)], [7, 8, 9]
    together = generator.render(samples, generator=seeded_generators(seeds), params=PARAMS)
    assert together.shape == (3, 3, 32, 24)
    assert 0.0 <= together.min() <= together.max() <= 1.0
    for row, (item, seed) in enumerate(zip(samples, seeds, strict=True)):
        alone = generator.render([item], generator=seeded_generators([seed]), params=PARAMS)
        torch.testing.assert_close(together[row], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("field", ["target_iuv", "texture_moments", "image_embedding", "face_embedding"])
def test_every_condition_is_listened_to(generator: Generator, field: str) -> None:
    item, other = _sample(1), _sample(2)
    changed = replace(item, **{field: getattr(other, field)})
    if field == "face_embedding":
        for name, parameter in generator.model.named_parameters():
            if name.endswith("to_v_ip.weight"):
                torch.nn.init.normal_(parameter, std=0.5)
    first, second = generator.render([item, changed], generator=seeded_generators([5, 5]), params=PARAMS)
    assert (first - second).abs().max() > 1e-3


def test_no_guidance_is_one_pass_of_the_conditioned_rows(generator: Generator) -> None:
    item = _sample(1)
    alone = generator.render(
        [item], generator=seeded_generators([5]), params=PARAMS.model_copy(update={"guidance_scale": 1.0})
    )
    guided = generator.render([item], generator=seeded_generators([5]), params=PARAMS)
    assert not torch.equal(alone, guided)


def test_render_is_sampling_and_decoding_step_by_step_bit_for_bit(generator: Generator) -> None:
    samples, seeds = [_sample(1), _sample(2)], [7, 8]
    scaling_factor = generator.scaling_factor
    prepared = generator.model.prepare(conditions_of(samples, scaling_factor=scaling_factor), with_null=True)
    latents = sample(
        lambda latent, timestep: generator.model.denoise(latent, timestep_B=timestep, prepared=prepared),
        noise_BCHW=initial_noise(seeds, shape_CHW=(4, 4, 3)),
        scheduler=ddim_scheduler(NoiseSchedule()),
        num_steps=3,
        guidance_scale=2.0,
    )
    expected = decode_latents(generator.vae, latents=latents, scaling_factor=scaling_factor)
    assert torch.equal(generator.render(samples, generator=seeded_generators(seeds), params=PARAMS), expected)


def test_the_texture_latent_is_the_scaled_mean() -> None:
    item = _sample(1)
    latent = conditions_of([item], scaling_factor=0.5).texture_latent
    np.testing.assert_allclose(latent[0].numpy(), 0.5 * item.texture_moments[:4], rtol=1e-6)


def test_one_stream_through_all_pairs_can_be_taken_up_at_any_pair(generator: Generator) -> None:
    samples = [_sample(1), _sample(2), _sample(3)]
    shape = latent_shape(samples[0])
    together = generator.render(samples, generator=torch.Generator().manual_seed(3), params=PARAMS)
    later = generator_after(3, num_rows=2, shape_CHW=shape)
    alone = generator.render(samples[2:], generator=later, params=PARAMS)
    torch.testing.assert_close(together[2:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("wanted", "expected"), [("training", "linear"), ("scaled_linear", "scaled_linear")])
def test_sampling_follows_the_training_unless_told_otherwise(wanted: str, expected: str) -> None:
    params = GenerateParams.model_validate({"beta_schedule": wanted})
    schedule = sampling_schedule(params, diffusion=DiffusionParams(beta_schedule="linear"))
    assert schedule.beta_curve == expected
