"""What is not computed: that it is not, and that leaving it out changes no number."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.diffusion import NoiseSchedule, ddim_scheduler, sample
from mcld.models import MCLD, authors_states, load_mcld, save_mcld
from mcld.models.attention import attend, denoiser_block, project_block
from mcld.models.config import unet_settings
from mcld.models.unet_walk import named_blocks
from mcld.training.optimisation import adamw, apply_gradients, muon_and_adamw
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model

assert_close = functools.partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
MakeOptimizers = Callable[[nn.Module], dict[str, Optimizer]]


@contextmanager
def counted_calls(model: nn.Module) -> Iterator[Counter[str]]:
    """How often each submodule is called, by name."""
    calls: Counter[str] = Counter()

    def count(name: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _inputs: calls.update([name])

    handles = [module.register_forward_pre_hook(count(name)) for name, module in model.named_modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded_rows(module: nn.Module) -> Iterator[list[int]]:
    """The batch size of every call of `module`."""
    rows: list[int] = []
    handle = module.register_forward_pre_hook(lambda _module, inputs: rows.append(len(inputs[0])))
    try:
        yield rows
    finally:
        handle.remove()


def stock_unet(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """A UNet as diffusers makes it, with the weights that ours shares with it."""
    stock = UNet2DConditionModel(**unet_settings(TINY))
    shared = {name: value for name, value in unet.state_dict().items() if name in stock.state_dict()}
    stock.load_state_dict({**stock.state_dict(), **shared})
    return stock


def train_once(model: MCLD, *, optimizers: dict[str, Optimizer]) -> None:
    v = model(tiny_latent(2), timestep_B=torch.tensor([400, 2]), conditions=tiny_conditions(2))
    loss = (v - 1.0).square().mean()
    assert apply_gradients(model, loss=loss, optimizers=optimizers, factor=1.0, max_grad_norm=1.0)


@torch.no_grad()
def test_a_denoiser_without_its_additions_is_the_stock_unet() -> None:
    model = tiny_model(use_texture=False, use_face=False, use_reference=False)
    nn.init.zeros_(model.pose_guider.conv_out.weight)
    conditions, latent, timestep = tiny_conditions(2), tiny_latent(2), torch.tensor([400, 2])
    # The stock UNet computes queries, keys and a softmax over the single token.
    token_B1D = conditions.image_embedding[:, None]
    expected = stock_unet(model.denoiser.unet)(latent, timestep, encoder_hidden_states=token_B1D).sample
    found = model(latent, timestep_B=timestep, conditions=conditions)
    assert_close(found, expected)


@torch.no_grad()
def test_reference_features_are_those_of_a_stock_unet_run_to_its_end() -> None:
    model = tiny_model()
    assert model.reference_net is not None
    texture, token_K1D = tiny_latent(2), torch.randn(2, 1, 24, generator=torch.Generator().manual_seed(3))
    stock = stock_unet(model.reference_net.unet)
    expected: dict[str, Tensor] = {}
    for name, block in named_blocks(stock):
        block.norm1.register_forward_hook(
            lambda _module, _inputs, output, name=name: expected.__setitem__(name, output)
        )
    stock(texture, 0, encoder_hidden_states=token_K1D)
    found = model.reference_net(texture, image_token_K1D=token_K1D)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value)


def explicit_cross_attention(
    block: BasicTransformerBlock, *, query_BLC: Tensor, condition_BTD: Tensor, face_BFD: Tensor
) -> Tensor:
    """The formula as the paper writes it, with the softmax over however many tokens."""
    cross, processor = block.attn2, block.attn2.processor
    query, heads = cross.to_q(query_BLC), cross.heads
    mixed = attend(query, key_BMC=cross.to_k(condition_BTD), value_BMC=cross.to_v(condition_BTD), heads=heads)
    face_key, face_value = processor.to_k_ip(face_BFD), processor.to_v_ip(face_BFD)
    face = attend(query, key_BMC=face_key, value_BMC=face_value, heads=heads)
    result: Tensor = cross.to_out[0](mixed + TINY.face_scale * face)
    return result


@pytest.mark.parametrize("num_tokens", [1, 2])
@torch.no_grad()
def test_attention_to_one_token_needs_no_softmax(num_tokens: int) -> None:
    generator = torch.Generator().manual_seed(4)
    _, block = named_blocks(tiny_model().denoiser.unet)[0]
    token_BLC = torch.randn(2, 12, 16, generator=generator)
    condition_BTD = torch.randn(2, num_tokens, 24, generator=generator)
    face_BFD = torch.randn(2, 4, 24, generator=generator)
    context = project_block(block, reference_KNC=None, condition_BTD=condition_BTD, face_BFD=face_BFD)
    found = denoiser_block(block, token_BLC=token_BLC, context=context)

    token_BLC = token_BLC + block.attn1(block.norm1(token_BLC))
    token_BLC = token_BLC + explicit_cross_attention(
        block, query_BLC=block.norm2(token_BLC), condition_BTD=condition_BTD, face_BFD=face_BFD
    )
    assert_close(found, token_BLC + block.ff(block.norm3(token_BLC)))
    assert (context.condition_key is None) == (num_tokens == 1)


def test_exactly_the_modules_without_any_effect_are_never_called() -> None:
    model = tiny_model()
    with counted_calls(model) as calls:
        train_once(model, optimizers={})
    with_weights = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    dead = {name.rpartition(".")[0] for name in model.dead_parameter_names()}
    called = {name for name in with_weights if calls[name]}
    assert dead
    assert with_weights - called == dead


def test_reference_net_stops_at_the_last_feature() -> None:
    model = tiny_model()
    assert model.reference_net is not None
    with counted_calls(model.reference_net.unet) as calls:
        train_once(model, optimizers={})
    last, _ = named_blocks(model.reference_net.unet)[-1]
    assert calls[f"{last}.norm1"] == 1
    assert not any(calls[f"{last}.{part}"] for part in ("attn1", "attn2", "norm3", "ff"))
    assert not calls["conv_out"]


@pytest.mark.parametrize(
    ("dropped", "num_rows"),
    [(None, 3), ((False, False, False), 3), ((True, False, False), 2), ((True, True, True), 0)],
)
@torch.no_grad()
def test_reference_net_runs_on_the_rows_that_have_a_reference(
    dropped: tuple[bool, ...] | None, num_rows: int
) -> None:
    model = tiny_model()
    assert model.reference_net is not None
    drop = None if dropped is None else torch.tensor(dropped)
    with recorded_rows(model.reference_net.unet.conv_in) as rows:
        model(
            tiny_latent(3),
            timestep_B=torch.tensor([4, 500, 999]),
            conditions=tiny_conditions(3),
            drop_appearance_B=drop,
        )
    assert rows == [num_rows]


def rendered(model: MCLD, *, denoise: Callable[[Tensor, Tensor], Tensor], num_steps: int) -> Tensor:
    return sample(
        denoise,
        noise_BCHW=tiny_latent(2),
        scheduler=ddim_scheduler(NoiseSchedule()),
        num_steps=num_steps,
        guidance_scale=3.5,
    )


def render_prepared(model: MCLD, *, num_steps: int) -> Tensor:
    prepared = model.prepare(tiny_conditions(2), with_null=True)

    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        return model.denoise(latent, timestep_B=timestep, prepared=prepared)

    return rendered(model, denoise=denoise, num_steps=num_steps)


def test_sampling_projects_every_condition_once_per_image_whatever_the_steps() -> None:
    model = tiny_model()
    assert model.reference_net is not None
    num_steps = 5
    with counted_calls(model) as calls, recorded_rows(model.reference_net.unet.conv_in) as reference_rows:
        render_prepared(model, num_steps=num_steps)
    for name in ("pose_guider", "face_projector", "reference_net"):
        assert calls[name] == 1, name
    assert reference_rows == [2], "null rows have no reference"
    for name, _ in named_blocks(model.denoiser.unet):
        block = f"denoiser.unet.{name}"
        assert calls[f"{block}.attn1.to_q"] == num_steps
        for part in ("to_k", "to_v"):  # once for the reference, and its own tokens at every step
            assert calls[f"{block}.attn1.{part}"] == num_steps + 1, (name, part)
        for part in ("to_v", "processor.to_k_ip", "processor.to_v_ip"):
            assert calls[f"{block}.attn2.{part}"] == 1, (name, part)
        assert calls[f"{block}.attn2.to_k"] == (1 if name.startswith("mid") else 0)


@torch.no_grad()
def test_sampling_with_conditions_projected_once_equals_recomputing_them_at_every_step() -> None:
    model, drop = tiny_model(), torch.tensor([False, False, True, True])
    once = tiny_conditions(2)
    twice = dataclasses.replace(
        once, **{item.name: torch.cat([getattr(once, item.name)] * 2) for item in dataclasses.fields(once)}
    )

    def denoise(latent: Tensor, timestep: Tensor) -> Tensor:
        v: Tensor = model(latent, timestep_B=timestep, conditions=twice, drop_appearance_B=drop)
        return v

    expected = rendered(model, denoise=denoise, num_steps=4)
    assert_close(render_prepared(model, num_steps=4), expected)


@pytest.mark.parametrize(
    "make_optimizers",
    [
        lambda model: adamw(model, learning_rate=1e-2, weight_decay=0.5),
        lambda model: muon_and_adamw(model, ends=("conv_in",), kernel_learning_rate=1e-2, learning_rate=1e-2),
    ],
    ids=["adamw", "muon"],
)
def test_weights_that_are_not_trained_have_no_optimiser_state_and_do_not_decay(
    make_optimizers: MakeOptimizers,
) -> None:
    model = tiny_model()
    untrained = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizers = make_optimizers(model)
    for _ in range(2):
        train_once(model, optimizers=optimizers)
    states = [optimizer.state for optimizer in optimizers.values()]
    assert set(model.dead_parameter_names()) <= untrained.keys()
    for name, parameter in model.named_parameters():
        assert any(parameter in state for state in states) == (name not in untrained), name
        assert torch.equal(parameter, before[name]) == (name in untrained), name


def test_weights_without_effect_are_saved_and_loaded_all_the_same(tmp_path: Path) -> None:
    model = tiny_model()
    dead = model.dead_parameter_names()
    save_mcld(model, directory=tmp_path / "model")
    loaded = load_mcld(tmp_path / "model")
    exported = {name for state in authors_states(model).values() for name in state}
    for name in dead:
        assert torch.equal(loaded.get_parameter(name), model.get_parameter(name)), name
        assert not loaded.get_parameter(name).requires_grad, name
        assert name.split(".unet.")[1] in exported, name
