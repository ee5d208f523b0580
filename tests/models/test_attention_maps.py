"""Attention maps: weights that sum to one, the plain prediction, nothing where there is nothing to see."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mcld.models import MCLD, PreparedConditions
from mcld.models.attention_maps import AttentionMaps, attention_maps, focal_maps
from tests.models.tiny import tiny_conditions, tiny_latent, tiny_model

TEXTURE_HW = (5, 7)
LATENT_HW = (7, 6)


def prepare(model: MCLD, *, num_rows: int = 2, with_null: bool = True) -> PreparedConditions:
    conditions = tiny_conditions(num_rows, latent_hw=LATENT_HW, texture_hw=TEXTURE_HW)
    return model.prepare(conditions, with_null=with_null)


def map_rows(model: MCLD, prepared: PreparedConditions, *, num_rows: int, **options: Any) -> AttentionMaps:
    latent = tiny_latent(num_rows, latent_hw=LATENT_HW)
    return attention_maps(
        model, latent, timestep_B=torch.full((num_rows,), 500), prepared=prepared, **options
    )


@pytest.fixture(scope="module")
def model() -> MCLD:
    return tiny_model()


def test_the_mapped_pass_gives_the_plain_prediction(model: MCLD) -> None:
    prepared = prepare(model)
    maps = map_rows(model, prepared, num_rows=4)
    plain = model.denoise(
        tiny_latent(4, latent_hw=LATENT_HW), timestep_B=torch.full((4,), 500), prepared=prepared
    )
    assert torch.equal(maps.v, plain)


def test_every_block_is_mapped_at_its_own_size_and_weights_sum_to_one(model: MCLD) -> None:
    maps = map_rows(model, prepare(model), num_rows=4)
    assert {block.name for block in maps.blocks} == set(prepare(model).contexts)
    sizes = {tuple(block.reference_share.shape[1:]) for block in maps.blocks}
    assert sizes == {(7, 6), (4, 3), (2, 2)}
    for block in maps.blocks:
        assert block.face_weight is not None
        for weight in (block.condition_weight, block.face_weight):
            torch.testing.assert_close(weight.sum(-1), torch.ones(weight.shape[:-1]))
        assert block.condition_weight.shape[-1] == (2 if block.stage == "mid" else 1)
        assert block.face_weight.shape[-1] == 4


def test_the_reference_share_is_where_it_looks_summed_and_zero_for_null_rows(model: MCLD) -> None:
    maps = map_rows(model, prepare(model), num_rows=4, texture_hw=TEXTURE_HW)
    sizes = {tuple(b.reference_where.shape[3:]) for b in maps.blocks if b.reference_where is not None}
    assert sizes == {TEXTURE_HW, (3, 4), (2, 2)}
    for block in maps.blocks:
        assert block.reference_where is not None
        # One is attention to an indicator, the other an explicit softmax.
        torch.testing.assert_close(block.reference_where.sum((3, 4)), block.reference_share)
        assert float(block.reference_share[:2].min()) > 0
        assert float(block.reference_share.max()) < 1
        assert not block.reference_share[2:].any()


def test_conditions_speak_in_their_stages_and_null_rows_hear_none(model: MCLD) -> None:
    for block in map_rows(model, prepare(model), num_rows=4).blocks:
        expected = {
            "down": {"image", "face"},
            "mid": {"image", "texture", "face"},
            "up": {"texture", "face"},
        }
        assert set(block.strength) == expected[block.stage]
        for strength in block.strength.values():
            assert float(strength[:2].min()) > 0
            assert not strength[2:].any()


@torch.no_grad()
def test_strength_is_what_a_condition_adds_relative_to_the_token(model: MCLD) -> None:
    """Known answer: with one token of the value that W_o turns into the token itself, the strength is 1."""
    block = model.denoiser.unet.down_blocks[0].attentions[0].transformer_blocks[0]
    name = "down_blocks.0.attentions.0.transformer_blocks.0"
    seen: list[torch.Tensor] = []
    handle = block.norm2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    prepared = prepare(model, num_rows=1, with_null=False)
    map_rows(model, prepared, num_rows=1)
    handle.remove()
    first_pixel = seen[0][:, :1]
    value = torch.linalg.solve(block.attn2.to_out[0].weight, first_pixel.mT).mT
    context = dataclasses.replace(prepared.contexts[name], condition_value=value)
    changed = dataclasses.replace(prepared, contexts={**prepared.contexts, name: context})
    maps = map_rows(model, changed, num_rows=1)
    assert float(maps.blocks[0].strength["image"][0, 0, 0]) == pytest.approx(1.0, rel=1e-3)


def test_focal_maps_are_of_the_latents_size_and_mean_of_the_blocks(model: MCLD) -> None:
    maps = map_rows(model, prepare(model), num_rows=4)
    found = focal_maps(maps)
    assert list(found) == ["reference", "image", "texture", "face"]
    assert all(value.shape == (4, *LATENT_HW) for value in found.values())
    one_block = AttentionMaps(v=maps.v, blocks=maps.blocks[:1])
    torch.testing.assert_close(focal_maps(one_block)["image"], maps.blocks[0].strength["image"])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"use_face": False}, ["reference", "image", "texture"]),
        ({"use_texture": False, "use_face": False}, ["reference", "image"]),
        ({"aggregation": "concat"}, ["reference", "image", "texture", "face"]),
    ],
)
def test_ablations_have_the_maps_of_what_they_have(changes: dict[str, Any], names: list[str]) -> None:
    model = tiny_model(**changes)
    prepared = prepare(model)
    maps = map_rows(model, prepared, num_rows=4)
    assert list(focal_maps(maps)) == names
    plain = model.denoise(
        tiny_latent(4, latent_hw=LATENT_HW), timestep_B=torch.full((4,), 500), prepared=prepared
    )
    assert torch.equal(maps.v, plain)


def test_bfloat16_maps_are_float32_and_near(model: MCLD) -> None:
    half = tiny_model().to(torch.bfloat16)
    found = focal_maps(map_rows(half, prepare(half), num_rows=4))
    expected = focal_maps(map_rows(model, prepare(model), num_rows=4))
    for name, value in found.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.1, atol=0.02)
