"""Decoded pairs of an epoch: any rising choice of them, from the shards or from memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from mcld.data.order import Block, OrderSettings, epoch_order
from mcld.data.outfits import DecodedOutfit, OutfitDecoder, sample_of
from mcld.data.shards import OutfitSample, ShardSet
from mcld.data.stream import stream_samples
from mcld.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReader:
    """Reads pairs in order. Plain data without an encoder or held outfits, so that it travels to workers."""

    shards: ShardSet
    samples: tuple[OutfitSample, ...]
    order: OrderSettings
    decoder: OutfitDecoder
    held: Mapping[str, DecodedOutfit] | None = None  # every outfit by key, where all are in memory

    @property
    def num_pairs(self) -> int:
        """Pairs an epoch."""
        return sum(len(sample.pairs) for sample in self.samples)

    def read(self, *, epoch: int, indices: np.ndarray) -> Iterator[Sample]:
        """The pairs at these rising positions of an epoch's order; outfits of no other are read.

        Raises DataError naming shard and sample when anything read is not what the manifest says.
        """
        order = epoch_order(self.samples, settings=self.order, epoch=epoch)
        stream, place = order.stream[indices], order.place[indices]
        arriving = [
            self._read_stream(blocks, places=place[stream == number])
            for number, blocks in enumerate(order.streams)
        ]
        for number in stream:
            yield next(arriving[number])

    def outfits(self, samples: Sequence[OutfitSample]) -> Iterator[DecodedOutfit]:
        """These outfits, decoded, in their order."""
        if self.held is not None:
            yield from (self.held[sample.outfit] for sample in samples)
            return
        arriving = stream_samples(self.shards, samples=samples, with_originals=self.decoder.needs_originals)
        for sample, members in arriving:
            yield self.decoder.decode(members, sample=sample)

    def _read_stream(self, blocks: Sequence[Block], *, places: np.ndarray) -> Iterator[Sample]:
        """The pairs at these rising places of a stream; one block's outfits in memory at a time."""
        wanted = list(_wanted(blocks, places=places))
        outfits = self.outfits([self.samples[position] for positions, _ in wanted for position in positions])
        held: dict[str, DecodedOutfit] = {}
        for positions, pairs in wanted:
            held.clear()
            held.update((outfit.sample.outfit, outfit) for outfit in islice(outfits, len(positions)))
            for position, number in pairs:
                outfit = held[self.samples[position].outfit]
                yield sample_of(outfit.sample.pair(int(number)), source=outfit, target=outfit)


def _wanted(blocks: Sequence[Block], *, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Block by block, the samples to be read, as they lie in the shards, and the pairs to give of them."""
    ends = np.cumsum([len(block.pairs) for block in blocks])
    bounds = np.searchsorted(places, ends)
    first = 0
    for block, end, bound in zip(blocks, ends, bounds, strict=True):
        pairs = block.pairs[places[first:bound] - (end - len(block.pairs))]
        if len(pairs):
            yield block.samples[np.isin(block.samples, pairs[:, 0])], pairs
        first = bound
