"""Worker processes make the batches of one process, and a worker that dies is an error, not a hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from mcld.data.loader import Loader
from mcld.data.shards import ShardSet
from mcld.errors import DataError, WorkerError
from mcld.types import BatchPart
from tests.data.shard_factory import write_shards
from tests.data.test_loader import STREAMING, first_batches, loader, same


@pytest.fixture(scope="module")
def shards_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    return write_shards(directory, views_per_outfit=[[2, 3], [4, 2], [3], [5, 2]])


def with_workers(shards_dir: Path, *, num_workers: int) -> Loader:
    return loader(
        shards_dir, batch_size=10, num_streams=4, loader_workers=num_workers, resident_bytes=STREAMING
    )


@pytest.mark.parametrize("start_step", [0, 7])
def test_batches_of_two_workers_are_those_of_none_bit_for_bit(shards_dir: Path, start_step: int) -> None:
    part = BatchPart(rank=1, num_ranks=2)  # five rows: three of one worker, two of the other
    made = [
        first_batches(with_workers(shards_dir, num_workers=number), 16, start_step=start_step, part=part)
        for number in (2, 0)
    ]
    assert made[0][-1].sample_ids[-1][0] > made[0][0].sample_ids[0][0]  # over the border of an epoch
    for one, other in zip(*made, strict=True):
        assert same(one, other)
        assert one.target_iuv.stride() == other.target_iuv.stride()


def test_a_killed_worker_is_an_error_that_says_so_and_what_to_do(shards_dir: Path) -> None:
    before = set(multiprocessing.active_children())
    with closing(with_workers(shards_dir, num_workers=2).batches(start_step=0)) as batches:
        next(batches)
        workers = [process for process in multiprocessing.active_children() if process not in before]
        assert len(workers) == 2
        victim = workers[1]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        message = rf"process {victim.pid} was killed by SIGKILL; .*lower runtime\.loader_workers \(now 2\)"
        with pytest.raises(WorkerError, match=message):
            list(batches)
    assert not any(worker.is_alive() for worker in workers)


def test_workers_outlive_an_interrupt_that_is_meant_for_training_and_end_with_it(shards_dir: Path) -> None:
    before = set(multiprocessing.active_children())
    with closing(with_workers(shards_dir, num_workers=1).batches(start_step=0)) as batches:
        next(batches)
        (worker,) = [process for process in multiprocessing.active_children() if process not in before]
        assert worker.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker.pid, number)
        assert len(list(islice(batches, 12))) == 12
    assert not worker.is_alive()


def test_damage_found_by_a_worker_is_told_as_without(tmp_path: Path) -> None:
    directory = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3], [2]])
    last = ShardSet.open(directory).samples[-1]
    opened = with_workers(directory, num_workers=1)
    path = directory / last.shard
    whole = bytearray(path.read_bytes())
    whole[last.offset + 600] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=rf"^{path}: sample {last.outfit}: .* run the stage 'shards' again$"):
        first_batches(opened, opened.num_pairs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs CUDA")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_in_pinned_memory_where_asked_for(shards_dir: Path, num_workers: int) -> None:
    opened = Loader.open(
        shards_dir,
        split="train",
        batch_size=10,
        seed=1,
        pairs_per_visit=3,
        shuffle_outfits=2,
        loader_workers=num_workers,
        resident_bytes=STREAMING,
        pin=True,
    )
    (batch,) = first_batches(opened, 1)
    tensors = (batch.target_moments, batch.target_iuv, batch.texture_moments, batch.image_embedding)
    assert all(tensor.is_pinned() for tensor in tensors)
