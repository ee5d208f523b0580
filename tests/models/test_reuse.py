"""The deep layers' feature as a value: of the same step it changes nothing, and nothing deep runs again."""

from __future__ import annotations

import pytest
import torch

from mcld.models import MCLD
from mcld.models.unet_walk import steps_by_depth, unet_steps
from tests.models.test_wasted_work import counted_calls
from tests.models.tiny import LATENT_HW, tiny_conditions, tiny_latent, tiny_model

TIMESTEP = torch.tensor([400, 400, 400, 400])


@pytest.fixture(scope="module")
def model() -> MCLD:
    return tiny_model().eval()


@pytest.mark.parametrize("layers_per_block", [1, 2])
@pytest.mark.parametrize("latent_hw", [LATENT_HW, (5, 7)])
def test_the_feature_of_the_same_step_gives_the_same_prediction(
    layers_per_block: int, latent_hw: tuple[int, int]
) -> None:
    model = tiny_model(layers_per_block=layers_per_block).eval()
    prepared = model.prepare(tiny_conditions(2, latent_hw=latent_hw), with_null=True)
    latent = tiny_latent(4, latent_hw=latent_hw)
    full = model.denoise_reusing(latent, timestep_B=TIMESTEP, prepared=prepared, deep_BCHW=None)
    again = model.denoise_reusing(latent, timestep_B=TIMESTEP, prepared=prepared, deep_BCHW=full.deep)
    assert full.deep.shape[2:] == latent_hw
    assert torch.equal(again.v, full.v)
    assert again.deep is full.deep
    assert torch.equal(full.v, model.denoise(latent, timestep_B=TIMESTEP, prepared=prepared))


def test_the_feature_of_another_step_gives_another_prediction(model: MCLD) -> None:
    prepared = model.prepare(tiny_conditions(2), with_null=True)
    other = model.denoise_reusing(
        tiny_latent(4, seed=5), timestep_B=TIMESTEP + 100, prepared=prepared, deep_BCHW=None
    )
    latent = tiny_latent(4)
    full = model.denoise(latent, timestep_B=TIMESTEP, prepared=prepared)
    reused = model.denoise_reusing(latent, timestep_B=TIMESTEP, prepared=prepared, deep_BCHW=other.deep)
    assert not torch.allclose(reused.v, full, atol=1e-3)


def test_reusing_runs_the_first_and_the_last_layers_alone(model: MCLD) -> None:
    pieces = steps_by_depth(model.denoiser.unet, num_skips=2)
    assert (*pieces.entry, *pieces.deep, *pieces.exit) == unet_steps(model.denoiser.unet)
    prepared = model.prepare(tiny_conditions(1), with_null=False)
    latent, timestep = tiny_latent(1), torch.tensor([400])
    full = model.denoise_reusing(latent, timestep_B=timestep, prepared=prepared, deep_BCHW=None)
    with counted_calls(model.denoiser.unet) as calls:
        model.denoise_reusing(latent, timestep_B=timestep, prepared=prepared, deep_BCHW=full.deep)
    assert [step.name for step in pieces.entry] == ["down_blocks.0.resnets.0", "down_blocks.0.attentions.0"]
    assert pieces.exit[0].name == "up_blocks.2.resnets.0"
    ran = [name for name in calls if name.startswith(("down_blocks", "mid_block", "up_blocks"))]
    assert all(name.startswith(("down_blocks.0.", "up_blocks.2.")) for name in ran)
    assert calls["conv_in"] == calls["conv_out"] == 1


def test_the_conditioned_rows_alone_are_those_of_both_halves(model: MCLD) -> None:
    conditions = tiny_conditions(2)
    both = model.prepare(conditions, with_null=True)
    latent, timestep = tiny_latent(2), TIMESTEP[:2]
    first = model.denoise(latent, timestep_B=timestep, prepared=both.first(2))
    single = model.prepare(conditions, with_null=False)
    torch.testing.assert_close(
        first, model.denoise(latent, timestep_B=timestep, prepared=single), rtol=1e-4, atol=1e-5
    )
    half = model.denoise(torch.cat([latent, latent]), timestep_B=TIMESTEP, prepared=both)[:2]
    torch.testing.assert_close(first, half, rtol=1e-4, atol=1e-5)
    assert both.first(2).pose_feature.data_ptr() == both.pose_feature.data_ptr()  # not copied
