"""torch.compile captures both UNets in one graph, forward and backward, whichever rows are dropped."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator

import pytest
import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from mcld.models import MCLD
from mcld.models.unet_walk import Step, walk
from tests.models.tiny import tiny_conditions, tiny_latent, tiny_model

assert_close = functools.partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
MIXED = (False, True, False)
Answer = tuple[Tensor, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def model() -> MCLD:
    """Two levels, of which one has attention: capturing takes seconds even so."""
    return tiny_model(block_out_channels=(16, 16), attention_levels=(True, False))


def compile_networks(
    model: MCLD, *, backend: str
) -> tuple[CompileCounterWithBackend, CompileCounterWithBackend]:
    """Compile denoiser and ReferenceNet; the counters tell the graphs of each. A break is an error."""
    assert model.reference_net is not None
    counters = CompileCounterWithBackend(backend), CompileCounterWithBackend(backend)
    for network, counter in zip((model.denoiser, model.reference_net), counters, strict=True):
        network.compile(fullgraph=True, backend=counter)
    return counters


def train_step(model: MCLD, *, dropped: tuple[bool, ...]) -> Answer:
    """A prediction, and the gradients of a loss on it."""
    num_rows = len(dropped)
    model.zero_grad()
    v: Tensor = model(
        tiny_latent(num_rows),
        timestep_B=torch.arange(num_rows) * 200,
        conditions=tiny_conditions(num_rows),
        drop_appearance_B=torch.tensor(dropped),
    )
    v.square().mean().backward()
    return v.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: Answer, *, expected: Answer) -> None:
    assert_close(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for name, value in expected[1].items():
        assert_close(found[1][name], value)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, pytest.param(True, marks=pytest.mark.long)])
def test_each_network_is_one_graph_forward_and_backward_in_a_mixed_batch(
    model: MCLD, checkpointing: bool
) -> None:
    model.set_gradient_checkpointing(checkpointing)
    expected = train_step(model, dropped=MIXED)
    counters = compile_networks(model, backend="aot_eager")
    assert_same(train_step(model, dropped=MIXED), expected=expected)
    assert [counter.frame_count for counter in counters] == [1, 1]


@pytest.mark.long
@pytest.mark.slow
def test_the_number_of_graphs_stays_small_whatever_rows_are_dropped(model: MCLD) -> None:
    # All rows, the first other number (taken for a constant), then any number, and the special ones 1 and 0.
    batches = [tuple(row >= kept for row in range(5)) for kept in (5, 4, 3, 2, 1, 0)]
    expected = [train_step(model, dropped=dropped) for dropped in batches]
    of_denoiser, of_reference_net = compile_networks(model, backend="eager")
    for dropped, answer in zip(batches, expected, strict=True):
        assert_same(train_step(model, dropped=dropped), expected=answer)
    assert of_denoiser.frame_count <= 5
    assert of_reference_net.frame_count <= 4
    graphs = of_denoiser.frame_count, of_reference_net.frame_count
    for dropped in reversed(batches):
        train_step(model, dropped=dropped)
    assert (of_denoiser.frame_count, of_reference_net.frame_count) == graphs, "later batches compile nothing"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler, g++")
def test_inductor_keeps_the_gradient_through_a_level_of_the_unet() -> None:
    # torch 2.13 on the CPU loses it in diffusers' own upsampling between two residual blocks.
    # A whole network would take minutes to compile.
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [
            Downsample2D(16, use_conv=True),
            ResnetBlock2D(in_channels=16, out_channels=16, temb_channels=64, groups=8),
            Upsample2D(16, use_conv=True),
            ResnetBlock2D(in_channels=32, out_channels=16, temb_channels=64, groups=8),
        ]
    )
    steps = [Step(name=str(i), module=layer, takes_skip=i == 3) for i, layer in enumerate(layers)]

    def level(hidden_BCHW: Tensor, time_BE: Tensor) -> Tensor:
        def no_transform(_name: str, _block: nn.Module, token_BLC: Tensor) -> Tensor:
            return token_BLC

        return walk(
            steps, hidden_BCHW=hidden_BCHW, time_BE=time_BE, transform=no_transform, checkpointing=False
        )

    hidden, time = torch.randn(3, 16, 9, 6), torch.randn(3, 64)
    answers = []
    for function in (level, torch.compile(level, fullgraph=True)):
        layers.zero_grad()
        function(hidden, time).square().mean().backward()
        answers.append({name: p.grad.clone() for name, p in layers.named_parameters() if p.grad is not None})
    expected, found = answers
    assert len(expected) == len(list(layers.parameters()))
    for name, value in expected.items():
        assert_close(found[name], value)


@torch.no_grad()
def test_a_sampling_step_is_one_graph_that_all_steps_share(model: MCLD) -> None:
    latent = torch.cat([tiny_latent(2), tiny_latent(2)])
    prepared = model.prepare(tiny_conditions(2), with_null=True)
    counter = CompileCounterWithBackend("aot_eager")
    denoise = torch.compile(model.denoise, fullgraph=True, backend=counter)
    for timestep in (999, 500, 3):
        timestep_B = torch.full((4,), timestep)
        expected = model.denoise(latent, timestep_B=timestep_B, prepared=prepared)
        found = denoise(latent, timestep_B=timestep_B, prepared=prepared)
        assert_close(found, expected)
    assert counter.frame_count == 1
