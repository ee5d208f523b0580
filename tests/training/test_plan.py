"""What training will cost, against what was measured and what is really written and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mcld.config import Params, parse_params
from mcld.errors import ConfigError
from mcld.models import MCLD, ModelConfig
from mcld.training.averaging import MovingAverage
from mcld.training.flops import flops_per_row
from mcld.training.gpus import find_gpu, gpu_of_device
from mcld.training.memory import step_memory
from mcld.training.optimisation import adamw, muon_and_adamw
from mcld.training.plan import (
    GIB,
    MemoryPlan,
    checkpoint_bytes,
    network_sizes,
    plan_batch,
    plan_memory,
    plan_work,
)
from mcld.training.plan_data import decoded_bytes, plan_checkpoints, plan_data
from mcld.types import Conditions
from tests.data.shard_factory import write_shards
from tests.tiny_models import TINY_CONFIG

TINY_LATENTS = {"height_px": 32, "width_px": 16, "texture_height_px": 32, "texture_width_px": 32}


def params_of(**sections: dict[str, object]) -> Params:
    # Counted by the configuration, and not by the GPUs of the machine that runs the test.
    runtime = {"num_processes": 1, **sections.pop("runtime", {})}
    latents = {**TINY_LATENTS, **sections.pop("latents", {})}
    return parse_params({"runtime": runtime, "latents": latents, **sections}, place="test")


FULL = params_of(
    latents={"height_px": 512, "width_px": 512, "texture_height_px": 512, "texture_width_px": 512},
    train={"precision": "bfloat16", "optimizer": "adamw", "batch_size": 32},
)


# docs/log.md, 2026-11-22: eager steps with AdamW and the average on an H200; a row in ten has no reference.
@pytest.mark.parametrize(("rows", "measured_gib"), [(4, 46.3), (8, 55.0), (16, 72.9), (32, 110.0)])
def test_memory_at_full_size_is_what_a_gpu_used(rows: int, measured_gib: float) -> None:
    memory = plan_memory(ModelConfig(), params=FULL)
    assert memory.of(rows) / GIB == pytest.approx(measured_gib, rel=0.03)


def test_a_step_keeps_at_least_what_a_real_one_saves_for_the_backward_pass() -> None:
    step = step_memory(TINY_CONFIG, latent_hw=(4, 2), texture_hw=(4, 4), half=False, checkpointing=False)
    saved = saved_bytes(num_rows=4)
    assert saved <= step.of(4) <= 1.25 * saved


@pytest.mark.long
def test_gradient_checkpointing_and_half_precision_keep_less_a_row() -> None:
    sizes = {"latent_hw": (64, 64), "texture_hw": (64, 64)}
    whole = step_memory(ModelConfig(), **sizes, half=False, checkpointing=False)
    half = step_memory(ModelConfig(), **sizes, half=True, checkpointing=False)
    recomputed = step_memory(ModelConfig(), **sizes, half=True, checkpointing=True)
    assert recomputed.per_row < half.per_row / 3
    assert half.per_row < whole.per_row
    assert half.constant > whole.constant  # the weights' halved copies


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_checkpoint_is_as_large_as_what_training_holds(optimizer: str) -> None:
    model = MCLD(TINY_CONFIG)
    optimizers = (
        adamw(model, learning_rate=1e-3, weight_decay=0.0)
        if optimizer == "adamw"
        else muon_and_adamw(
            model, ends=("conv_in", "conv_out"), kernel_learning_rate=1e-2, learning_rate=1e-3
        )
    )
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    held = 0
    for one in optimizers.values():
        one.step()
        held += sum(
            value.numel() * value.element_size()
            for state in one.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor) and value.dim()  # the count of steps is not worth telling
        )
    average = MovingAverage(model, decay=0.9)
    held += 4 * sum(p.numel() for module in (model, average) for p in module.parameters())
    assert checkpoint_bytes(TINY_CONFIG, params=params_of(train={"optimizer": optimizer})) == held


def test_networks_add_up_to_the_model() -> None:
    model = MCLD(TINY_CONFIG)
    sizes = network_sizes(TINY_CONFIG)
    assert sum(size.num_trained + size.num_frozen for size in sizes) == sum(
        p.numel() for p in model.parameters()
    )
    assert {"denoiser", "reference_net", "pose_guider", "face_projector"} == {size.name for size in sizes}


def test_fsdp_shares_what_lies_between_steps() -> None:
    alone = plan_memory(TINY_CONFIG, params=params_of())
    shared = plan_memory(TINY_CONFIG, params=params_of(runtime={"num_processes": 4, "parallel": "fsdp"}))
    assert shared.parts["weights"] == -(-alone.parts["weights"] // 4)
    assert "gathered by fsdp" in shared.parts


def test_the_most_rows_fit_and_one_more_does_not() -> None:
    memory = MemoryPlan(parts={"weights": 2 * GIB}, step_constant=GIB, step_per_row=GIB)
    most = memory.max_rows(20)
    assert memory.of(most) <= 0.95 * 20 * GIB < memory.of(most + 1)
    assert memory.max_rows(1) == 0


def test_what_does_not_fit_comes_with_numbers_that_do() -> None:
    params = params_of(train={"batch_size": 64, "optimizer": "adamw"}, runtime={"num_processes": 2})
    memory = plan_memory(TINY_CONFIG, params=params)
    enough_for_ten = memory.of(10) / 0.95 / GIB
    batch = plan_batch(TINY_CONFIG, params=params, memory=memory, memory_gib=enough_for_ten)
    assert batch.rows == 32
    assert batch.max_rows in (9, 10)
    told = " ".join(batch.remedies)
    assert "runtime.accumulation_steps: 4 (8 rows at once" in told
    assert "gradient_checkpointing: true" in told
    assert "runtime.parallel: fsdp" in told
    fitting = plan_batch(TINY_CONFIG, params=params, memory=memory, memory_gib=10 * enough_for_ten)
    assert not fitting.remedies


def test_a_batch_that_does_not_divide_is_told() -> None:
    params = params_of(train={"batch_size": 10}, runtime={"num_processes": 4})
    memory = plan_memory(TINY_CONFIG, params=params)
    batch = plan_batch(TINY_CONFIG, params=params, memory=memory, memory_gib=None)
    assert "take 8 or 12" in batch.remedies[0]


def test_time_follows_the_gpu_and_never_beats_its_kernels_start() -> None:
    memory = plan_memory(ModelConfig(), params=FULL)
    batch = plan_batch(ModelConfig(), params=FULL, memory=memory, memory_gib=139)
    work = {
        name: plan_work(ModelConfig(), params=FULL, batch=batch, gpu=find_gpu(name))
        for name in ("H200", "A100")
    }
    fast, slow = work["H200"].images_per_s, work["A100"].images_per_s
    assert fast is not None
    assert slow is not None
    assert fast == pytest.approx(43.9, rel=0.03)  # measured, docs/log.md
    assert fast / slow == pytest.approx(989 / 312)
    tiny_params = params_of()
    tiny_batch = plan_batch(
        TINY_CONFIG, params=tiny_params, memory=plan_memory(TINY_CONFIG, params=tiny_params), memory_gib=None
    )
    tiny = plan_work(TINY_CONFIG, params=tiny_params, batch=tiny_batch, gpu=find_gpu("H200"))
    assert tiny.bound_by == "starting kernels"
    assert tiny.flops_per_image < flops_per_row(TINY_CONFIG, latent_hw=(4, 2), texture_hw=(4, 4))


def test_gpus_are_found_by_name_and_unknown_ones_name_the_known() -> None:
    assert find_gpu("h100-pcie").name == "H100-PCIe"
    known = gpu_of_device("NVIDIA GeForce RTX 4090")
    assert known is not None
    assert known.name == "4090"
    assert gpu_of_device("Radeon") is None
    with pytest.raises(ConfigError, match=r"'H300' is unknown; did you mean .*known are .*H200.*T4"):
        find_gpu("H300")


def test_shards_are_counted_by_reader_and_epochs_by_visits(tmp_path: Path) -> None:
    directory = write_shards(tmp_path / "shards", views_per_outfit=[[3, 2], [2]])
    params = params_of(train={"pairs_per_visit": 4, "batch_size": 5, "steps": 4, "num_streams": 2})
    data = plan_data(directory, params=params, num_processes=1, latent_channels=4, embedding_width=8)
    assert data is not None
    assert (data.num_shards, data.num_outfits, data.num_images) == (2, 3, 7)
    assert data.num_pairs == 6 + 2 + 2
    assert data.epochs == 2
    # The outfit of six pairs is visited twice, the others once.
    assert data.num_bytes < data.bytes_an_epoch < 2 * data.num_bytes
    assert not data.problems
    crowded = plan_data(directory, params=params, num_processes=4, latent_channels=4, embedding_width=8)
    assert crowded is not None
    assert "2 training shards, 4 readers" in crowded.problems[0]
    assert "train.num_streams 2 is no multiple of 4 readers" in crowded.problems[1]


def test_without_shards_nothing_is_said_of_them(tmp_path: Path) -> None:
    found = plan_data(tmp_path, params=params_of(), num_processes=1, latent_channels=4, embedding_width=8)
    assert found is None


def test_a_decoded_view_is_counted_array_by_array() -> None:
    counted = decoded_bytes(params_of(), latent_channels=4, embedding_width=8)
    assert counted == 2 * 8 * (4 * 2 + 4 * 4) + 3 * 32 * 16 + 4 * (2 * 8 + 512)


def test_the_newest_and_every_so_many_checkpoints_stay() -> None:
    params = params_of(
        train={"steps": 1050, "checkpoint_every_steps": 100},
        runtime={"keep_last_checkpoints": 2, "keep_every_steps": 500},
    )
    kept = plan_checkpoints(7, params=params)
    assert (kept.num_saves, kept.num_kept, kept.kept_bytes) == (11, 3, 21)  # 500, 1000 and 1050


def saved_bytes(*, num_rows: int) -> int:
    """Of all storages that a real forward pass leaves for the backward one, weights not counted."""
    model = MCLD(TINY_CONFIG)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    conditions = Conditions(
        target_iuv=torch.zeros(num_rows, 3, 32, 16, dtype=torch.uint8),
        texture_latent=torch.randn(num_rows, 4, 4, 4),
        image_embedding=torch.randn(num_rows, 8),
        texture_embedding=torch.randn(num_rows, 8),
        face_embedding=torch.randn(num_rows, 6),
        face_found=torch.ones(num_rows, dtype=torch.bool),
    )
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        v = model(
            torch.randn(num_rows, 4, 4, 2), timestep_B=torch.zeros(num_rows).long(), conditions=conditions
        )
    assert v.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())
