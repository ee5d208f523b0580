"""`mcld serve`: the engine over HTTP, for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mcld.service.access import Access

Host = Annotated[str, typer.Option("--host", help="The address to listen on; others need a password.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="A file whose first line is the password; without it, MCLD_PASSWORD's value."),
]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option("--allowed-host", help="Another name that it is called by; several times for several."),
]


def serve_command(
    model: Annotated[
        Path | None,
        typer.Argument(help="A folder that `mcld export` wrote; default: MCLD_MODEL, or this folder's."),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    password_file: PasswordFile = None,
    allowed_host: AllowedHost = None,
    max_queue: Annotated[int, typer.Option(min=1, help="Renders that may wait.")] = 16,
    densepose: DensePose = None,
    face_dir: FaceDir = None,
    yunet: YuNet = None,
    sface: SFace = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    accelerate: Accelerate = None,
) -> None:
    """Answer requests for pictures until Ctrl-C; docs/serving.md shows how to ask."""
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
        from mcld.service.app import create_app
        from mcld.service.limits import Limits

        engine, directory = open_engine(options)
        return create_app(engine, model=str(directory), access=access, limits=Limits(max_queue=max_queue))

    serve_until_interrupted(
        make_app, host=host, port=port, password_file=password_file, allowed_hosts=allowed_host or ()
    )


def serve_until_interrupted(
    make_app: Callable[[Access], FastAPI],
    *,
    host: str,
    port: int,
    password_file: Path | None,
    allowed_hosts: Sequence[str],
) -> None:
    """Serve what `make_app` makes. Raises ConfigError, for rules and address before any model is loaded."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.service.access import access_for, password_from
    from mcld.service.run import address_of, bind, serve

    access = access_for(host, password=password_from(password_file), allowed_hosts=allowed_hosts)
    with bind(host, port=port) as bound:
        app = make_app(access)
        address = address_of(bound)
        serve(app, bound=bound, on_ready=lambda: print(f"{address} (Ctrl-C ends it)", flush=True))
