"""What training will read and keep on disk: shards for each reader, bytes an epoch, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME
from mcld.data.shards import ShardSet

SPLIT = "train"
EMBEDDINGS = 2  # of image and texture


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """What the shards hold, and how it is read. Bytes of an epoch are those that readers fetch together."""

    num_shards: int
    num_outfits: int
    num_images: int
    num_pairs: int
    num_bytes: int
    num_readers: int  # processes x loader workers, at least one for each process
    shards_per_reader: float
    num_streams: int
    streams_per_process: float
    bytes_an_epoch: int
    resident_bytes: int  # of all outfits decoded, at most: IUV maps may be kept compressed
    is_resident: bool  # in each process: shards are then read once
    epochs: float
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPlan:
    """Bytes of a checkpoint, and of all that are kept at the end."""

    num_bytes: int
    num_saves: int
    num_kept: int
    kept_bytes: int


def plan_data(
    shards_dir: Path, *, params: Params, num_processes: int, latent_channels: int, embedding_width: int
) -> DataPlan | None:
    """None when the shards are not made yet. Raises DataError when they are not whole."""
    if not (shards_dir / MANIFEST_NAME).is_file():
        return None
    samples = ShardSet.open(shards_dir).of_split(SPLIT)
    visits = [-(-len(sample.pairs) // params.train.pairs_per_visit) for sample in samples]
    num_images = sum(len(sample.views) for sample in samples)
    num_pairs = sum(len(sample.pairs) for sample in samples)
    num_shards = len({sample.shard for sample in samples})
    num_readers = num_processes * max(1, params.runtime.loader_workers)
    resident = num_images * decoded_bytes(
        params, latent_channels=latent_channels, embedding_width=embedding_width
    )
    return DataPlan(
        num_shards=num_shards,
        num_outfits=len(samples),
        num_images=num_images,
        num_pairs=num_pairs,
        num_bytes=sum(sample.num_bytes for sample in samples),
        num_readers=num_readers,
        shards_per_reader=num_shards / num_readers,
        num_streams=params.train.num_streams,
        streams_per_process=params.train.num_streams / num_processes,
        bytes_an_epoch=sum(sample.num_bytes * count for sample, count in zip(samples, visits, strict=True)),
        resident_bytes=resident,
        is_resident=resident <= params.runtime.resident_gib * 2**30,
        epochs=params.train.steps * params.train.batch_size / num_pairs,
        problems=_problems(params, num_shards=num_shards, num_readers=num_readers),
    )


def decoded_bytes(params: Params, *, latent_channels: int, embedding_width: int) -> int:
    """Memory of one decoded view: latents in half precision, the whole IUV map, embeddings and the face."""
    latents = params.latents
    cells = (
        latents.height_px * latents.width_px + latents.texture_height_px * latents.texture_width_px
    ) // 64
    iuv = 3 * latents.height_px * latents.width_px
    moments = 2 * 2 * latent_channels * cells  # mean and log-variance, two bytes each
    return moments + iuv + 4 * (EMBEDDINGS * embedding_width + params.face.dim)


def plan_checkpoints(num_bytes: int, *, params: Params) -> CheckpointPlan:
    """How often a checkpoint is written, and how many stay: the newest, and those of every so many steps."""
    train, runtime = params.train, params.runtime
    saved = {*range(train.checkpoint_every_steps, train.steps + 1, train.checkpoint_every_steps), train.steps}
    kept = set(sorted(saved)[-runtime.keep_last_checkpoints :])
    if runtime.keep_every_steps:
        kept |= {step for step in saved if step % runtime.keep_every_steps == 0}
    return CheckpointPlan(
        num_bytes=num_bytes, num_saves=len(saved), num_kept=len(kept), kept_bytes=num_bytes * len(kept)
    )


def _problems(params: Params, *, num_shards: int, num_readers: int) -> tuple[str, ...]:
    found = []
    if num_shards < num_readers:
        found.append(
            f"{num_shards} training shards, {num_readers} readers (processes x loader workers): some would "
            f"have none; set shards.min_shards: {num_readers} or more, or lower runtime.loader_workers"
        )
    streams = params.train.num_streams
    if streams % num_readers:
        better = -(-streams // num_readers) * num_readers
        found.append(
            f"train.num_streams {streams} is no multiple of {num_readers} readers: some have more to read "
            f"than others; {better} would be even (and is another order of pairs, so another run)"
        )
    if streams > num_shards:
        found.append(
            f"train.num_streams {streams} is more than the {num_shards} training shards: the rest stays empty"
        )
    return tuple(found)
