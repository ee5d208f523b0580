"""Faster or smaller, and the same pictures but for rounding."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mcld.errors import ConfigError
from mcld.inference.acceleration import PLAIN, Acceleration, accelerate
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from tests.inference.tiny_pipeline import tiny_conditions, tiny_pipeline

ROUNDING = 2e-4  # of a pixel in 0..1: less than a tenth of an 8-bit level


@pytest.fixture
def pipeline() -> MCLDPipeline:
    return tiny_pipeline()


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def pictures(pipeline: MCLDPipeline, *, reuse_features: int = 1) -> Tensor:
    output = pipeline(
        tiny_conditions(2),
        seeds=[1, 2],
        num_inference_steps=4,
        guidance_scale=2.0,
        reuse_features=reuse_features,
        output_type="pt",
    )
    assert isinstance(output, MCLDPipelineOutput)
    assert isinstance(output.images, Tensor)
    return output.images


def test_plain_changes_nothing(pipeline: MCLDPipeline) -> None:
    before = pictures(pipeline)
    accelerate(pipeline, acceleration=PLAIN)
    assert torch.equal(pictures(pipeline), before)


@pytest.mark.parametrize("name", ["channels_last", "vae_slicing", "vae_tiling"])
def test_pictures_stay_the_same_but_for_rounding(pipeline: MCLDPipeline, name: str) -> None:
    before = pictures(pipeline)
    accelerate(pipeline, acceleration=Acceleration(**{name: True}))
    torch.testing.assert_close(pictures(pipeline), before, rtol=0.0, atol=ROUNDING)


def test_channels_last_is_how_kernels_then_lie(pipeline: MCLDPipeline) -> None:
    accelerate(pipeline, acceleration=Acceleration(channels_last=True))
    for weight in (pipeline.model.denoiser.unet.conv_in.weight, pipeline.vae.decoder.conv_in.weight):
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_sliced_vae_decodes_picture_by_picture(pipeline: MCLDPipeline) -> None:
    accelerate(pipeline, acceleration=Acceleration(vae_slicing=True))
    rows: list[int] = []
    pipeline.vae.decoder.register_forward_pre_hook(lambda _module, inputs: rows.append(len(inputs[0])))
    pictures(pipeline)
    assert rows == [1, 1]


def test_tiles_are_for_pictures_larger_than_the_vae_was_made_for(pipeline: MCLDPipeline) -> None:
    latent = torch.randn(1, 4, 9, 6, generator=torch.Generator().manual_seed(1))
    whole = pipeline.vae.decode(latent).sample
    accelerate(pipeline, acceleration=Acceleration(vae_tiling=True))
    heights: list[int] = []
    pipeline.vae.decoder.register_forward_pre_hook(lambda _module, inputs: heights.append(inputs[0].shape[2]))
    tiled = pipeline.vae.decode(latent).sample
    assert tiled.shape == whole.shape
    assert len(heights) > 1
    assert max(heights) < 9
    assert not torch.equal(tiled, whole)


def test_tiles_that_do_not_meet_are_refused_before_anything_changes(pipeline: MCLDPipeline) -> None:
    vae = AutoencoderKL.from_config(pipeline.vae.config, sample_size=48)
    other = MCLDPipeline(model=pipeline.model, vae=vae, scheduler=pipeline.scheduler)
    with pytest.raises(ConfigError, match="vae_tiling: tiles of 48 px, this VAE's sample_size, do not meet"):
        accelerate(other, acceleration=Acceleration(vae_tiling=True, vae_slicing=True))
    assert not vae.use_tiling
    assert not vae.use_slicing


@pytest.mark.long
@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("reuse_features", [1, 2])
def test_compiled_pictures_are_the_same_but_for_rounding(pipeline: MCLDPipeline, reuse_features: int) -> None:
    before = pictures(pipeline, reuse_features=reuse_features)
    accelerate(pipeline, acceleration=Acceleration(compile=True))
    torch.testing.assert_close(
        pictures(pipeline, reuse_features=reuse_features), before, rtol=0.0, atol=ROUNDING
    )


@pytest.mark.long
@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_copy_of_a_compiled_model_computes_with_its_own_weights(pipeline: MCLDPipeline) -> None:
    accelerate(pipeline, acceleration=Acceleration(compile=True))
    before = pictures(pipeline)
    other = MCLDPipeline(model=copy.deepcopy(pipeline.model), vae=pipeline.vae, scheduler=pipeline.scheduler)
    other.set_progress_bar_config(disable=True)
    torch.nn.init.zeros_(other.model.denoiser.unet.conv_out.weight)
    assert not torch.allclose(pictures(other), before, atol=ROUNDING)
    torch.testing.assert_close(pictures(pipeline), before, rtol=0.0, atol=ROUNDING)
