"""Small shards written straight from seeded arrays, for tests of reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mcld.config import LatentsParams
from mcld.data.codec import encode_iuv, encode_npy, encode_png, encode_pose
from mcld.data.manifest import write_manifest
from mcld.data.shards import (
    CONDITION_MEMBERS,
    LATENT_MEMBERS,
    SAMPLES_NAME,
    index_shard,
    sample_members,
    write_samples,
)
from mcld.data.tar import write_tar
from mcld.framing import Framing
from mcld.storage import sha256_of_bytes, sha256_of_file
from mcld.types import Manifest, PartRecord

HEIGHT_PX, WIDTH_PX = 24, 16
LATENTS = LatentsParams(height_px=HEIGHT_PX, width_px=WIDTH_PX)
FRAMING = Framing(height_px=HEIGHT_PX, width_px=WIDTH_PX)
VIEWS = ("1_front", "2_side", "3_back", "4_full", "7_additional")


def outfit_key(number: int) -> str:
    """A DeepFashion outfit key."""
    return f"WOMEN-Dresses-id_{number:08d}-01"


def view_members(key: str) -> dict[str, bytes]:
    """All members of one view, drawn from a seed that is its key."""
    rng = np.random.default_rng(int(sha256_of_bytes(key.encode())[:8], 16))
    iuv = rng.integers(0, 25, (2 * HEIGHT_PX, 2 * WIDTH_PX, 3), np.uint8)
    return {
        "image.jpg": encode_png(rng.integers(0, 256, (4, 4, 3), np.uint8)),
        "iuv.png": encode_iuv(iuv),
        "pose.webp": encode_pose(FRAMING.iuv(iuv)),
        "texture.png": encode_png(rng.integers(0, 256, (4, 4, 3), np.uint8)),
        "face.npy": encode_npy(rng.normal(size=5).astype(np.float32)),
        "image_moments.npy": encode_npy(rng.normal(size=(4, 2, 1)).astype(np.float16)),
        "texture_moments.npy": encode_npy(rng.normal(size=(4, 1, 1)).astype(np.float16)),
        "embeddings.npy": encode_npy(rng.normal(size=(2, 3)).astype(np.float32)),
    }


def write_shards(
    directory: Path,
    *,
    views_per_outfit: Sequence[Sequence[int]],
    split: str = "train",
    latents: LatentsParams = LATENTS,
) -> Path:
    """One tar for each inner sequence, which gives the number of views of each of its outfits."""
    view_members_held = CONDITION_MEMBERS + (LATENT_MEMBERS if latents.cache else ())
    records, samples, number = [], [], 0
    directory.mkdir(parents=True, exist_ok=True)
    for index, counts in enumerate(views_per_outfit):
        members: list[tuple[str, bytes]] = []
        for num_views in counts:
            key, views = outfit_key(number), VIEWS[:num_views]
            pairs = [(s, t) for s in range(num_views) for t in range(num_views) if s != t]
            members += sample_members(
                key,
                split=split,
                views={view: view_members(f"{key}/{view}") for view in views},
                members=view_members_held,
                face_found=[view != "3_back" for view in views],
                image_hw=[(2 * HEIGHT_PX, 2 * WIDTH_PX) for _ in views],
                pairs=pairs,
            )
            number += 1
        path = directory / f"{split}-{index:05d}.tar"
        write_tar(path, members=members)
        samples += index_shard(path)
        records.append(
            PartRecord(
                index=index,
                path=path.name,
                sha256=sha256_of_file(path),
                num_bytes=path.stat().st_size,
                num_items=len(counts),
                fingerprint="f",
            )
        )
    files = {SAMPLES_NAME: write_samples(directory, samples=samples)}
    settings: dict[str, object] = {"latents": latents.model_dump(mode="json")}
    manifest = Manifest(
        stage="shards", format_version=1, settings=settings, parts=tuple(records), files=files
    )
    write_manifest(directory, manifest=manifest)
    return directory
