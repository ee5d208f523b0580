"""The paper's ablations as settings: what each takes away, how large it is, and which profile chooses it."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from mcld.models import MCLD, ModelConfig, authors_states, load_config, load_mcld, save_mcld
from mcld.models.unet_walk import named_blocks
from mcld.storage import read_json, write_json
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model
from tests.workspaces import CHECKOUT

ABLATIONS: dict[str, dict[str, Any]] = {
    "b1": {"use_texture": False, "use_face": False},  # I
    "b3": {"aggregation": "concat"},  # I+A+F concatenated
    "b5": {"use_face": False},  # I+A, aggregated by stage
    "full": {},  # I+A+F, aggregated by stage
}
WITHOUT_REFERENCE = {"use_texture": False, "use_face": False, "use_reference": False}
EVERY = {**ABLATIONS, "without-reference": WITHOUT_REFERENCE}
BY_ABLATION = pytest.mark.parametrize("name", EVERY)

MEBI = 2**20
PUBLISHED_MEBI = 1717  # "1,717 M", the paper's table 3
PUBLISHED_GROWTH = (
    1.058  # "only 5.8% more trainable parameters compared to baseline B1", the authors' rebuttal
)


def predict(model: MCLD, **changes: Tensor) -> Tensor:
    conditions = dataclasses.replace(tiny_conditions(2), **changes)
    with torch.no_grad():
        v: Tensor = model(tiny_latent(2), timestep_B=torch.tensor([400, 2]), conditions=conditions)
    return v


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("b1", {"image_embedding", "texture_latent"}),
        ("b3", {"image_embedding", "texture_latent", "texture_embedding", "face_embedding"}),
        ("b5", {"image_embedding", "texture_latent", "texture_embedding"}),
        ("full", {"image_embedding", "texture_latent", "texture_embedding", "face_embedding"}),
        ("without-reference", {"image_embedding"}),
    ],
)
def test_an_ablation_hears_its_conditions_and_no_other(name: str, heard: set[str]) -> None:
    model, other = tiny_model(**EVERY[name]), tiny_conditions(2, seed=9)
    before = predict(model)
    for condition in ("image_embedding", "texture_latent", "texture_embedding", "face_embedding"):
        after = predict(model, **{condition: getattr(other, condition)})
        assert torch.equal(before, after) == (condition not in heard), condition
    assert not torch.equal(before, predict(model, target_iuv=other.target_iuv))


@BY_ABLATION
def test_an_ablation_trains_exactly_its_trainable_weights_also_when_every_row_is_dropped(name: str) -> None:
    for dropped in ([False, False], [False, True], [True, True]):
        model = tiny_model(**EVERY[name])
        v = model(
            tiny_latent(2),
            timestep_B=torch.tensor([400, 2]),
            conditions=tiny_conditions(2),
            drop_appearance_B=torch.tensor(dropped),
        )
        v.square().mean().backward()
        for weight, parameter in model.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, weight


@BY_ABLATION
@torch.no_grad()
def test_weights_an_ablation_calls_dead_do_not_change_its_prediction(name: str) -> None:
    model = tiny_model(**EVERY[name])
    before = predict(model)
    for weight in model.dead_parameter_names():
        model.get_parameter(weight).fill_(torch.nan)
    assert torch.equal(before, predict(model))


@BY_ABLATION
@torch.no_grad()
def test_an_ablation_samples_as_it_predicts(name: str) -> None:
    model = tiny_model(**EVERY[name])
    latent, timestep = tiny_latent(2), torch.tensor([400, 2])
    prepared = model.prepare(tiny_conditions(2), with_null=False)
    v = model.denoise(latent, timestep_B=timestep, prepared=prepared)
    torch.testing.assert_close(v, predict(model), rtol=1e-4, atol=1e-5)


@BY_ABLATION
def test_an_ablation_is_saved_and_loaded_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = tiny_model(**EVERY[name])
    save_mcld(model, directory=tmp_path / "model")
    loaded = load_mcld(tmp_path / "model")
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(predict(loaded), predict(model))
    assert (tmp_path / "model" / "reference_unet").exists() == model.config.use_reference
    assert ("reference_unet" in authors_states(model)) == model.config.use_reference


def test_a_model_saved_before_reference_net_was_optional_has_one(tmp_path: Path) -> None:
    save_mcld(tiny_model(), directory=tmp_path / "model")
    index: Any = read_json(tmp_path / "model" / "model_index.json")
    del index["model"]["use_reference"]
    write_json(tmp_path / "model" / "model_index.json", value=index)
    assert load_config(tmp_path / "model") == TINY
    assert load_mcld(tmp_path / "model").reference_net is not None


@torch.no_grad()
def test_concatenated_conditions_share_one_softmax_at_every_stage() -> None:
    model = tiny_model(aggregation="concat")
    prepared = model.prepare(tiny_conditions(2), with_null=False)
    num_tokens = 1 + 1 + TINY.face.num_tokens  # e1, e2, f
    for name, _ in named_blocks(model.denoiser.unet):
        context = prepared.contexts[name]
        assert context.face is None
        assert context.condition_key is not None
        assert context.condition_key.shape[1] == context.condition_value.shape[1] == num_tokens
    assert not any("_ip" in name for name, _ in model.named_parameters())


@torch.no_grad()
def test_concatenated_conditions_do_not_depend_on_the_scale_of_a_separate_face_attention() -> None:
    one, two = tiny_model(aggregation="concat"), tiny_model(aggregation="concat", face_scale=2.0)
    assert torch.equal(predict(one), predict(two))


@cache
def full_size(name: str) -> MCLD:
    """An ablation at the paper's size, without memory."""
    with torch.device("meta"):
        return MCLD(ModelConfig(**EVERY[name]))


