"""The order of training pairs: a function of (seed, epoch) alone, whatever the batch size, workers or ranks.

An epoch is a few passes over the shards. In each pass every outfit is visited once and gives at most
`pairs_per_visit` of its pairs, none twice in an epoch. Shards come in random order; within them, blocks of
`shuffle_outfits` neighbouring outfits have their pairs mixed. So reading stays sequential and memory is
bounded by a block.

The blocks are dealt to `num_streams` streams, whose pairs are taken in turn. So who takes every n-th pair
reads every n-th stream alone, where n divides their number; until, near an epoch's end, streams run out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcld.data.shards import OutfitSample

# Numbers of their own keep one kind of draw from shifting another.
_PAIR_DRAWS, _SHARD_DRAWS, _BLOCK_DRAWS = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Outfits read together and the order of their pairs."""

    samples: np.ndarray  # (N,) int64, positions in the list of samples, as they lie in the shards
    pairs: np.ndarray  # (P, 2) int64, (position of the sample, number of its pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSettings:
    """What, besides the samples and an epoch's number, the order is a function of."""

    seed: int
    pairs_per_visit: int
    shuffle_outfits: int
    num_streams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOrder:
    """An epoch's pairs: the i-th is number `place[i]` among those of stream `stream[i]`."""

    streams: tuple[tuple[Block, ...], ...]
    stream: np.ndarray  # (P,) int64
    place: np.ndarray  # (P,) int64

    def pairs(self) -> np.ndarray:
        """(P, 2) int64, (position of the sample, number of its pair), in order."""
        streams = [_joined(blocks) for blocks in self.streams]
        starts = np.cumsum([0, *(len(pairs) for pairs in streams)])[:-1]
        ordered: np.ndarray = np.concatenate(streams)[starts[self.stream] + self.place]
        return ordered


def epoch_order(samples: Sequence[OutfitSample], *, settings: OrderSettings, epoch: int) -> EpochOrder:
    """Deal an epoch's blocks to the streams, and take their pairs in turn while there are any."""
    passes = epoch_passes(
        samples,
        seed=settings.seed,
        epoch=epoch,
        pairs_per_visit=settings.pairs_per_visit,
        shuffle_outfits=settings.shuffle_outfits,
    )
    streams = _dealt([block for blocks in passes for block in blocks], num_streams=settings.num_streams)
    lengths = [sum(len(block.pairs) for block in blocks) for blocks in streams]
    stream = np.repeat(np.arange(len(streams)), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    in_turn = np.lexsort((stream, place))
    return EpochOrder(streams=streams, stream=stream[in_turn], place=place[in_turn])


def epoch_passes(
    samples: Sequence[OutfitSample], *, seed: int, epoch: int, pairs_per_visit: int, shuffle_outfits: int
) -> list[list[Block]]:
    """Passes of an epoch, each a list of blocks; every pair of every sample is in exactly one block."""
    pair_sample, pair_number, pair_visit = _visits(
        samples, seed=seed, epoch=epoch, pairs_per_visit=pairs_per_visit
    )
    num_passes = int(pair_visit.max(initial=-1)) + 1
    passes = []
    for number in range(num_passes):
        chosen = pair_visit == number
        pairs = np.stack([pair_sample[chosen], pair_number[chosen]], axis=1)
        reading = _reading_order(samples, seed=seed, epoch=epoch, pass_number=number)
        visited = reading[np.isin(reading, pairs[:, 0])]
        blocks = [
            visited[start : start + shuffle_outfits] for start in range(0, len(visited), shuffle_outfits)
        ]
        keyed = [(seed, _BLOCK_DRAWS, epoch, number, index) for index in range(len(blocks))]
        passes.append(
            [_block(block, pairs=pairs, rng=_rng(*key)) for block, key in zip(blocks, keyed, strict=True)]
        )
    return passes


def _dealt(blocks: Sequence[Block], *, num_streams: int) -> tuple[tuple[Block, ...], ...]:
    """Each block to the stream that has the fewest pairs by then, of equal ones to the first."""
    dealt: list[list[Block]] = [[] for _ in range(num_streams)]
    filled = [(0, number) for number in range(num_streams)]
    for block in blocks:
        num_pairs, number = filled[0]
        dealt[number].append(block)
        heapq.heapreplace(filled, (num_pairs + len(block.pairs), number))
    return tuple(tuple(given) for given in dealt)


def _joined(blocks: Sequence[Block]) -> np.ndarray:
    return np.concatenate([np.empty((0, 2), np.int64), *(block.pairs for block in blocks)])


def _visits(
    samples: Sequence[OutfitSample], *, seed: int, epoch: int, pairs_per_visit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every pair: its sample's position, its number there, and the pass that shows it.

    Each (total,) int64.
    """
    num_pairs = np.array([len(sample.pairs) for sample in samples], np.int64)
    pair_sample = np.repeat(np.arange(len(samples)), num_pairs)
    starts = np.cumsum(num_pairs) - num_pairs
    place = np.arange(len(pair_sample)) - starts[pair_sample]  # 0, 1, 2… within each sample
    random_keys = _rng(seed, _PAIR_DRAWS, epoch).random(len(pair_sample))
    shuffled = np.lexsort((random_keys, pair_sample))  # pairs of a sample stay together, in random order
    return pair_sample, place[shuffled], place // pairs_per_visit


def _reading_order(samples: Sequence[OutfitSample], *, seed: int, epoch: int, pass_number: int) -> np.ndarray:
    """(N,) positions of all samples as one reads them: shards in random order, each from its beginning."""
    positions: dict[str, list[int]] = {}
    for position, sample in enumerate(samples):
        positions.setdefault(sample.shard, []).append(position)
    shards = list(positions.values())
    order = _rng(seed, _SHARD_DRAWS, epoch, pass_number).permutation(len(shards))
    return np.array([position for shard in order for position in shards[shard]], np.int64)


def _block(samples: np.ndarray, *, pairs: np.ndarray, rng: np.random.Generator) -> Block:
    lower, upper = np.searchsorted(pairs[:, 0], samples), np.searchsorted(pairs[:, 0], samples, side="right")
    own = np.concatenate([pairs[start:end] for start, end in zip(lower, upper, strict=True)])
    return Block(samples=samples, pairs=rng.permutation(own))


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
