"""The order of pairs: every one once an epoch, sequential to read, and shared out without overlap."""

from __future__ import annotations

from itertools import chain, count, islice, pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mcld.data.order import OrderSettings, epoch_order, epoch_passes
from mcld.data.rows import Rows
from mcld.data.shards import OutfitSample
from mcld.types import BatchPart

STREAMING, RESIDENT = 0, 1 << 30
WHOLE = BatchPart()


def samples_with(num_pairs_by_shard: list[list[int]]) -> list[OutfitSample]:
    return [
        OutfitSample(
            split="train",
            shard=f"train-{shard:05d}.tar",
            outfit=f"{shard}-{position}",
            views=(),
            face_found=(),
            pairs=tuple((number, 0) for number in range(num_pairs)),
            sha256="",
            offset=0,
            num_bytes=0,
            num_training_bytes=0,
            image_hw=(),
        )
        for shard, counts in enumerate(num_pairs_by_shard)
        for position, num_pairs in enumerate(counts)
    ]


@settings(max_examples=60)
@given(
    shards=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=5),
    pairs_per_visit=st.integers(1, 5),
    shuffle_outfits=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_order_shows_every_pair_once_and_reads_each_shard_in_one_go(
    shards: list[list[int]], pairs_per_visit: int, shuffle_outfits: int, seed: int
) -> None:
    samples = samples_with(shards)
    passes = epoch_passes(
        samples, seed=seed, epoch=3, pairs_per_visit=pairs_per_visit, shuffle_outfits=shuffle_outfits
    )
    seen = [tuple(pair) for blocks in passes for block in blocks for pair in block.pairs.tolist()]
    assert sorted(seen) == [(i, j) for i, sample in enumerate(samples) for j in range(len(sample.pairs))]
    for blocks in passes:
        positions = [position for block in blocks for position in block.samples.tolist()]
        names = [samples[position].shard for position in positions]
        assert len(set(names)) == 1 + sum(one != other for one, other in pairwise(names))
        assert len(set(positions)) == len(positions)
        assert all(len(block.samples) <= shuffle_outfits for block in blocks)
        for block in blocks:
            given, counts = np.unique(block.pairs[:, 0], return_counts=True)
            assert set(given) == set(block.samples)
            assert counts.max() <= pairs_per_visit


@settings(max_examples=60)
@given(
    shards=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=6), min_size=1, max_size=5),
    shuffle_outfits=st.integers(1, 7),
    num_streams=st.integers(1, 5),
)
def test_streams_are_taken_in_turn_while_all_have_pairs_and_hold_every_pair_once(
    shards: list[list[int]], shuffle_outfits: int, num_streams: int
) -> None:
    samples = samples_with(shards)
    order = epoch_order(
        samples,
        settings=OrderSettings(
            seed=2, pairs_per_visit=4, shuffle_outfits=shuffle_outfits, num_streams=num_streams
        ),
        epoch=1,
    )
    assert sorted(map(tuple, order.pairs().tolist())) == [
        (i, j) for i, sample in enumerate(samples) for j in range(len(sample.pairs))
    ]
    lengths = [sum(len(block.pairs) for block in blocks) for blocks in order.streams]
    in_turn = num_streams * min(lengths)
    assert np.array_equal(order.stream[:in_turn], np.arange(in_turn) % num_streams)
    longest = max((len(block.pairs) for blocks in order.streams for block in blocks), default=0)
    assert max(lengths) - min(lengths) <= longest


def test_a_rank_reads_the_outfits_of_its_own_streams_alone() -> None:
    samples = samples_with([[6] * 8] * 4)
    chosen = OrderSettings(seed=0, pairs_per_visit=6, shuffle_outfits=2, num_streams=4)
    order = epoch_order(samples, settings=chosen, epoch=0)
    num_pairs = len(order.stream)
    for rank, worker in product(range(2), range(2)):
        part = BatchPart(rank=rank, num_ranks=2)
        rows = Rows(batch_size=8, num_pairs=num_pairs, part=part, worker=worker, num_workers=2)
        assert set(order.stream[rows.indices(0, start_step=3)]) == {rank + 2 * worker}


@settings(max_examples=60)
@given(
    num_pairs=st.integers(1, 40),
    num_ranks=st.integers(1, 4),
    num_pieces=st.integers(1, 3),
    per_piece=st.integers(1, 5),
    num_workers=st.integers(1, 5),
    start_step=st.integers(0, 12),
)
def test_rows_of_all_ranks_and_workers_are_every_place_of_the_stream_once(
    num_pairs: int, num_ranks: int, num_pieces: int, per_piece: int, num_workers: int, start_step: int
) -> None:
    batch_size, num_steps = num_ranks * num_pieces * per_piece, 4
    taken = []
    for rank, worker in product(range(num_ranks), range(num_workers)):
        rows = Rows(
            batch_size=batch_size,
            num_pairs=num_pairs,
            part=BatchPart(rank=rank, num_ranks=num_ranks, num_pieces=num_pieces),
            worker=worker,
            num_workers=num_workers,
        )
        micro_batches = list(islice(rows.micro_batches(start_step), num_steps * num_pieces))
        ids = [id_ for micro_batch in micro_batches for id_ in micro_batch.sample_ids]
        read = chain.from_iterable(
            ((epoch, int(index)) for index in rows.indices(epoch, start_step=start_step))
            for epoch in count(rows.first_epoch(start_step))
        )
        assert list(islice(read, len(ids))) == ids  # what is read is what batches are told to hold
        taken += ids
    start = start_step * batch_size
    places = range(start, start + num_steps * batch_size)
    assert sorted(taken) == [divmod(place, num_pairs) for place in places]
