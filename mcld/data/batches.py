"""Batches of decoded pairs, and a batch from the parts that several workers made of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import fields
from itertools import chain, count, islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mcld.data.reader import PairReader
from mcld.data.rows import MicroBatch, Rows
from mcld.types import Batch, Sample

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


def read_batches(reader: PairReader, *, rows: Rows, start_step: int) -> Generator[Batch, None, None]:
    """The micro-batches of these rows from a step on, without end. Raises DataError as `PairReader.read`."""
    samples = chain.from_iterable(
        reader.read(epoch=epoch, indices=rows.indices(epoch, start_step=start_step))
        for epoch in count(rows.first_epoch(start_step))
    )
    for micro_batch in rows.micro_batches(start_step):
        yield collate(list(islice(samples, len(micro_batch.sample_ids))), of=micro_batch)


def collate(samples: Sequence[Sample], *, of: MicroBatch) -> Batch:
    """Stack decoded pairs into tensors."""
    import torch

    def stack(arrays: Iterable[np.ndarray]) -> Tensor:
        given = list(arrays)
        # Of one layout whatever the arrays': kernels add in an order of the layout.
        whole = np.empty((len(given), *given[0].shape), given[0].dtype)
        return torch.from_numpy(np.stack(given, out=whole))

    return Batch(
        pairs=tuple(sample.pair for sample in samples),
        step=of.step,
        sample_ids=of.sample_ids,
        target_moments=stack(sample.target_moments for sample in samples),
        target_iuv=stack(np.moveaxis(sample.target_iuv, -1, 0) for sample in samples),
        texture_moments=stack(sample.texture_moments for sample in samples),
        image_embedding=stack(sample.image_embedding for sample in samples),
        texture_embedding=stack(sample.texture_embedding for sample in samples),
        face_embedding=stack(sample.face_embedding for sample in samples),
        face_found=torch.tensor([sample.face_found for sample in samples], dtype=torch.bool),
    )


def interleave(parts: Sequence[Batch], *, pin: bool) -> Batch:
    """One batch of which part w holds rows w, w + W, w + 2W …; in pinned memory, for CUDA, if asked for."""
    import torch
    from torch import Tensor

    if len(parts) == 1 and not pin:
        return parts[0]

    def merged(name: str) -> Tensor:
        tensors: list[Tensor] = [getattr(part, name) for part in parts]
        shape = (sum(len(tensor) for tensor in tensors), *tensors[0].shape[1:])
        whole = torch.empty(shape, dtype=tensors[0].dtype, pin_memory=pin)
        for number, tensor in enumerate(tensors):
            whole[number :: len(parts)] = tensor
        return whole

    names = [field.name for field in fields(Batch) if isinstance(getattr(parts[0], field.name), Tensor)]
    return Batch(
        pairs=_in_turn([part.pairs for part in parts]),
        step=parts[0].step,
        sample_ids=_in_turn([part.sample_ids for part in parts]),
        **{name: merged(name) for name in names},
    )


def _in_turn(groups: Sequence[Sequence[T]]) -> tuple[T, ...]:
    total = sum(len(group) for group in groups)
    return tuple(groups[row % len(groups)][row // len(groups)] for row in range(total))
