"""The whole model: rows do not see each other, conditions are heard, nothing is kept between calls."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from mcld.errors import DataError
from mcld.models import MCLD
from tests.models.tiny import take_rows, tiny_conditions, tiny_latent, tiny_model


@pytest.fixture(scope="module")
def model() -> MCLD:
    return tiny_model()


def gradients(model: MCLD, *, num_rows: int = 2, drop: Tensor | None = None) -> dict[str, Tensor]:
    model.zero_grad()
    v = model(
        tiny_latent(num_rows),
        timestep_B=torch.arange(num_rows) * 300,
        conditions=tiny_conditions(num_rows),
        drop_appearance_B=drop,
    )
    v.square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@torch.no_grad()
def test_mixed_dropout_batch_equals_its_rows_one_by_one(model: MCLD) -> None:
    conditions, latent, timestep = tiny_conditions(5), tiny_latent(5), torch.tensor([0, 999, 500, 20, 700])
    appearance = torch.tensor([True, False, False, True, False])
    image = torch.tensor([False, True, False, True, False])
    reference = torch.tensor([False, False, True, False, False])
    together = model(
        latent,
        timestep_B=timestep,
        conditions=conditions,
        drop_appearance_B=appearance,
        drop_image_B=image,
        drop_reference_B=reference,
    )
    for index in range(5):
        row = slice(index, index + 1)
        alone = model(
            latent[row],
            timestep_B=timestep[row],
            conditions=take_rows(conditions, rows=row),
            drop_appearance_B=appearance[row],
            drop_image_B=image[row],
            drop_reference_B=reference[row],
        )
        torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dropped_rows_ignore_all_appearance_and_still_see_the_pose(model: MCLD) -> None:
    conditions, latent, timestep = tiny_conditions(2), tiny_latent(2), torch.tensor([10, 500])
    other = tiny_conditions(2, seed=9)
    drop = torch.tensor([True, True])
    null = model(latent, timestep_B=timestep, conditions=conditions, drop_appearance_B=drop)
    other_person = dataclasses.replace(other, target_iuv=conditions.target_iuv)
    same = model(latent, timestep_B=timestep, conditions=other_person, drop_appearance_B=drop)
    other_pose = dataclasses.replace(conditions, target_iuv=other.target_iuv)
    moved = model(latent, timestep_B=timestep, conditions=other_pose, drop_appearance_B=drop)
    assert torch.equal(null, same)
    assert not torch.allclose(null, moved, atol=1e-3)


@pytest.mark.parametrize(
    "name", ["texture_latent", "image_embedding", "texture_embedding", "face_embedding", "target_iuv"]
)
@torch.no_grad()
def test_every_condition_changes_the_prediction(model: MCLD, name: str) -> None:
    conditions, latent, timestep = tiny_conditions(1), tiny_latent(1), torch.tensor([400])
    changed = dataclasses.replace(conditions, **{name: getattr(tiny_conditions(1, seed=9), name)})
    before = model(latent, timestep_B=timestep, conditions=conditions)
    after = model(latent, timestep_B=timestep, conditions=changed)
    assert not torch.allclose(before, after, atol=1e-5)


@torch.no_grad()
def test_face_not_found_is_the_same_as_no_face_whatever_the_embedding(model: MCLD) -> None:
    lost = dataclasses.replace(tiny_conditions(2), face_found=torch.tensor([False, False]))
    other = dataclasses.replace(lost, face_embedding=torch.zeros(2, 20))
    latent, timestep = tiny_latent(2), torch.tensor([400, 2])
    assert torch.equal(
        model(latent, timestep_B=timestep, conditions=lost),
        model(latent, timestep_B=timestep, conditions=other),
    )


@torch.no_grad()
def test_prepared_sampling_equals_the_direct_forward(model: MCLD) -> None:
    conditions, latent = tiny_conditions(2), tiny_latent(2)
    prepared = model.prepare(conditions, with_null=True)
    for timestep in (999, 3):
        rows = torch.full((4,), timestep)
        v, v_null = model.denoise(torch.cat([latent, latent]), timestep_B=rows, prepared=prepared).chunk(2)
        direct = model(latent, timestep_B=rows[:2], conditions=conditions)
        drop = torch.tensor([True, True])
        direct_null = model(latent, timestep_B=rows[:2], conditions=conditions, drop_appearance_B=drop)
        torch.testing.assert_close(v, direct, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(v_null, direct_null, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_persists_between_calls(model: MCLD) -> None:
    latent, timestep = tiny_latent(2), torch.tensor([400, 2])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = model(latent, timestep_B=timestep, conditions=tiny_conditions(2))
    model(latent, timestep_B=timestep, conditions=tiny_conditions(2, seed=9))
    model.denoise(
        latent, timestep_B=timestep, prepared=model.prepare(tiny_conditions(2, seed=8), with_null=False)
    )
    again = model(latent, timestep_B=timestep, conditions=tiny_conditions(2))
    assert torch.equal(first, again)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_exactly_the_trainable_weights_get_a_gradient_even_when_every_row_is_dropped() -> None:
    model = tiny_model()
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert gradients(model).keys() == trainable
    # Distributed training needs the same set on every rank, whatever the masks.
    dropped = gradients(model, drop=torch.tensor([True, True]))
    assert dropped.keys() == trainable
    assert not any(grad.any() for name, grad in dropped.items() if name.startswith("reference_net."))


def test_dead_weights_do_not_change_the_prediction_and_are_not_trained() -> None:
    model = tiny_model()
    latent, timestep, conditions = tiny_latent(2), torch.tensor([400, 2]), tiny_conditions(2)
    dead = set(model.dead_parameter_names())
    with torch.no_grad():
        before = model(latent, timestep_B=timestep, conditions=conditions)
        for name, parameter in model.named_parameters():
            if name in dead:
                assert not parameter.requires_grad, name
                parameter.fill_(torch.nan)
        after = model(latent, timestep_B=timestep, conditions=conditions)
    assert torch.equal(before, after)


def test_last_up_block_of_reference_net_is_frozen_and_the_rest_learns() -> None:
    model = tiny_model()
    names = gradients(model).keys()
    assert not any(name.startswith("reference_net.unet.up_blocks.2.") for name in names)
    assert any(name.startswith("reference_net.unet.up_blocks.1.") for name in names)


@pytest.mark.parametrize("latent_hw", [(7, 5), (16, 12), (9, 8)])
@torch.no_grad()
def test_latents_of_any_size_work(model: MCLD, latent_hw: tuple[int, int]) -> None:
    conditions = tiny_conditions(2, latent_hw=latent_hw, texture_hw=(5, 11))
    v = model(tiny_latent(2, latent_hw=latent_hw), timestep_B=torch.tensor([1, 2]), conditions=conditions)
    assert v.shape == (2, 4, *latent_hw)


@torch.no_grad()
def test_bfloat16_model_takes_float32_inputs_and_gives_float32_samples() -> None:
    model = tiny_model().to(torch.bfloat16)
    prepared = model.prepare(tiny_conditions(2), with_null=False)
    v = model.denoise(tiny_latent(2), timestep_B=torch.tensor([4, 4]), prepared=prepared)
    assert v.dtype == torch.float32
    assert bool(v.isfinite().all())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("image_embedding", torch.zeros(1, 25), "image_embedding: width 25, but this model was built for 24"),
        ("face_embedding", torch.zeros(1, 512), "face_embedding: width 512, but this model was built for 20"),
        (
            "target_iuv",
            torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
            r"target_iuv: size \(64, 64\), but a latent of",
        ),
        (
            "target_iuv",
            torch.zeros(1, 3, 60, 64, dtype=torch.uint8),
            r"size \(60, 64\) is not a multiple of 8",
        ),
    ],
)
def test_conditions_of_a_wrong_size_are_refused(model: MCLD, name: str, value: Tensor, message: str) -> None:
    wrong = dataclasses.replace(tiny_conditions(1), **{name: value})
    with pytest.raises(DataError, match=message):
        model(tiny_latent(1), timestep_B=torch.tensor([1]), conditions=wrong)
