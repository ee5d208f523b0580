"""On how many processes and machines a training runs: from params, or from the environment of a scheduler."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mcld.config import RuntimeParams
from mcld.errors import ConfigError

NUM_PROCESSES, NUM_NODES, NODE_RANK, RENDEZVOUS = (
    "MCLD_NUM_PROCESSES",
    "MCLD_NUM_NODES",
    "MCLD_NODE_RANK",
    "MCLD_RENDEZVOUS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """`num_processes` on each of `num_nodes` machines, of which this is number `node_rank`."""

    num_processes: int
    num_nodes: int = 1
    node_rank: int = 0
    rendezvous: str | None = None  # host:port of the first machine; needed by several

    @property
    def num_ranks(self) -> int:
        """Processes on all machines together."""
        return self.num_processes * self.num_nodes


def placement_of(runtime: RuntimeParams, *, environment: Mapping[str, str] = os.environ) -> Placement:
    """What params say, unless a variable (MCLD_NUM_NODES and its like) says otherwise.

    Raises ConfigError when a variable is no number, when a machine's number is not below that of machines, or
    when several machines have nowhere to meet.
    """
    placement = Placement(
        num_processes=_number(environment, NUM_PROCESSES, otherwise=runtime.num_processes)
        or _one_a_device(runtime),
        num_nodes=_number(environment, NUM_NODES, otherwise=runtime.num_nodes),
        node_rank=_number(environment, NODE_RANK, otherwise=runtime.node_rank),
        rendezvous=environment.get(RENDEZVOUS, runtime.rendezvous),
    )
    _check(placement)
    return placement


def check_shares(batch_size: int, *, num_ranks: int, num_pieces: int) -> None:
    """Raises ConfigError unless all pieces of all processes get equally many rows of a batch.

    The mean of their losses is then that of the whole batch.
    """
    if batch_size % (num_ranks * num_pieces) != 0:
        raise ConfigError(
            f"train.batch_size: {batch_size} pairs cannot be shared evenly by {num_ranks} processes "
            f"(runtime.num_processes x num_nodes) in {num_pieces} pieces each (runtime.accumulation_steps); "
            f"use a multiple of {num_ranks * num_pieces}, or fewer processes or pieces"
        )


def _check(placement: Placement) -> None:
    if placement.num_nodes < 1 or placement.node_rank >= placement.num_nodes:
        raise ConfigError(
            f"runtime.node_rank: {placement.node_rank} of {placement.num_nodes} machines; they are numbered "
            f"from 0, by runtime.node_rank or {NODE_RANK}"
        )
    if placement.num_nodes > 1 and not re.fullmatch(r"[^\s:]+:\d+", placement.rendezvous or ""):
        raise ConfigError(
            f"runtime.rendezvous: {placement.rendezvous!r} is not host:port; {placement.num_nodes} machines "
            f"meet at the first one: name it and a free port there, e.g. node0:29500 (or {RENDEZVOUS})"
        )


def _number(environment: Mapping[str, str], name: str, *, otherwise: int) -> int:
    text = environment.get(name)
    if text is None:
        return otherwise
    if not text.isdecimal():
        raise ConfigError(f"{name}: {text!r} in the environment is not a whole number")
    return int(text)


def _one_a_device(runtime: RuntimeParams) -> int:
    from mcld.devices import visible_device_ids

    return 1 if runtime.device == "cpu" else max(1, len(visible_device_ids()))
