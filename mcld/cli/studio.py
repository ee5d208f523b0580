"""`mcld studio`: the page on which a model is tried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcld.cli.engine_options import (
    Accelerate,
    DensePose,
    Device,
    Dtype,
    EngineOptions,
    FaceDir,
    SFace,
    YuNet,
    open_engine,
)
from mcld.cli.serve import AllowedHost, Host, PasswordFile, Port, serve_until_interrupted

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mcld.service.access import Access


def studio_command(
    model: Annotated[
        Path | None,
        typer.Argument(help="A folder that `mcld export` wrote; default: MCLD_MODEL, or this folder's."),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    password_file: PasswordFile = None,
    allowed_host: AllowedHost = None,
    examples: Annotated[
        Path | None, typer.Option(help="Photographs to begin with: a folder with people/ and poses/.")
    ] = None,
    densepose: DensePose = None,
    face_dir: FaceDir = None,
    yunet: YuNet = None,
    sface: SFace = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    accelerate: Accelerate = None,
) -> None:
    """Open a page to pose and edit people, on this machine alone, until Ctrl-C."""
    options = EngineOptions(
        model=model,
        densepose=densepose,
        face_dir=face_dir,
        yunet=yunet,
        sface=sface,
        device=device,
        dtype=dtype,
        accelerate=accelerate or (),
    )

    def make_app(access: Access) -> FastAPI:
        from mcld.studio.app import create_studio

        engine, directory = open_engine(options)
        return create_studio(engine, model=str(directory), access=access, examples_dir=examples)

    serve_until_interrupted(
        make_app, host=host, port=port, password_file=password_file, allowed_hosts=allowed_host or ()
    )
