"""`mcld shards …`: verify the training shards, look at what they hold, and push them to an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Endpoint = Annotated[
    str | None,
    typer.Option(help="Of an S3-compatible store, e.g. http://127.0.0.1:9000; else AWS_ENDPOINT_URL."),
]

shards_app = typer.Typer(
    help="Verify the training shards, look at them, push them to an object store.", no_args_is_help=True
)


@shards_app.callback()
def shards() -> None:
    """Verify the training shards, look at them, push them to an object store."""


@shards_app.command("verify")
def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Sample by sample, so that damage is told by its sample.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="s3://BUCKET/PREFIX",
            help="Verify pushed shards: their sizes and the sha256 they carry; with --deep all their bytes.",
        ),
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Hash every tar and compare with the manifest; the first damage is an error that names it."""
    if at is not None:
        _verify_at(at, endpoint=endpoint, deep=deep)
        return
    from mcld.data.shards import ShardSet, verify_shards
    from mcld.workspace import Workspace

    found = ShardSet.open(Workspace().stage_dir("shards"))
    num_samples = verify_shards(found, deep=deep)
    num_bytes = sum(record.num_bytes for record in found.manifest.parts)
    num_pairs = sum(len(sample.pairs) for sample in found.samples)
    print(
        f"{found.place}: {len(found.manifest.parts)} shards, {num_samples} samples, {num_pairs} pairs, "
        f"{num_bytes / 1e6:,.1f} MB: whole"
    )


@shards_app.command("show")
def show(
    key: Annotated[str, typer.Argument(help="An outfit's key, or an image by key, path or flattened name.")],
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("sample.png"),
) -> None:
    """Draw one sample: the pictures of all its views, and which pairs they give."""
    from mcld.data.codec import encode_png
    from mcld.data.shards import ShardSet
    from mcld.stages.shard_pictures import describe_sample, find_sample, picture_of_sample
    from mcld.storage import write_bytes
    from mcld.workspace import Workspace

    found = ShardSet.open(Workspace().stage_dir("shards"))
    sample = find_sample(found, name=key)
    picture = picture_of_sample(found, sample=sample)
    write_bytes(out, data=encode_png(picture))
    print(describe_sample(sample))
    print(f"{out}: {picture.shape[1]} x {picture.shape[0]} pixels")


@shards_app.command("push")
def push(
    to: Annotated[str, typer.Argument(metavar="s3://BUCKET/PREFIX", help="Where they are to lie.")],
    endpoint: Endpoint = None,
) -> None:
    """Send the shards to an object store, the manifest last. Repeat the command to resume."""
    from mcld.data.shard_transfer import push_shards
    from mcld.storage.s3 import S3Folder
    from mcld.workspace import Workspace

    folder = S3Folder.at(to, endpoint=endpoint)
    done = push_shards(Workspace().stage_dir("shards"), folder=folder)
    print(
        f"{folder.place}: {done.num_sent} files sent ({done.num_bytes / 1e6:,.1f} MB), "
        f"{done.num_skipped} were there already: whole"
    )


def _verify_at(place: str, *, endpoint: str | None, deep: bool) -> None:
    from mcld.data.shard_transfer import verify_pushed
    from mcld.storage.s3 import S3Folder

    folder = S3Folder.at(place, endpoint=endpoint)
    found = verify_pushed(folder, deep=deep)
    print(f"{folder.place}: {found.num_shards} shards, {found.num_bytes / 1e6:,.1f} MB: whole")
    if found.num_unhashed:
        print(f"{found.num_unhashed} files carry no sha256, so only their sizes were compared; use --deep")
