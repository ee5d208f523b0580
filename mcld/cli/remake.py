"""`mcld remake`: make a picture again from its recipe, and say whether it came out the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mcld.cli.engine_options import (
    DensePose,
    Device,
    EngineOptions,
    FaceDir,
    Model,
    SFace,
    YuNet,
    open_engine,
)

EXIT_DIFFERS = 1


def remake_command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.json", help="What lies beside a picture.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The PNG to write; default: only compare.")
    ] = None,
    model: Model = None,
    densepose: DensePose = None,
    face_dir: FaceDir = None,
    yunet: YuNet = None,
    sface: SFace = None,
    device: Device = "auto",
) -> None:
    """Make a picture again from its recipe; exit code 1 if it comes out otherwise.

    The files that it names must lie where they did.
    """
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.data.codec import encode_png
    from mcld.inference.photos.photo import read_file
    from mcld.inference.recipe import read_recipe
    from mcld.inference.remake import remake
    from mcld.storage import sha256_of_bytes, write_bytes

    found = read_recipe(recipe)
    engine, _ = open_engine(
        EngineOptions(
            model=model or Path(found.model),
            densepose=densepose,
            face_dir=face_dir,
            yunet=yunet,
            sface=sface,
            device=device,
            dtype=found.machine.precision,
        )
    )
    data = encode_png(remake(found, engine=engine, bytes_of=lambda use: read_file(Path(use.path))))
    if out is not None:
        write_bytes(out, data=data)
    if sha256_of_bytes(data) == found.picture_sha256:
        print(f"{recipe}: the same picture, byte for byte")
        return
    print(
        f"{recipe}: another picture; it was made with {found.machine}, and other versions or another "
        "device round otherwise"
    )
    sys.exit(EXIT_DIFFERS)
