"""Send a big file to an S3 endpoint and fetch it: ours beside one plain stream, in one run.

    python -m benchmarks.transfer                      1 GB in parts of 64 MiB, three times each, to moto's
    python -m benchmarks.transfer --endpoint http://127.0.0.1:8333 --bucket mcld       to that of `make stack`

`mcld` is `upload_file` and `download_file`, as checkpoints and shards go: parts in parallel, each with its
MD5, the sha256 of the whole file before and after, and a question after what was sent. `stream` is one
`put_object` of the open file and one `get_object` written block by block, boto3 with its defaults: what
`aws s3api` does, with nothing verified. `stream+sha256` adds the sha256 of the file, as ours does.

moto's server is a Python program that keeps objects in memory, copies a whole object for every range, and
shares this machine's cores: beside it one sees what our client costs, and not what parts are for, which is a
store that serves several connections faster than one. The file is removed before each sending. One JSON line
a result.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import boto3
import numpy as np
import torch
import typer

from benchmarks.measure import Timing, machine, measure, show
from mcld.storage import sha256_of_file
from mcld.storage.multipart import TransferSettings
from mcld.storage.s3 import S3Folder
from mcld.storage.transfer import download_file, upload_file
from tests.s3_server import CREDENTIALS, client_of, moto_server

NAME = "transfer-benchmark.bin"
PART_BYTES = 64 << 20
BLOCK_BYTES = 1 << 20
CPU = torch.device("cpu")
Transfer = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Both ways of sending and fetching one file."""

    sent: Path
    fetched: Path
    bucket: str
    client: Any  # boto3's
    folder: S3Folder
    settings: TransferSettings

    def put(self) -> None:
        """One request that carries the open file."""
        with self.sent.open("rb") as body:
            self.client.put_object(Bucket=self.bucket, Key=NAME, Body=body)

    def get(self) -> None:
        """One request, whose body is written as it comes."""
        body = self.client.get_object(Bucket=self.bucket, Key=NAME)["Body"]
        with self.fetched.open("wb") as file:
            for block in body.iter_chunks(BLOCK_BYTES):
                file.write(block)

    def upload(self) -> None:
        """As checkpoints go."""
        upload_file(self.sent, folder=self.folder, name=NAME, settings=self.settings)

    def download(self) -> None:
        """As checkpoints come."""
        download_file(self.fetched, folder=self.folder, name=NAME, settings=self.settings)

    def remove(self) -> None:
        """Of the store."""
        self.client.delete_object(Bucket=self.bucket, Key=NAME)


def main(
    megabytes: Annotated[int, typer.Option(min=1)] = 1000,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    threads: Annotated[int, typer.Option(min=1)] = 8,
    endpoint: Annotated[str | None, typer.Option(help="Of another store; credentials as for AWS.")] = None,
    bucket: str = "big",
) -> None:
    """Write a file of random bytes, and time both ways of sending and fetching it."""
    settings = TransferSettings(part_bytes=PART_BYTES, num_threads=threads)
    with tempfile.TemporaryDirectory() as root, _client(endpoint, bucket=bucket) as client:
        ways = Ways(
            sent=Path(root) / NAME,
            fetched=Path(root) / "fetched.bin",
            bucket=bucket,
            client=client,
            folder=S3Folder.at(f"s3://{bucket}", endpoint=client.meta.endpoint_url),
            settings=settings,
        )
        _write(ways.sent, num_megabytes=megabytes)
        facts = {
            "server": "moto" if endpoint is None else "given",
            "megabytes": megabytes,
            "threads": threads,
        }
        uploads = {"stream": ways.put, "stream+sha256": _hashed(ways.put, ways.sent), "mcld": ways.upload}
        for way, transfer in uploads.items():
            timings = _timings(transfer, before=ways.remove, repeats=repeats)
            _show(timings, direction="upload", way=way, facts=facts)
        downloads = {
            "stream": ways.get,
            "stream+sha256": _hashed(ways.get, ways.fetched),
            "mcld": ways.download,
        }
        for way, transfer in downloads.items():
            timings = _timings(transfer, before=lambda: ways.fetched.unlink(missing_ok=True), repeats=repeats)
            _show(timings, direction="download", way=way, facts=facts)
        ways.remove()


@contextmanager
def _client(endpoint: str | None, *, bucket: str) -> Iterator[Any]:
    """A plain client of the endpoint, or of moto's server, which is then started."""
    if endpoint is not None:
        yield boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        return
    os.environ.update(CREDENTIALS)
    with moto_server() as own:
        client = client_of(own)
        client.create_bucket(Bucket=bucket)
        yield client


def _hashed(transfer: Transfer, path: Path) -> Transfer:
    def both() -> None:
        transfer()
        sha256_of_file(path)

    return both


def _timings(transfer: Transfer, *, before: Transfer, repeats: int) -> list[Timing]:
    timings = []
    for _ in range(repeats):
        before()
        timings.append(measure(transfer, repeats=1, warm_ups=0, device=CPU))
    return sorted(timings, key=lambda timing: timing.median_s)


def _show(timings: list[Timing], *, direction: str, way: str, facts: Mapping[str, object]) -> None:
    median, megabytes = timings[len(timings) // 2], facts["megabytes"]
    assert isinstance(megabytes, int)
    show(
        {
            "benchmark": "transfer",
            "direction": direction,
            "way": way,
            **facts,
            "mb_per_s": round(megabytes / median.median_s, 1),
            "median_s": round(median.median_s, 3),
            "best_s": round(timings[0].median_s, 3),
            "cpu_s": round(median.cpu_s, 3),
            "repeats": len(timings),
            **machine(CPU),
        }
    )


def _write(path: Path, *, num_megabytes: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(num_megabytes):
            file.write(rng.bytes(10**6))


if __name__ == "__main__":
    typer.run(main)
