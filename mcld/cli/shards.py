"""`mcld shards …`: verify the training shards, and look at what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

shards_app = typer.Typer(help="Verify the training shards, and look at them.", no_args_is_help=True)


@shards_app.callback()
def shards() -> None:
    """Verify the training shards, and look at them."""


@shards_app.command("verify")
def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Sample by sample, so that damage is told by its sample.")
    ] = False,
) -> None:
    """Hash every tar and compare with the manifest; the first damage is an error that names it."""
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
