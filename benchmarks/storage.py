"""Stream samples of shards from this machine's disk and from S3 endpoints on it, in one run.

    python -m benchmarks.storage                      4 tars of 50 outfits of about 1 MB
    python -m benchmarks.storage --shards 2 --repeats 1

Samples are read in a shuffled order, one range a sample, by one thread after the other (`ahead` 0) or by
threads that read ahead and keep the order. `verified` adds what the loader does with every sample: taking it
out of its tar and comparing the sha256 of all members. Endpoints: moto's server, which copies the whole
object for every range, and `lean`, which only sends bytes (range_server.py): what our client costs. Both are
Python programs that share this machine's cores with the reader, so a store of its own is faster than these.
`cached` is moto behind a disk cache that holds all tars, filled before the clock starts.
Files were just written, and so are in the disk's cache. One JSON line a result.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.measure import Timing, machine, measure, show
from benchmarks.range_server import range_server
from mcld.data.shards import OutfitSample, check_sample, index_shard, sample_members, split_name
from mcld.data.tar import read_members, write_tar
from mcld.storage import Folder, LocalFolder, sha256_of_file
from mcld.storage.cache import CachedFolder
from mcld.storage.s3 import S3Folder
from mcld.storage.transfer import upload_folder
from tests.s3_server import CREDENTIALS, client_of, moto_server

VIEWS = ("1_front", "2_side", "3_back", "4_full")
MEMBERS = ("image.jpg", "iuv.png", "image_moments.npy", "texture_moments.npy")
MEMBER_BYTES = 64 << 10  # 16 members: 1 MB an outfit
OUTFITS_PER_SHARD = 50
BUCKET = "shards"
AHEAD = (0, 4, 8)
CPU = torch.device("cpu")


def main(
    shards: Annotated[int, typer.Option(min=1)] = 4,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Write shards, serve them, and time reading them."""
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as root, moto_server() as moto, range_server(Path(root)) as lean:
        directory = Path(root) / BUCKET
        directory.mkdir()
        samples = _write_shards(directory, num_shards=shards)
        folders: dict[str, Folder] = {
            "local": LocalFolder(directory),
            "lean": S3Folder.at(f"s3://{BUCKET}", endpoint=lean),
            "moto": _pushed(directory, endpoint=moto),
        }
        folders["cached"] = CachedFolder(
            source=folders["moto"],
            directory=Path(root) / "cache",
            max_bytes=1 << 40,
            sha256s=_sha256s(directory),
        )
        for verified in (False, True):
            for ahead in AHEAD:
                timings = {
                    name: _time(folder, samples=samples, ahead=ahead, verified=verified, repeats=repeats)
                    for name, folder in folders.items()
                }
                _show(timings, samples=samples, ahead=ahead, verified=verified)


def stream(folder: Folder, *, samples: Sequence[OutfitSample], ahead: int) -> Iterator[bytes]:
    """Bytes of the samples in order; `ahead` threads read those that come next."""
    if ahead == 0:
        yield from (_read(folder, sample) for sample in samples)
        return
    pending: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        for sample in samples:
            pending.append(pool.submit(_read, folder, sample))
            if len(pending) > 2 * ahead:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def _read(folder: Folder, sample: OutfitSample) -> bytes:
    return folder.read_range(sample.shard, offset=sample.offset, num_bytes=sample.num_bytes)


def _time(
    folder: Folder, *, samples: Sequence[OutfitSample], ahead: int, verified: bool, repeats: int
) -> Timing:
    def consume() -> None:
        for data, sample in zip(stream(folder, samples=samples, ahead=ahead), samples, strict=True):
            if verified:
                _verify(data, sample=sample)
            elif len(data) != sample.num_bytes:
                raise RuntimeError(f"{sample.shard}: {len(data)} bytes read")

    return measure(consume, repeats=repeats, warm_ups=1, device=CPU)


def _verify(data: bytes, *, sample: OutfitSample) -> None:
    members = {
        split_name(name, place=sample.shard)[1]: member
        for name, member in read_members(data + bytes(io.DEFAULT_BUFFER_SIZE), place=sample.shard)
    }
    check_sample(members, sample=sample, place=sample.shard)


def _write_shards(directory: Path, *, num_shards: int) -> list[OutfitSample]:
    """Tars of random members; returns their samples, shuffled."""
    rng = np.random.default_rng(0)
    samples: list[OutfitSample] = []
    for shard in range(num_shards):
        members: list[tuple[str, bytes]] = []
        for outfit in range(OUTFITS_PER_SHARD):
            views = {view: {member: rng.bytes(MEMBER_BYTES) for member in MEMBERS} for view in VIEWS}
            members += sample_members(
                f"outfit-{shard}-{outfit}",
                split="train",
                views=views,
                members=MEMBERS,
                image_hw=[(1101, 750)] * len(VIEWS),
                face_found=[True] * len(VIEWS),
                pairs=[(0, 1)],
            )
        path = directory / f"train-{shard:05d}.tar"
        write_tar(path, members=members)
        samples += index_shard(path)
    return [samples[index] for index in rng.permutation(len(samples))]


def _pushed(directory: Path, *, endpoint: str) -> S3Folder:
    client_of(endpoint).create_bucket(Bucket=BUCKET)
    folder = S3Folder.at(f"s3://{BUCKET}", endpoint=endpoint)
    upload_folder(directory, files=_sha256s(directory), folder=folder)
    return folder


def _sha256s(directory: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in sorted(directory.iterdir())}


def _show(timings: dict[str, Timing], *, samples: Sequence[OutfitSample], ahead: int, verified: bool) -> None:
    num_bytes = sum(sample.num_bytes for sample in samples)
    for name, timing in timings.items():
        show(
            {
                "benchmark": "storage",
                "folder": name,
                "ahead": ahead,
                "verified": verified,
                "samples": len(samples),
                "mb": round(num_bytes / 1e6, 1),
                "samples_per_s": round(len(samples) / timing.median_s, 1),
                "mb_per_s": round(num_bytes / 1e6 / timing.median_s, 1),
                "share_of_local": round(timings["local"].median_s / timing.median_s, 3),
                **timing.rounded(),
                **machine(CPU),
            }
        )


if __name__ == "__main__":
    typer.run(main)
