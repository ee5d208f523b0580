"""Several processes as one training: who this process is, the group that it talks in, the model they share.

    with open_ranks(params.runtime) as ranks:                  # reads what torchrun put into the environment
        wrapped = parallel_model(model, ranks=ranks, way="ddp")

Without torchrun there is one process, no group, and the model stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.nn.parallel import DistributedDataParallel

from mcld.config import RuntimeParams
from mcld.devices import pick_device
from mcld.errors import ConfigError, WorkerError
from mcld.models import MCLD
from mcld.models.sharding import shard

Way = Literal["ddp", "fsdp"]
# How gloo and NCCL say that another process is gone or does not answer.
LOST_WORDS = (
    "timed out",
    "timeout",
    "connection closed",
    "connection reset",
    "connection refused",
    "broken pipe",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which process of a training this is, and where it computes."""

    rank: int = 0
    num_ranks: int = 1
    local_rank: int = 0  # among those on this machine
    num_local: int = 1
    device: torch.device

    @property
    def is_distributed(self) -> bool:
        """Whether there are others, and so a process group."""
        return self.num_ranks > 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0


def alone(device: torch.device) -> Ranks:
    """One process on `device`."""
    return Ranks(device=device)


@contextmanager
def open_ranks(runtime: RuntimeParams, *, environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """This process among those that torchrun or Ray Train started; within it they can talk.

    NCCL between GPUs, one a process, and gloo between processors. Raises ConfigError when there are more
    processes than GPUs, and WorkerError when the others do not come.
    """
    num_ranks = int(environment.get("WORLD_SIZE", "1"))
    if "RANK" not in environment or num_ranks == 1:
        yield alone(pick_device(runtime.device))
        return
    ranks = Ranks(
        rank=int(environment["RANK"]),
        num_ranks=num_ranks,
        local_rank=int(environment["LOCAL_RANK"]),
        num_local=int(environment["LOCAL_WORLD_SIZE"]),
        device=_own_device(runtime, local_rank=int(environment["LOCAL_RANK"])),
    )
    is_cuda = ranks.device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(ranks.device)
    if dist.is_initialized():  # by Ray Train, which closes it too
        yield ranks
        return
    with lost_ranks_explained(ranks, timeout_s=runtime.collective_timeout_s):
        dist.init_process_group(
            # Checkpoints are gathered between processors, whatever the model is on.
            "cpu:gloo,cuda:nccl" if is_cuda else "gloo",
            timeout=timedelta(seconds=runtime.collective_timeout_s),
            device_id=ranks.device if is_cuda else None,
        )
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


@contextmanager
def lost_ranks_explained(ranks: Ranks, *, timeout_s: int) -> Iterator[None]:
    """Within it, a collective that fails because another process is gone or late is a WorkerError.

    NCCL cannot raise from a kernel that waits: there, PyTorch's watchdog ends this process after the same
    time, and says which collective it was.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        is_lost = isinstance(error, dist.DistError) or any(word in reason.lower() for word in LOST_WORDS)
        if not ranks.is_distributed or not is_lost:
            raise
        raise WorkerError(
            f"training: process {ranks.rank} of {ranks.num_ranks} lost another one, or waited longer than "
            f"{timeout_s} s for it (runtime.collective_timeout_s): {reason}. What the other one wrote says "
            "why; repeat the command to go on from the last checkpoint"
        ) from error


def parallel_model(model: MCLD, *, ranks: Ranks, way: Way, half: bool = False) -> nn.Module:
    """What to call instead of `model` in training: itself when alone, replicas (ddp) or shares (fsdp).

    `fsdp` replaces the model's weights in place by this process's share and returns the model. `half`: its
    weights are gathered and used in bfloat16 on a GPU; gradients are added up in float32 either way.
    """
    if not ranks.is_distributed:
        return model
    if way == "fsdp":
        policy = MixedPrecisionPolicy()
        if half and ranks.device.type == "cuda":
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        share(model, ranks=ranks, policy=policy)
        return model
    # Every weight takes part in every step (ReferenceNet runs on no rows if need be), so that none needs to
    # be looked for; and there are no buffers to keep alike.
    return DistributedDataParallel(model, gradient_as_bucket_view=True, forward_sync_buffers=False)


def share(model: MCLD, *, ranks: Ranks, policy: MixedPrecisionPolicy | None = None) -> None:
    """Replace the weights of `model` by this process's share of them."""
    mesh = dist.device_mesh.init_device_mesh(ranks.device.type, (ranks.num_ranks,))
    shard(model, mesh=mesh, policy=policy)


@contextmanager
def gradients_exchanged(wrapped: nn.Module, *, now: bool) -> Iterator[None]:
    """Within it, the backward pass adds up gradients over processes, or (`now` False) keeps them."""
    if isinstance(wrapped, FSDPModule):
        wrapped.set_requires_gradient_sync(now)
    with wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) and not now else nullcontext():
        yield


def add_up(values: Tensor, *, ranks: Ranks) -> Tensor:
    """The sum of `values` over all processes, in place; the same bits on each of them."""
    if ranks.is_distributed:
        dist.all_reduce(values)
    return values


def _own_device(runtime: RuntimeParams, *, local_rank: int) -> torch.device:
    device = pick_device(runtime.device)
    if device.type != "cuda":
        return device
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"runtime.num_processes: process {local_rank} of this machine has no GPU of its own, there are "
            f"{torch.cuda.device_count()}; lower it, or set runtime.device to cpu"
        )
    return torch.device("cuda", local_rank)
