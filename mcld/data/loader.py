"""Batches from shards, in an order that depends on (seed, epoch) alone and can be taken up at any batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from mcld.data.order import Block, epoch_passes
from mcld.data.outfits import DecodedOutfit, OutfitDecoder, OutfitEncoder, sample_of
from mcld.data.shards import OutfitSample, ShardSet
from mcld.data.stream import stream_samples
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.progress import track
from mcld.types import Batch, BatchPart, IuvResize, Pair, Sample

DEFAULT_RESIDENT_BYTES = 1 << 30
SPREAD_VIEWS = 1024  # enough for a standard deviation, and read in seconds
_CACHED_OUTFITS = 256


class Samples:
    """Random access to one split, for generation and pictures: any source with any target."""

    def __init__(self, shards: ShardSet, *, split: str, decoder: OutfitDecoder) -> None:
        self._shards, self._split, self._decoder = shards, split, decoder
        self._samples = {sample.outfit: sample for sample in shards.of_split(split)}
        self._read = lru_cache(_CACHED_OUTFITS)(self._decode)

    @classmethod
    def open(
        cls,
        shards_dir: Path,
        *,
        split: str,
        iuv_resize: IuvResize = "nearest",
        encoder: OutfitEncoder | None = None,
    ) -> Samples:
        """Everything comes at the size of the shards' latents; `encoder` makes those of shards without.

        Raises DataError when the shards are not whole, hold nothing of the split, or lack latents that
        nothing makes.
        """
        shards = ShardSet.open(shards_dir)
        decoder = OutfitDecoder.of(shards, iuv_resize=iuv_resize, encoder=encoder)
        return cls(shards, split=split, decoder=decoder)

    @property
    def framing(self) -> Framing:
        """The size that everything comes at, and how images lie in it."""
        return self._decoder.framing

    @property
    def outfits(self) -> tuple[OutfitSample, ...]:
        """The split's outfits, in shard order."""
        return tuple(self._samples.values())

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The split's pairs, in shard order."""
        return pairs_of(self.outfits)

    def outfit(self, key: str) -> DecodedOutfit:
        """The outfit of an outfit key or an image key. Raises DataError when the split has none such."""
        return self._read(key.partition("/")[0])

    def sample_for(self, *, source: str, target: str) -> Sample:
        """The decoded pair of two image keys, which may be of different outfits.

        Raises DataError when the split has no such image.
        """
        pair = Pair(source=source, target=target, split=self._split)
        return sample_of(pair, source=self.outfit(source), target=self.outfit(target))

    def members(self, key: str) -> dict[str, bytes]:
        """Raw members of the outfit of a key: suffix (e.g. `1_front.image.jpg`) to bytes."""
        return self._shards.read_sample(self._sample(key.partition("/")[0]))

    def _sample(self, outfit: str) -> OutfitSample:
        if outfit not in self._samples:
            raise DataError(
                f"{self._shards.directory}: no outfit {outfit} in this split; see samples.jsonl there"
            )
        return self._samples[outfit]

    def _decode(self, outfit: str) -> DecodedOutfit:
        return self._decoder.decode(self.members(outfit), sample=self._sample(outfit))


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Training batches of one split.

    Every pair comes exactly once an epoch; the last batch may be smaller.
    """

    shards: ShardSet
    samples: tuple[OutfitSample, ...]
    batch_size: int
    seed: int
    pairs_per_visit: int
    shuffle_outfits: int
    decoder: OutfitDecoder
    resident_bytes: int

    @classmethod
    def open(
        cls,
        shards_dir: Path,
        *,
        split: str,
        batch_size: int,
        seed: int,
        pairs_per_visit: int,
        shuffle_outfits: int,
        iuv_resize: IuvResize = "nearest",
        encoder: OutfitEncoder | None = None,
        resident_bytes: int = DEFAULT_RESIDENT_BYTES,
    ) -> Loader:
        """Everything comes at the size of the shards' latents; `encoder` makes those of shards without.

        Outfits stay decoded, and encoded, in memory if all fit in `resident_bytes`. Raises DataError when the
        shards are not whole, hold nothing of the split, or lack latents that nothing makes.
        """
        shards = ShardSet.open(shards_dir)
        return cls(
            shards=shards,
            samples=shards.of_split(split),
            batch_size=batch_size,
            seed=seed,
            pairs_per_visit=pairs_per_visit,
            shuffle_outfits=shuffle_outfits,
            decoder=OutfitDecoder.of(shards, iuv_resize=iuv_resize, encoder=encoder),
            resident_bytes=resident_bytes,
        )

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The split's pairs, in shard order."""
        return pairs_of(self.samples)

    @property
    def num_pairs(self) -> int:
        """Pairs an epoch."""
        return sum(len(sample.pairs) for sample in self.samples)

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        return -(-self.num_pairs // self.batch_size)

    def image_spread(self, *, max_views: int = SPREAD_VIEWS) -> np.ndarray:
        """Standard deviation of the image embedding by dimension, (D,) float32, over the first views.

        A fixed vector, whatever the batch size and the number of processes.
        """
        counts = np.cumsum([len(sample.views) for sample in self.samples])
        num_samples = int(np.searchsorted(counts, max_views)) + 1
        chosen = self.samples[:num_samples]
        outfits = track(self._outfits(chosen), description="measuring embeddings", total=len(chosen))
        embeddings = np.concatenate([outfit.latents.embeddings[:, 0] for outfit in outfits])[:max_views]
        spread: np.ndarray = embeddings.astype(np.float64).std(axis=0).astype(np.float32)
        return spread

    def blank_embedding(self) -> np.ndarray:
        """(D,) float32, what CLIP says of the blank image: from the shards, or from the encoder."""
        encoder = self.decoder.encoder
        return self.shards.read_blank() if encoder is None else encoder.embed_blank()

    def epoch(self, epoch_index: int, *, start_batch: int = 0) -> Iterator[Batch]:
        """Batches of an epoch from `start_batch` on; the same as those of the whole epoch from there.

        Raises DataError naming shard and sample when anything read is not what the manifest says.
        """
        samples = self._samples_from(epoch_index, start_pair=start_batch * self.batch_size)
        for index in range(start_batch, self.num_batches):
            chosen = list(islice(samples, self.batch_size))
            yield collate(chosen, epoch=epoch_index, index=index)

    def batches(self, *, start_step: int, part: BatchPart | None = None) -> Iterator[Batch]:
        """Endless batches of one process, epoch after epoch."""
        part = part or BatchPart()
        if part != BatchPart():
            raise DataError("the loader: one process and one piece a step only")
        epoch, start = divmod(start_step, self.num_batches)
        while True:
            for batch in self.epoch(epoch, start_batch=start):
                yield replace(batch, step=epoch * self.num_batches + batch.step)
            epoch, start = epoch + 1, 0

    def _samples_from(self, epoch_index: int, *, start_pair: int) -> Iterator[Sample]:
        passes = epoch_passes(
            self.samples,
            seed=self.seed,
            epoch=epoch_index,
            pairs_per_visit=self.pairs_per_visit,
            shuffle_outfits=self.shuffle_outfits,
        )
        num_skipped = 0
        for blocks in passes:
            lengths = np.cumsum([len(block.pairs) for block in blocks]) + num_skipped
            first = int(np.searchsorted(lengths, start_pair, side="right"))
            done = int(lengths[first - 1]) if first else num_skipped
            num_skipped = int(lengths[-1])
            yield from islice(self._samples_of(blocks[first:]), max(0, start_pair - done), None)

    def _samples_of(self, blocks: Sequence[Block]) -> Iterator[Sample]:
        """Pairs of consecutive blocks of one pass, read in one go through its shards."""
        positions = [int(position) for block in blocks for position in block.samples]
        outfits = self._outfits([self.samples[position] for position in positions])
        for block in blocks:
            held = {outfit.sample.outfit: outfit for outfit in islice(outfits, len(block.samples))}
            for position, number in block.pairs:
                outfit = held[self.samples[position].outfit]
                yield sample_of(outfit.sample.pair(int(number)), source=outfit, target=outfit)

    def _outfits(self, samples: Sequence[OutfitSample]) -> Iterator[DecodedOutfit]:
        if self._resident is not None:
            return iter([self._resident[sample.outfit] for sample in samples])
        return self._read(samples)

    @cached_property
    def _resident(self) -> dict[str, DecodedOutfit] | None:
        """Every outfit by key, or None when too large, judged by the first: all views are of one size."""
        first = next(self._read(self.samples[:1]))
        num_views = sum(len(sample.views) for sample in self.samples)
        if first.num_bytes / len(first.sample.views) * num_views > self.resident_bytes:
            return None
        outfits = track(self._read(self.samples), description="reading outfits", total=len(self.samples))
        return {outfit.sample.outfit: outfit for outfit in outfits}

    def _read(self, samples: Sequence[OutfitSample]) -> Iterator[DecodedOutfit]:
        for sample, members in stream_samples(self.shards, samples=samples):
            yield self.decoder.decode(members, sample=sample)


def pairs_of(samples: Iterable[OutfitSample]) -> tuple[Pair, ...]:
    """Every pair of the given outfits."""
    return tuple(sample.pair(number) for sample in samples for number in range(len(sample.pairs)))


def collate(samples: Sequence[Sample], *, epoch: int, index: int) -> Batch:
    """Stack decoded pairs into tensors."""
    import torch

    def stack(arrays: Iterable[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(list(arrays)))

    return Batch(
        pairs=tuple(sample.pair for sample in samples),
        step=index,
        sample_ids=tuple((epoch, index * len(samples) + row) for row in range(len(samples))),
        target_moments=stack(sample.target_moments for sample in samples),
        target_iuv=stack(np.moveaxis(sample.target_iuv, -1, 0) for sample in samples),
        texture_moments=stack(sample.texture_moments for sample in samples),
        image_embedding=stack(sample.image_embedding for sample in samples),
        texture_embedding=stack(sample.texture_embedding for sample in samples),
        face_embedding=stack(sample.face_embedding for sample in samples),
        face_found=torch.tensor([sample.face_found for sample in samples], dtype=torch.bool),
    )