def count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def trained_by_the_authors(model: MCLD) -> int:
    """What requires a gradient in their code: everything but ReferenceNet's last up block.

    They also count the weights without effect, which we freeze, and count in units of 2**20.
    """
    frozen = 0 if model.reference_net is None else count(model.reference_net.unet.up_blocks[-1])
    return count(model) - frozen


def test_the_full_model_has_the_published_number_of_trainable_parameters() -> None:
    assert count(full_size("full")) == 1_819_621_908
    assert trained_by_the_authors(full_size("full")) == 1_800_811_348
    assert trained_by_the_authors(full_size("full")) / MEBI == pytest.approx(PUBLISHED_MEBI, abs=0.5)


def test_the_baseline_keeps_reference_net_as_the_published_growth_says() -> None:
    full = trained_by_the_authors(full_size("full"))
    assert full / trained_by_the_authors(full_size("b1")) == pytest.approx(PUBLISHED_GROWTH, abs=0.001)
    assert full / trained_by_the_authors(full_size("without-reference")) > 2


@pytest.mark.parametrize(
    ("name", "stored", "trained_by_authors", "trained"),
    [
        ("full", 1_819_621_908, 1_800_811_348, 1_771_256_148),
        ("b1", 1_720_116_244, 1_701_305_684, 1_658_352_084),
        ("b3", 1_800_452_628, 1_781_642_068, 1_760_688_468),
        ("b5", 1_720_116_244, 1_701_305_684, 1_660_976_084),
        ("without-reference", 860_607_444, 860_607_444, 838_607_444),
    ],
)
def test_parameter_counts_at_full_size(name: str, stored: int, trained_by_authors: int, trained: int) -> None:
    model = full_size(name)
    assert count(model) == stored
    assert trained_by_the_authors(model) == trained_by_authors
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_counts_differ_by_the_parts_that_are_missing() -> None:
    projector = count(full_size("full").face_projector)
    face_keys_and_values = sum(p.numel() for name, p in full_size("full").named_parameters() if "_ip" in name)
    assert count(full_size("full")) - count(full_size("b3")) == face_keys_and_values == 19_169_280
    assert count(full_size("b3")) - count(full_size("b1")) == projector == 80_336_384
    assert count(full_size("b5")) == count(full_size("b1")), "a texture token needs no weights of its own"


def values(name: str) -> dict[str, Any]:
    profile: dict[str, Any] = YAML(typ="safe").load((CHECKOUT / f"profiles/{name}.yaml").read_text())
    return profile


@pytest.mark.parametrize("name", ["b1", "b3", "b5"])
def test_an_ablation_profile_is_the_full_profile_but_for_the_ablation(name: str) -> None:
    full, ablation = values("deepfashion-512"), values(f"ablation-{name}")
    assert full.pop("recipe") == ablation.pop("recipe")
    differing = {
        (section, key)
        for section, keys in full.items()
        for key, value in keys.items()
        if ablation[section].get(key) != value
    }
    assert differing == {("model", key) for key in ABLATIONS[name]} | {("report", "title")}
    assert {key: ablation["model"][key] for key in ABLATIONS[name]} == ABLATIONS[name]
