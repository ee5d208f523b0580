"""Pairs a second and bytes a pair: the authors' way of loading against ours, on the same people, in one run.

    python -m benchmarks.loader                       12 outfits at 750 x 1101, rendered first
    python -m benchmarks.loader --workspace /tmp/people     kept there for the next run

The authors open five files for every pair, decode, resize and prepare them for CLIP (naive_loader.py). Ours
reads shards with kept latents of 512 x 512 pixels (noise: its bytes are as many): anew at every visit, or
with all outfits held in memory and seen once. Reader and authors have one core to themselves, two workers
have all cores; S3 endpoints (moto, and one that only sends bytes) run beside. Takes of an epoch each, from a
generator that is running, so that what is ready at the beginning of a take is so again at its end. Files were
just written, and so are in the disk's cache. One JSON line a result; `*_aim` are the targets.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.loader_data import PairFiles, make_shards, pair_files, params_of
from benchmarks.measure import Timing, machine, measure, show
from benchmarks.naive_loader import naive_batch
from benchmarks.range_server import range_server
from mcld.data.loader import Loader
from mcld.storage import Folder, LocalFolder, sha256_of_file
from mcld.storage.s3 import S3Folder
from mcld.storage.transfer import upload_folder
from mcld.workspace import Workspace
from tests.s3_server import CREDENTIALS, client_of, moto_server

BATCH_SIZE = 12
SHUFFLE_OUTFITS, NUM_STREAMS = 64, 2  # as in the profile mannequins-tiny
ALL_PAIRS = 12  # of an outfit of four views, the most common: with so many a visit it is read once an epoch
RESIDENT_BYTES = 1 << 34
ALL_PAIRS_NAME = "streaming, 12 pairs a visit"
BUCKET = "shards"
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How pairs are loaded; `folder` None is the authors' way."""

    name: str
    folder: Folder | None = None
    pairs_per_visit: int = 4  # as in the profiles
    loader_workers: int = 0
    resident_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CountedFolder:
    """Another folder, and how many bytes were read of it."""

    folder: Folder
    counts: list[int]

    @property
    def place(self) -> str:
        """The other's."""
        return self.folder.place

    def size(self, name: str) -> int | None:
        """As the other says."""
        return self.folder.size(name)

    def read(self, name: str) -> bytes:
        """All of a file; it is read once, when shards are opened, and so not counted."""
        return self.folder.read(name)

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """A part of a file, counted."""
        data = self.folder.read_range(name, offset=offset, num_bytes=num_bytes)
        self.counts.append(len(data))
        return data


def main(
    outfits: Annotated[int, typer.Option(min=4)] = 12,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    workspace: Annotated[Path | None, typer.Option(help="Keep what is rendered here.")] = None,
) -> None:
    """Render people, write shards, serve them, and time loading."""
    os.environ.update(CREDENTIALS)
    torch.set_num_threads(1)
    with ExitStack() as stack:
        root = workspace or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        params = params_of(num_outfits=outfits)
        shards_dir = make_shards(Workspace(root=root), params=params)
        local = LocalFolder(shards_dir)
        pairs = loader_of(Way(name="", folder=local)).pairs
        files = pair_files(Workspace(root=root), params=params, pairs=pairs)
        moto = stack.enter_context(moto_server())
        lean = stack.enter_context(range_server(shards_dir.parent))
        ways = (
            Way(name="authors"),
            Way(name="streaming", folder=local),
            Way(name=ALL_PAIRS_NAME, folder=local, pairs_per_visit=ALL_PAIRS),
            Way(name="streaming, 2 workers", folder=local, loader_workers=2),
            Way(name="streaming, S3 moto", folder=pushed(shards_dir, endpoint=moto)),
            Way(name="streaming, S3 lean", folder=S3Folder.at(f"s3://{BUCKET}", endpoint=lean)),
            Way(name="resident", folder=local, resident_bytes=RESIDENT_BYTES),
        )
        timings = {way.name: time_way(way, files=files, repeats=repeats) for way in ways}
        streamed = {way.name: bytes_a_pair(way) for way in ways[1:3]}
        report(timings, files=files, streamed=streamed)


