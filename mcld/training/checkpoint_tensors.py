"""A training state as named tensors: the same names whether it is plain, replicated (DDP) or shared (FSDP2).

    module.NAME.WEIGHT                    weights and buffers of a module
    optimizer.NAME.MODULE.WEIGHT.FIELD    what an optimiser remembers of a weight
    generator.RANK                        PyTorch's generator of a process, as its bytes

Weights are called as in the module before it was wrapped, and optimiser fields after their weights, not after
their position: so a state saved by one process loads into two, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

GENERATOR_PREFIX = "generator."
Stored = Mapping[str, TensorStorageMetadata]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a step changes: modules and running averages by name, and the optimisers by name.

    Modules may be wrapped (DDP) or sharded (FSDP2); optimisers are over weights of these modules.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]


def tensors_of(state: TrainingState) -> dict[str, Tensor]:
    """Every tensor of a state by its name: the living ones, which the next step changes."""
    tensors = module_tensors(state)
    for weight in _trained_weights(state):
        for field, value in state.optimizers[weight.optimizer].state[weight.parameter].items():
            # Some optimisers count steps in plain numbers.
            tensors[f"{weight.name}.{field}"] = torch.as_tensor(value).detach()
    return tensors


def module_tensors(state: TrainingState) -> dict[str, Tensor]:
    """Weights and buffers by name, sharing memory with the modules."""
    return {
        f"module.{name}.{key}": value
        for name, module in state.modules.items()
        for key, value in _unwrapped(module).state_dict().items()
    }


def generator_name(rank: int) -> str:
    """The name of a process's generator state."""
    return f"{GENERATOR_PREFIX}{rank:05d}"


def fields_to_load(state: TrainingState, *, stored: Stored) -> dict[str, Tensor]:
    """New tensors for all that the optimisers remembered, shared among the processes as their weights are."""
    fields: dict[str, Tensor] = {}
    names_by_weight: dict[str, list[str]] = {}
    for full_name in stored:
        names_by_weight.setdefault(full_name.rpartition(".")[0], []).append(full_name)
    for weight in _trained_weights(state):
        for full_name in names_by_weight.get(weight.name, []):
            size, dtype = stored[full_name].size, stored[full_name].properties.dtype
            if size == weight.parameter.shape and weight.parameter.dim() > 0:
                fields[full_name] = torch.empty_like(weight.parameter.detach(), dtype=dtype)
            else:
                fields[full_name] = torch.empty(size, dtype=dtype)
    return fields


def put_fields_back(state: TrainingState, *, fields: Mapping[str, Tensor]) -> None:
    """Give the optimisers what was loaded; their settings (learning rates, …) stay as they are."""
    by_weight: dict[str, dict[str, Tensor]] = {}
    for full_name, value in fields.items():
        name, _, field = full_name.rpartition(".")
        by_weight.setdefault(name, {})[field] = value
    remembered: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in state.optimizers}
    for weight in _trained_weights(state):
        if weight.name in by_weight:
            remembered[weight.optimizer][weight.position] = by_weight[weight.name]
    for name, optimizer in state.optimizers.items():
        settings = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": remembered[name], "param_groups": settings})


def is_shared(tensor: Tensor) -> bool:
    """Whether each process holds only its share of a tensor."""
    return isinstance(tensor, DTensor) and not all(place.is_replicate() for place in tensor.placements)


def held_here(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: its share, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _TrainedWeight:
    """A weight, the optimiser that trains it, its position there and what its fields are named after."""

    optimizer: str
    position: int
    name: str
    parameter: nn.Parameter


def _trained_weights(state: TrainingState) -> Iterator[_TrainedWeight]:
    names: dict[int, str] = {}
    for name, module in state.modules.items():
        for key, parameter in _unwrapped(module).named_parameters():
            names.setdefault(id(parameter), f"{name}.{key}")
    for name, optimizer in state.optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for position, parameter in enumerate(parameters):
            yield _TrainedWeight(
                optimizer=name,
                position=position,
                name=f"optimizer.{name}.{names[id(parameter)]}",
                parameter=parameter,
            )


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, whose names begin with a `module.` of its own."""
    return module.module if isinstance(module, DistributedDataParallel) else module
