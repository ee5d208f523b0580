"""Batches from shards, in an order that depends on (seed, epoch) alone and can be taken up at any step."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from mcld.data.ahead import made_ahead
from mcld.data.batches import interleave, read_batches
from mcld.data.order import OrderSettings
from mcld.data.outfits import DecodedOutfit, OutfitDecoder, OutfitEncoder, sample_of
from mcld.data.reader import PairReader
from mcld.data.resident import held_outfits
from mcld.data.rows import Rows
from mcld.data.shards import OutfitSample, ShardSet
from mcld.errors import ConfigError, DataError
from mcld.framing import Framing
from mcld.progress import track
from mcld.storage import Folder
from mcld.types import Batch, BatchPart, IuvResize, Pair, Sample

DEFAULT_RESIDENT_BYTES = 1 << 30
SPREAD_VIEWS = 1024  # enough for a standard deviation, and read in seconds
_CACHED_OUTFITS = 256
_WHOLE = BatchPart()


class Samples:
    """Random access to one split, for generation and pictures: any source with any target."""

    def __init__(self, shards: ShardSet, *, split: str, decoder: OutfitDecoder) -> None:
        self._shards, self._split, self._decoder = shards, split, decoder
        self._samples = {sample.outfit: sample for sample in shards.of_split(split)}
        self._read = lru_cache(_CACHED_OUTFITS)(self._decode)

    @classmethod
    def open(
        cls,
        shards_dir: Path | str | Folder,
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
                f"{self._shards.place}: no outfit {outfit} in this split; see samples.jsonl there"
            )
        return self._samples[outfit]

    def _decode(self, outfit: str) -> DecodedOutfit:
        return self._decoder.decode(self.members(outfit), sample=self._sample(outfit))


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Training batches of one split, without end: every pair comes exactly once an epoch."""

    reader: PairReader
    split: str
    batch_size: int  # of all processes together
    loader_workers: int
    resident_bytes: int
    pin: bool

    @classmethod
    def open(
        cls,
        shards_dir: Path | str | Folder,
        *,
        split: str,
        batch_size: int,
        seed: int,
        pairs_per_visit: int,
        shuffle_outfits: int,
        num_streams: int = 2,
        iuv_resize: IuvResize = "nearest",
        encoder: OutfitEncoder | None = None,
        loader_workers: int = 0,
        resident_bytes: int = DEFAULT_RESIDENT_BYTES,
        pin: bool = False,
    ) -> Loader:
        """Everything comes at the size of the shards' latents; `encoder` makes those of shards without.

        Outfits stay in memory if all fit in `resident_bytes`; else `loader_workers` processes read them, or a
        thread of this one. `pin` gives batches in pinned memory, from which a CUDA device copies while it
        computes. Raises DataError when the shards are not whole, hold nothing of the split, or lack latents
        that nothing makes; ConfigError when workers are to make latents.
        """
        shards = ShardSet.open(shards_dir)
        decoder = OutfitDecoder.of(shards, iuv_resize=iuv_resize, encoder=encoder)
        if loader_workers and decoder.encoder is not None:
            raise ConfigError(
                f"runtime.loader_workers: {loader_workers}, but {shards.place} holds no latents, which this "
                "process then makes itself; set it to 0, or set latents.cache: true"
            )
        order = OrderSettings(
            seed=seed,
            pairs_per_visit=pairs_per_visit,
            shuffle_outfits=shuffle_outfits,
            num_streams=num_streams,
        )
        reader = PairReader(shards=shards, samples=shards.of_split(split), order=order, decoder=decoder)
        return cls(
            reader=reader,
            split=split,
            batch_size=batch_size,
            loader_workers=loader_workers,
            resident_bytes=resident_bytes,
            pin=pin,
        )

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The split's pairs, in shard order."""
        return pairs_of(self.reader.samples)

    @property
    def num_pairs(self) -> int:
        """Pairs an epoch."""
        return self.reader.num_pairs

    def image_spread(self, *, max_views: int = SPREAD_VIEWS) -> np.ndarray:
        """Standard deviation of the image embedding by dimension, (D,) float32, over the first views.

        A fixed vector, whatever the batch size and the number of processes.
        """
        counts = np.cumsum([len(sample.views) for sample in self.reader.samples])
        num_samples = int(np.searchsorted(counts, max_views)) + 1
        chosen = self.reader.samples[:num_samples]
        outfits = track(
            self._filled_reader.outfits(chosen), description="measuring embeddings", total=len(chosen)
        )
        embeddings = np.concatenate([outfit.latents.embeddings[:, 0] for outfit in outfits])[:max_views]
        spread: np.ndarray = embeddings.astype(np.float64).std(axis=0).astype(np.float32)
        return spread

    def blank_embedding(self) -> np.ndarray:
        """(D,) float32, what CLIP says of the blank image: from the shards, or from the encoder."""
        encoder = self.reader.decoder.encoder
        return self.reader.shards.read_blank() if encoder is None else encoder.embed_blank()

    def batches(self, *, start_step: int, part: BatchPart = _WHOLE) -> Generator[Batch, None, None]:
        """The micro-batches of this part of every step from `start_step` on, without end, all full.

        They are those that one gets from step 0 on; nothing is read of what came before. Close the generator
        to end the thread or the processes that read ahead. Raises ConfigError when the batch is not
        divisible, and DataError when there are fewer shards than readers; then, while reading, DataError
        naming shard and sample when anything is not what the manifest says, and WorkerError when a worker
        dies.
        """
        rows = Rows(batch_size=self.batch_size, num_pairs=self.num_pairs, part=part)
        self._check_shards(part)
        reader = self._filled_reader
        if self.loader_workers and reader.held is None:
            from mcld.data.workers import worker_batches

            made = worker_batches(
                reader, rows=rows, start_step=start_step, num_workers=self.loader_workers, pin=self.pin
            )
            return made_ahead(made)
        own = (
            interleave([batch], pin=self.pin)
            for batch in read_batches(reader, rows=rows, start_step=start_step)
        )
        # Encoders share their device, its kernels and its settings with training: they take turns.
        return own if reader.decoder.encoder is not None else made_ahead(own)

    @cached_property
    def _filled_reader(self) -> PairReader:
        """With all outfits held, if they fit."""
        return replace(self.reader, held=held_outfits(self.reader, resident_bytes=self.resident_bytes))

    def _check_shards(self, part: BatchPart) -> None:
        num_shards = len({sample.shard for sample in self.reader.samples})
        num_workers = max(1, self.loader_workers)
        num_readers = part.num_ranks * num_workers
        if num_shards < num_readers:
            raise DataError(
                f"{self.reader.shards.place}: {num_shards} shards of split '{self.split}' are fewer than "
                f"{part.num_ranks} processes x {num_workers} loader workers = {num_readers}; raise "
                f"shards.min_shards to {num_readers} and run 'shards' again, or lower runtime.loader_workers "
                "or runtime.num_processes"
            )


def pairs_of(samples: Iterable[OutfitSample]) -> tuple[Pair, ...]:
    """Every pair of the given outfits."""
    return tuple(sample.pair(number) for sample in samples for number in range(len(sample.pairs)))
