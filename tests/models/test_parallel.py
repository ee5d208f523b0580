"""Two processes train as one does on the joint batch, with replicas (DDP) or shares (FSDP2) of the model."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mcld.models.sharding import shardable_modules
from tests.models.tiny import tiny_conditions, tiny_latent, tiny_model
from tests.torchrun import run_two

WORKER_PATH = Path(__file__).with_name("parallel_worker.py")
# Float64, summed in another order.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
WAYS = ["replicated", "replicated-checkpointing", "sharded", "sharded-checkpointing"]
Results = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """By way of training: gradients, samples, weights, averages and optimiser state, gathered."""
    path = tmp_path_factory.mktemp("parallel") / "results.safetensors"
    finished = run_two(str(WORKER_PATH), str(path))
    assert finished.returncode == 0, finished.stderr
    by_way: Results = {}
    for key, value in load_file(path).items():
        way, _, name = key.partition("/")
        by_way.setdefault(way, {})[name] = value
    return by_way


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["gradient", "sample", "weight", "average", "optimizer"])
def test_two_ranks_with_different_dropout_equal_one_process_on_the_joint_batch(
    results: Results, way: str, kind: str
) -> None:
    expected = {name: value for name, value in results["alone"].items() if name.startswith(f"{kind}.")}
    found = {name: value for name, value in results[way].items() if name.startswith(f"{kind}.")}
    assert expected
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, msg=f"{name} differs")


@pytest.mark.slow
def test_a_rank_holds_its_share_of_the_weights(results: Results) -> None:
    assert float(results["replicated"]["share"]) == 1.0
    # Not exactly half: rows of a weight are not split, and these weights have few.
    assert float(results["sharded"]["share"]) == pytest.approx(0.5, abs=0.05)


def test_every_trained_weight_is_used_inside_the_forward_of_its_group() -> None:
    model = tiny_model()
    groups = shardable_modules(model)
    called: list[nn.Module] = []
    for module in groups:
        module.register_forward_hook(lambda module, _inputs, _output: called.append(module))
    model(tiny_latent(1), timestep_B=torch.tensor([500]), conditions=tiny_conditions(1))
    for module in groups:
        assert module in called or not any(p.requires_grad for p in module.parameters())
    assert groups[-1] is model, "the model itself comes last and takes what is left"