def loader_of(way: Way) -> Loader:
    """The loader of training pairs."""
    assert way.folder is not None
    return Loader.open(
        way.folder,
        split="train",
        batch_size=BATCH_SIZE,
        seed=0,
        pairs_per_visit=way.pairs_per_visit,
        shuffle_outfits=SHUFFLE_OUTFITS,
        num_streams=NUM_STREAMS,
        loader_workers=way.loader_workers,
        resident_bytes=way.resident_bytes,
    )


def time_way(way: Way, *, files: Sequence[PairFiles], repeats: int) -> Timing:
    """Takes of an epoch of pairs, the first in vain: in it outfits that stay are seen for the first time."""
    num_batches = batches_an_epoch(len(files))
    with on_cores(None if way.loader_workers else 1), ExitStack() as stack:
        batches: Iterator[object]
        if way.folder is None:
            endless = cycle(files)
            batches = (naive_batch(list(islice(endless, BATCH_SIZE))) for _ in count())
        else:
            batches = stack.enter_context(closing(loader_of(way).batches(start_step=0)))

        def take() -> None:
            for _ in islice(batches, num_batches):
                pass

        return measure(take, repeats=repeats, warm_ups=1, device=CPU)


def batches_an_epoch(num_pairs: int) -> int:
    """Full batches that hold every pair."""
    return -(-num_pairs // BATCH_SIZE)


@contextmanager
def on_cores(number: int | None) -> Iterator[None]:
    """Keep this thread, and those that it starts, on that many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if number is None else set(sorted(before)[:number]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def bytes_a_pair(way: Way) -> float:
    """Read of shards for a pair, over some epochs; the thread ahead adds less than a hundredth."""
    assert way.folder is not None
    counts: list[int] = []
    loader = loader_of(replace(way, folder=CountedFolder(way.folder, counts)))
    num_batches = 20 * batches_an_epoch(loader.num_pairs)
    with closing(loader.batches(start_step=0)) as batches:
        for _ in islice(batches, num_batches):
            pass
    return sum(counts) / (num_batches * BATCH_SIZE)


def pushed(directory: Path, *, endpoint: str) -> S3Folder:
    """The shards in a bucket of their own."""
    client_of(endpoint).create_bucket(Bucket=BUCKET)
    folder = S3Folder.at(f"s3://{BUCKET}", endpoint=endpoint)
    upload_folder(
        directory,
        files={path.name: sha256_of_file(path) for path in sorted(directory.iterdir())},
        folder=folder,
    )
    return folder


def report(timings: dict[str, Timing], *, files: Sequence[PairFiles], streamed: dict[str, float]) -> None:
    """A line for each way, then the ratios. `streamed` are bytes a pair."""
    num_pairs = BATCH_SIZE * batches_an_epoch(len(files))
    authors_bytes = sum(of_pair.num_bytes for of_pair in files) / len(files)
    for name, timing in timings.items():
        has_bytes = not name.startswith("resident")
        read = authors_bytes if name == "authors" else streamed.get(name, streamed["streaming"])
        show(
            {
                "benchmark": "loader",
                "way": name,
                "pairs": num_pairs,
                "pairs_per_s": round(num_pairs / timing.median_s, 1),
                "pairs_per_cpu_s": None if "workers" in name else round(num_pairs / timing.cpu_s, 1),
                "kb_a_pair": round(read / 1e3, 1) if has_bytes else 0.0,
                "authors_times": round(timings["authors"].median_s / timing.median_s, 2),
                **timing.rounded(),
                **machine(CPU),
            }
        )
    seconds = {name: timing.median_s for name, timing in timings.items()}
    show(
        {
            "benchmark": "loader, ratios",
            "resident_times_authors": round(seconds["authors"] / seconds["resident"], 1),
            "streaming_times_authors": round(seconds["authors"] / seconds["streaming"], 1),
            "all_pairs_times_authors": round(seconds["authors"] / seconds[ALL_PAIRS_NAME], 1),
            "times_aim": 20,
            "bytes_share_of_authors": round(streamed["streaming"] / authors_bytes, 3),
            "all_pairs_bytes_share": round(streamed[ALL_PAIRS_NAME] / authors_bytes, 3),
            "bytes_share_aim": 0.25,
            "s3_moto_share_of_local": round(seconds["streaming"] / seconds["streaming, S3 moto"], 3),
            "s3_lean_share_of_local": round(seconds["streaming"] / seconds["streaming, S3 lean"], 3),
            "s3_share_aim": 0.8,
        }
    )


if __name__ == "__main__":
    typer.run(main)
