"""Copy a training state so that training can go on while it is written, each process its part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mcld.training.checkpoint_files import Snapshot
from mcld.training.checkpoint_peers import Peers
from mcld.training.checkpoint_tensors import (
    GENERATOR_PREFIX,
    TrainingState,
    generator_name,
    held_here,
    is_shared,
    tensors_of,
)


class Staging:
    """Main memory that snapshots are copied into: taken once, at the first, and used again by each."""

    def __init__(self, peers: Peers, *, file_bytes: int) -> None:
        self._peers = peers
        self._file_bytes = file_bytes
        self._buffers: dict[str, Tensor] = {}

    def copy(self, state: TrainingState) -> Snapshot:
        """The state as it is now. The snapshot before is overwritten: it must have been written out.

        Of tensors that every process holds, each process copies and writes only some: nothing is written
        twice, and no process pays for what another writes.
        """
        tensors = tensors_of(state)
        generators = {generator_name(rank): torch.get_rng_state() for rank in range(self._peers.num_ranks)}
        writers = writing_ranks(tensors, num_ranks=self._peers.num_ranks)
        own = {name: value for name, value in tensors.items() if writers[name] in (None, self._peers.rank)}
        own_generator = generator_name(self._peers.rank)
        own[own_generator] = generators[own_generator]
        copies = {name: self._copied(name, value=held_here(value)) for name, value in own.items()}
        if any(held_here(value).is_cuda for value in own.values()):
            torch.cuda.synchronize()
        limit = self._file_bytes * self._peers.num_ranks  # each process writes about its share of it
        return Snapshot(
            tensors=own, copies=copies, file_numbers=file_numbers(tensors | generators, limit_bytes=limit)
        )

    def _copied(self, name: str, *, value: Tensor) -> Tensor:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != value.shape or buffer.dtype != value.dtype:
            # Pinned, a GPU's memory is copied several times faster. Contiguous: files know no strides.
            buffer = torch.empty(value.shape, dtype=value.dtype, device="cpu", pin_memory=value.is_cuda)
            self._buffers[name] = buffer
        return buffer.copy_(value, non_blocking=True)


def writing_ranks(tensors: Mapping[str, Tensor], *, num_ranks: int) -> dict[str, int | None]:
    """Which process writes a tensor; None: each its share. All processes come to the same answer."""
    held = [0] * num_ranks
    ranks: dict[str, int | None] = {}
    for name, tensor in tensors.items():
        if is_shared(tensor):
            ranks[name] = None
            continue
        rank = held.index(min(held))
        held[rank] += _num_bytes(tensor)
        ranks[name] = rank
    return ranks


def file_numbers(tensors: Mapping[str, Tensor], *, limit_bytes: int) -> dict[str, int]:
    """Which file a tensor goes to, from 1: about `limit_bytes` of whole tensors each; generators the last.

    Generators lie apart because they alone may differ between runs that train alike.
    """
    numbers: dict[str, int] = {}
    number, filled = 1, 0
    for name in _weights(tensors):
        size = _num_bytes(tensors[name])
        if filled and filled + size > limit_bytes:
            number, filled = number + 1, 0
        numbers[name] = number
        filled += size
    return numbers | {name: number + 1 for name in tensors if name.startswith(GENERATOR_PREFIX)}


def _weights(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(GENERATOR_PREFIX)]


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
