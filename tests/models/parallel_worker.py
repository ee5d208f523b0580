"""One rank of the parallel tests: two optimiser steps in several ways, the results in one file.

    torchrun --nproc-per-node 2 tests/models/parallel_worker.py RESULTS.safetensors

Float64, so that what differs by more than rounding differs because it is wrong.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from mcld.models import MCLD
from mcld.models.sharding import shard
from mcld.training.averaging import MovingAverage
from mcld.training.optimisation import adamw, apply_gradients
from tests.models.tiny import take_rows, tiny_conditions, tiny_latent, tiny_model

NUM_RANKS, ROWS_PER_RANK, NUM_STEPS = 2, 2, 2
NUM_ROWS = NUM_RANKS * ROWS_PER_RANK
# By step and row. At first no row of the second rank has a reference, then all of them have.
DROPPED = ((False, True, True, True), (True, True, False, False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Train alone on the joint batch, or on this rank's rows with replicas or shares of the model."""

    parallel: Literal["alone", "replicated", "sharded"]
    checkpointing: bool = False

    @property
    def rows(self) -> slice:
        """The rows of the joint batch that this rank trains on."""
        first = dist.get_rank() * ROWS_PER_RANK
        return slice(0, NUM_ROWS) if self.parallel == "alone" else slice(first, first + ROWS_PER_RANK)


WAYS = {
    "alone": Way(parallel="alone"),
    "replicated": Way(parallel="replicated"),
    "replicated-checkpointing": Way(parallel="replicated", checkpointing=True),
    "sharded": Way(parallel="sharded"),
    "sharded-checkpointing": Way(parallel="sharded", checkpointing=True),
}


def results_of(way: Way) -> dict[str, Tensor]:
    """Gradients of the first step, a sample after it, and the whole training state after the last one."""
    model = tiny_model().double()
    model.set_gradient_checkpointing(way.checkpointing)
    average = MovingAverage(model, decay=0.5)
    assert isinstance(average.average, MCLD)
    wrapped: nn.Module = model
    if way.parallel == "replicated":
        wrapped = DistributedDataParallel(model)
    elif way.parallel == "sharded":
        mesh = init_device_mesh("cpu", (NUM_RANKS,))
        shard(model, mesh=mesh)
        shard(average.average, mesh=mesh)
    optimizers = adamw(model, learning_rate=1e-3, weight_decay=0.01)
    results = {"share": torch.tensor(share_held(model))}
    for step in range(NUM_STEPS):
        loss = loss_of(wrapped, step=step, rows=way.rows)
        assert apply_gradients(model, loss=loss, optimizers=optimizers, factor=1.0, max_grad_norm=1.0)
        average.update(model, step=step)
        if step == 0:
            gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
            results |= {f"gradient.{name}": whole(value) for name, value in gradients.items()}
            results |= {"sample.model": sample_of(model), "sample.average": sample_of(average.average)}
    # Gathered by the call that checkpoints of sharded models use; on the first rank only.
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(model, optimizers["adamw"], options=options)
    averages = get_model_state_dict(average.average, options=options)
    moments = cast("dict[str, dict[str, Tensor]]", state.get("state", {}))
    results |= {f"weight.{name}": whole(value) for name, value in weights.items()}
    results |= {f"average.{name}": whole(value) for name, value in averages.items()}
    for name, fields in moments.items():
        results |= {f"optimizer.{name}.{field}": value for field, value in fields.items()}
    return results


def loss_of(model: nn.Module, *, step: int, rows: slice) -> Tensor:
    """The mean over some rows of a step's batch; the mean of the ranks' losses is that of the joint batch."""
    drop = torch.tensor(DROPPED[step])[rows]
    v: Tensor = model(
        tiny_latent(NUM_ROWS, seed=20 + step)[rows],
        timestep_B=torch.arange(100, 900, 200)[rows],
        conditions=take_rows(tiny_conditions(NUM_ROWS, seed=10 + step), rows=rows),
        drop_appearance_B=drop,
        drop_image_B=~drop,
    )
    return (v - 1.0).square().mean()


def sample_of(model: MCLD) -> Tensor:
    """What a listener in the middle of training does."""
    prepared = model.prepare(tiny_conditions(1), with_null=True)
    rows = torch.cat([tiny_latent(1), tiny_latent(1)]).double()
    return model.denoise(rows, timestep_B=torch.tensor([500, 500]), prepared=prepared)


def share_held(model: MCLD) -> float:
    """The fraction of the model's numbers that this rank holds at rest."""
    held = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in model.parameters())
    return held / sum(p.numel() for p in model.parameters())


def whole(value: object) -> Tensor:
    """A copy of a tensor, gathered if this rank has only a share of it."""
    gathered = value.full_tensor() if isinstance(value, DTensor) else value
    assert isinstance(gathered, Tensor)
    return gathered.detach().clone()


def main(path: Path) -> None:
    """Train in every way; the first rank writes the results."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    results: dict[str, Tensor] = {}
    for name, way in WAYS.items():
        results |= {f"{name}/{key}": value.contiguous() for key, value in results_of(way).items()}
    if dist.get_rank() == 0:
        save_file(results, path)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
