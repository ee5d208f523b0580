"""Which steps run the deep layers and which the null rows; off, not a bit changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mcld.errors import ConfigError
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from tests.inference.tiny_pipeline import one_row, tiny_conditions, tiny_pipeline

NUM_STEPS = 6


@pytest.fixture
def pipeline() -> MCLDPipeline:
    return tiny_pipeline()


def latents(pipeline: MCLDPipeline, **options: Any) -> Tensor:
    usual: dict[str, Any] = {
        "seeds": [1, 2],
        "num_inference_steps": NUM_STEPS,
        "guidance_scale": 2.0,
        "output_type": "latent",
    }
    conditions = options.pop("conditions", tiny_conditions(2))
    output = pipeline(conditions, **usual | options)
    assert isinstance(output, MCLDPipelineOutput)
    assert isinstance(output.images, Tensor)
    return output.images


def rows_by_step(pipeline: MCLDPipeline, **options: Any) -> tuple[list[int], list[int]]:
    """Rows through the first layer, step by step, and rows through the deepest."""
    unet = pipeline.model.denoiser.unet
    found: tuple[list[int], list[int]] = ([], [])
    handles = [
        module.register_forward_pre_hook(lambda _module, inputs, rows=rows: rows.append(len(inputs[0])))
        for module, rows in zip((unet.conv_in, unet.mid_block.resnets[0]), found, strict=True)
    ]
    latents(pipeline, **options)
    for handle in handles:
        handle.remove()
    return found


def test_without_approximations_not_a_bit_changes(pipeline: MCLDPipeline) -> None:
    assert torch.equal(latents(pipeline), latents(pipeline, guidance_interval=(0.0, 1.0), reuse_features=1))


@pytest.mark.parametrize(
    ("options", "shallow", "deep"),
    [
        ({}, [4] * 6, [4] * 6),
        ({"reuse_features": 2}, [4] * 6, [4] * 3),
        ({"reuse_features": 4}, [4] * 6, [4] * 2),
        ({"reuse_features": 10}, [4] * 6, [4]),
        ({"guidance_interval": (0.3, 0.7)}, [2, 2, 4, 4, 2, 2], [2, 2, 4, 4, 2, 2]),
        # Null rows begin at the third step: the last full one had none, so it is a full one too.
        ({"guidance_interval": (0.3, 1.0), "reuse_features": 10}, [2, 2, 4, 4, 4, 4], [2, 4]),
        ({"guidance_interval": (0.0, 0.5), "reuse_features": 3}, [4, 4, 4, 2, 2, 2], [4, 2]),
        ({"guidance_scale": 1.0, "guidance_interval": (0.3, 0.7)}, [2] * 6, [2] * 6),
    ],
)
def test_each_step_computes_what_was_asked_for(
    pipeline: MCLDPipeline, options: dict[str, Any], shallow: list[int], deep: list[int]
) -> None:
    assert rows_by_step(pipeline, **options) == (shallow, deep)


@pytest.mark.parametrize("options", [{"reuse_features": 2}, {"guidance_interval": (0.2, 0.8)}])
def test_an_approximation_is_near_and_still_each_row_on_its_own(
    pipeline: MCLDPipeline, options: dict[str, Any]
) -> None:
    exact, found = latents(pipeline), latents(pipeline, **options)
    assert not torch.equal(found, exact)
    assert float((found - exact).norm() / exact.norm()) < 0.5
    alone = latents(pipeline, conditions=one_row(tiny_conditions(2), row=1), seeds=[2], **options)
    torch.testing.assert_close(alone[0], found[1], atol=1e-5, rtol=1e-5)
    assert torch.equal(latents(pipeline, **options), found)  # nothing is left of the call before


def test_attention_maps_come_also_for_a_step_without_guidance(pipeline: MCLDPipeline) -> None:
    output = pipeline(
        tiny_conditions(2),
        seeds=[1, 2],
        num_inference_steps=NUM_STEPS,
        guidance_scale=2.0,
        guidance_interval=(0.5, 1.0),
        output_type="latent",
        attention_maps_at=[0],
    )
    assert isinstance(output, MCLDPipelineOutput)
    assert output.attention_maps is not None
    assert output.attention_maps[0]["reference"].shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reuse_features": 0}, r"reuse_features: 0 is outside 1\.\.10; 1 computes every step in full"),
        ({"reuse_features": 11}, r"reuse_features: 11 is outside 1\.\.10"),
        ({"guidance_interval": (0.5, 0.5)}, r"guidance_interval: \(0.5, 0.5\) is no interval"),
        ({"num_inference_steps": 61}, "num_steps: 61 makes DDIMScheduler end at timestep -1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    pipeline: MCLDPipeline, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        latents(pipeline, **options)
