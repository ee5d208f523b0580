"""Starting, saving and loading: bit-equal round trips, the authors' exact keys, errors that help."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from mcld.errors import ConfigError, WeightsError
from mcld.models import (
    MCLD,
    ModelConfig,
    authors_states,
    initialise_mcld,
    load_authors_states,
    load_mcld,
    save_mcld,
)
from mcld.models.config import unet_settings
from tests.golden import golden_dir, read_golden_json
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model

WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"


def base_unet(config: ModelConfig = TINY) -> UNet2DConditionModel:
    torch.manual_seed(5)
    return UNet2DConditionModel(**unet_settings(config))


@pytest.mark.parametrize("changes", [{}, {"use_face": False, "aggregation": "concat"}])
def test_saved_and_loaded_model_is_bit_equal(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = tiny_model(**changes)
    save_mcld(model, directory=tmp_path / "model")
    loaded = load_mcld(tmp_path / "model")
    assert loaded.config == model.config
    expected, found = model.state_dict(), loaded.state_dict()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in loaded.named_parameters()} == before
    timestep = torch.tensor([7, 8])
    with torch.no_grad():
        ours = model(tiny_latent(2), timestep_B=timestep, conditions=tiny_conditions(2))
        theirs = loaded(tiny_latent(2), timestep_B=timestep, conditions=tiny_conditions(2))
    assert torch.equal(ours, theirs)


def test_saving_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    model = tiny_model().to(torch.bfloat16)
    save_mcld(model, directory=tmp_path / "first")
    save_mcld(load_mcld(tmp_path / "first"), directory=tmp_path / "second")
    save_mcld(model, directory=tmp_path / "second")  # replaces
    names = sorted(
        path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file()
    )
    assert len(names) == 9
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_stock_diffusers_reads_the_saved_denoiser(tmp_path: Path) -> None:
    model = tiny_model()
    save_mcld(model, directory=tmp_path / "model")
    unet = UNet2DConditionModel.from_pretrained(
        tmp_path / "model" / "denoising_unet", low_cpu_mem_usage=False
    )
    assert torch.equal(unet.conv_out.weight, model.denoiser.unet.conv_out.weight)


def test_authors_states_round_trip() -> None:
    model, other = tiny_model(seed=0), tiny_model(seed=1)
    load_authors_states(other, states=authors_states(model))
    found = other.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, found[name]), name


def test_full_size_model_has_the_authors_keys_and_shapes() -> None:
    expected = read_golden_json(golden_dir("model") / "keys_full.json")
    with torch.device("meta"):
        model = MCLD(ModelConfig())
    for name, state in authors_states(model).items():
        assert {key: list(value.shape) for key, value in state.items()} == expected[name], name


def test_both_unets_start_from_the_base_and_new_parts_are_quiet() -> None:
    base = base_unet()
    model = initialise_mcld(TINY, base_unet=base, seed=3)
    assert model.reference_net is not None
    denoiser, reference_net = model.denoiser.unet.state_dict(), model.reference_net.unet.state_dict()
    for name, value in base.state_dict().items():
        assert torch.equal(denoiser[name], value), name
        if not name.startswith(("conv_out", "conv_norm_out")):
            assert torch.equal(reference_net[name], value), name
    assert not model.pose_guider(tiny_conditions(1).target_iuv).any()
    conditions = tiny_conditions(1)
    other_face = dataclasses.replace(conditions, face_embedding=-conditions.face_embedding)
    timestep = torch.tensor([300])
    with torch.no_grad():
        first = model(tiny_latent(1), timestep_B=timestep, conditions=conditions)
        second = model(tiny_latent(1), timestep_B=timestep, conditions=other_face)
    assert torch.equal(first, second)


def test_untouched_denoiser_equals_the_stock_unet_of_the_base() -> None:
    base = base_unet()
    model = initialise_mcld(TINY, base_unet=base, seed=3)
    drop = torch.tensor([True, True])
    latent, timestep = tiny_latent(2), torch.tensor([300, 2])
    with torch.no_grad():
        ours = model(latent, timestep_B=timestep, conditions=tiny_conditions(2), drop_appearance_B=drop)
        stock = base(latent, timestep, encoder_hidden_states=torch.zeros(2, 1, 24)).sample
    torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-5)


def test_initialising_twice_gives_the_same_model_and_leaves_the_global_generator_alone() -> None:
    base = base_unet()
    before = torch.random.get_rng_state()
    first = initialise_mcld(TINY, base_unet=base, seed=3).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    second = initialise_mcld(TINY, base_unet=base, seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pose_guider_starts_from_a_controlnet_embedding_except_its_last_convolution() -> None:
    given = {
        f"controlnet_cond_embedding.{name}": value
        for name, value in tiny_model(seed=8).pose_guider.state_dict().items()
    }
    model = initialise_mcld(TINY, base_unet=base_unet(), pose_embedding=given)
    guider = model.pose_guider.state_dict()
    assert torch.equal(guider["blocks.1.weight"], given["controlnet_cond_embedding.blocks.1.weight"])
    assert not guider["conv_out.weight"].any()
    with pytest.raises(
        WeightsError, match=r"pose embedding: 'conv_in.weight' has nothing, expected \(4, 3, 3, 3\)"
    ):
        initialise_mcld(TINY, base_unet=base_unet(), pose_embedding={})


def test_base_of_another_size_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"its cross_attention_dim is 24, but the model settings give 32"):
        initialise_mcld(dataclasses.replace(TINY, cross_attention_dim=32), base_unet=base_unet())


def test_damaged_or_missing_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no MCLD model here"):
        load_mcld(tmp_path / "nothing")
    save_mcld(tiny_model(), directory=tmp_path / "model")
    path = tmp_path / "model" / "reference_unet" / WEIGHTS_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        WeightsError, match=r"reference_unet.*not a readable safetensors file.*copy or save it again"
    ):
        load_mcld(tmp_path / "model")
    path.write_bytes(whole)
    state = load_file(path)
    state["conv_in.bias"] = torch.zeros(3)
    del state["conv_in.weight"]
    save_file(state, path)
    with pytest.raises(
        WeightsError, match=r"'conv_in.weight' is missing; 'conv_in.bias' has shape \(3,\), expected \(16,\)"
    ):
        load_mcld(tmp_path / "model")
    path.unlink()
    with pytest.raises(WeightsError, match=r"reference_unet.*not found; the folder is incomplete"):
        load_mcld(tmp_path / "model")


def test_config_travels_through_json_and_refuses_what_it_does_not_know() -> None:
    config = dataclasses.replace(TINY, attention_levels=(False, True, True), aggregation="concat")
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ConfigError, match="model: unknown key 'block_channels'"):
        ModelConfig.from_dict({"block_channels": [1]})
    with pytest.raises(
        ConfigError, match=r"model\.block_out_channels: 30 is not divisible by norm_num_groups 8"
    ):
        dataclasses.replace(TINY, block_out_channels=(16, 30, 32))
    with pytest.raises(
        ConfigError, match=r"model\.aggregation: 'sum' is unknown; choose one of mfca, concat"
    ):
        dataclasses.replace(TINY, aggregation="sum")  # type: ignore[arg-type]
