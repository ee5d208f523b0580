"""Stage `latents`: VAE moments and CLIP embeddings of image and UV texture, one column item an image.

Beside the parts lies `blank.npy`, the blank image's embedding. With `latents.cache: false` the column is
empty: its manifest says how training and sampling are to make latents from pixels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch

from mcld.conditions.latents import embed_blank
from mcld.conditions.view_encoder import SizedView, ViewEncoder, why_unusable
from mcld.config import LatentsParams, Params, num_workers
from mcld.data.codec import decode_image, encode_npy
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.data.shards import BLANK_NAME
from mcld.devices import fitting_in_memory
from mcld.errors import DataError
from mcld.faults import passing
from mcld.stages.ahead import ahead
from mcld.stages.columns import Images, column_plans, images_dir, read_pixels, report_of
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork, finish, run_parts
from mcld.stages.pixels import EncoderSource, encoder_source, image_encoder, release_encoders, view_encoder
from mcld.stages.texture import TEXTURE_MEMBER
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.types import Exclusion, ImageRecord, Latents, Report
from mcld.workspace import Workspace

STAGE = "latents"
FORMAT_VERSION = 2

Items = Iterator[tuple[str, dict[str, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentsWork(PartWork[Images]):
    """Encodes the images of a part in batches; each process loads the models once."""

    uses_device = True

    params: LatentsParams
    root_dir: Path
    texture: Column
    encoders: EncoderSource
    num_threads: int

    def inputs(self, payload: Images) -> object:
        """The images, the texture part beside them and the models."""
        texture_part = self.texture.record(payload[0].part).sha256
        images = [[image.key, image.sha256] for image in payload]
        return {"images": images, "texture": texture_part, "weights": self.encoders.weights_sha256}

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part; images that cannot be decoded or encoded are excluded.

        Those without a texture were excluded earlier and are passed over here.
        """
        exclusions: list[Exclusion] = []
        textures = self.texture.read_part(payload[0].part)
        present = [image for image in payload if image.key in textures]
        items = self._items(present, textures=textures, exclusions=exclusions)
        return PartOutput(num_items=write_part(path, items=items), exclusions=tuple(exclusions))

    def release(self) -> None:
        """Let go of the models."""
        release_encoders()

    def blank_npy(self) -> bytes:
        """The blank image's embedding, (D,) float32, as a file."""
        encoder = image_encoder(self.encoders, precision=self.params.precision)
        return encode_npy(embed_blank(encoder).numpy())

    def _items(
        self,
        images: Sequence[ImageRecord],
        *,
        textures: Mapping[str, Mapping[str, bytes]],
        exclusions: list[Exclusion],
    ) -> Items:
        encoder = view_encoder(self.encoders, params=self.params)
        read = partial(_read_view, encoder=encoder, root_dir=self.root_dir, textures=textures)
        size = self.params.batch_size
        batches = (images[start : start + size] for start in range(0, len(images), size))
        # In a worker PyTorch has that process's share of the processor; in this one, all that may be used.
        num_threads = min(self.num_threads, torch.get_num_threads())
        with ThreadPoolExecutor(num_threads) as pool:
            for batch, found in ahead(batches, read=read, pool=pool):
                yield from _encode(batch, found=found, encoder=encoder, exclusions=exclusions)


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Encode every image that has a texture; nothing when latents are not to be kept."""
    started = time.monotonic()
    section, out_dir = params.latents, workspace.stage_dir(STAGE)
    work = LatentsWork(
        params=section,
        root_dir=images_dir(params.dataset, workspace=workspace),
        texture=Column.open(workspace.stage_dir("texture")),
        encoders=encoder_source(params.runtime, weights_dir=workspace.stage_dir("weights")),
        num_threads=num_workers(params.runtime),
    )
    images = read_index(workspace.stage_dir("dataset")).images
    settings = section.model_dump(mode="json", exclude={"max_excluded_fraction"})
    shown = {**settings, "made_from": {"weights": work.encoders.weights_sha256}}
    files = {BLANK_NAME: _kept_blank(out_dir, settings=shown) or work.blank_npy()} if section.cache else {}
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings=settings,
        format_version=FORMAT_VERSION,
        plans=column_plans(images) if section.cache else [],
        work=work,
        mapper=mapper,
        max_excluded_fraction=section.max_excluded_fraction,
    )
    (out_dir / BLANK_NAME).unlink(missing_ok=True)
    for name, data in files.items():
        write_bytes(out_dir / name, data=data)
    passing(f"{STAGE}:blank_written")
    hashes = {name: sha256_of_bytes(data) for name, data in files.items()}
    finish(replace(manifest, settings=shown, files=hashes), out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def _read_view(
    image: ImageRecord,
    *,
    encoder: ViewEncoder,
    root_dir: Path,
    textures: Mapping[str, Mapping[str, bytes]],
) -> SizedView | str:
    """What is encoded of an image, or why it cannot be."""
    pixels = read_pixels(image, root_dir=root_dir)
    if isinstance(pixels, str):
        return pixels
    return encoder.prepare(pixels, texture=decode_image(textures[image.key][TEXTURE_MEMBER]))


def _encode(
    batch: Sequence[ImageRecord],
    *,
    found: Sequence[SizedView | str],
    encoder: ViewEncoder,
    exclusions: list[Exclusion],
) -> Items:
    """Column items of a batch; what has none goes to `exclusions`, with the reason."""
    views = {image.key: view for image, view in zip(batch, found, strict=True) if not isinstance(view, str)}
    reasons = {image.key: view for image, view in zip(batch, found, strict=True) if isinstance(view, str)}
    if views:
        with fitting_in_memory("latents.batch_size", value=encoder.batch_size):
            latents = encoder.encode(list(views.values()))
        for index, (key, reason) in enumerate(zip(views, why_unusable(latents), strict=True)):
            if reason is None:
                yield key, _members(latents, view=index)
            else:
                reasons[key] = reason
    exclusions += [Exclusion(key=key, reason=reason, stage=STAGE) for key, reason in reasons.items()]


def _members(latents: Latents, *, view: int) -> dict[str, bytes]:
    """One view's arrays as files, named after their fields."""
    return {f"{field.name}.npy": encode_npy(getattr(latents, field.name)[view]) for field in fields(latents)}


def _kept_blank(out_dir: Path, *, settings: dict[str, object]) -> bytes | None:
    """The last finished run's blank embedding, if made with the same settings from the same weights."""
    try:
        column = Column.open(out_dir)
        same = (column.manifest.settings, column.manifest.format_version) == (settings, FORMAT_VERSION)
        return column.read_file(BLANK_NAME) if same else None
    except DataError:
        return None
