"""`mcld check …`: compare what this installation computes with recorded numbers."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mcld.parity import Row

EXIT_ABOVE_TOLERANCE = 1


class Device(enum.StrEnum):
    """Where a check computes."""

    cpu = "cpu"
    cuda = "cuda"


class ComputePrecision(enum.StrEnum):
    """In which a check computes."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


check_app = typer.Typer(help="Compare with recorded numbers.", no_args_is_help=True)


@check_app.callback()
def check() -> None:
    """Compare with recorded numbers."""


@check_app.command("model")
def check_model(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of recorded tensors, with its config.json.")
    ],
) -> None:
    """Is our MCLD the published one? Exit code 1 if any number is above its tolerance."""
    from mcld.parity import check_model

    show_rows(check_model(directory))


@check_app.command("densepose")
def check_densepose_command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of recorded cases: case_*.json, .png and .npz.")
    ],
    device: Annotated[
        Device, typer.Option(help="Where to compute; a GPU's float32 is allowed larger errors.")
    ] = Device.cpu,
    precision: Annotated[
        ComputePrecision, typer.Option(help="Of half precision the errors are told, and no check.")
    ] = ComputePrecision.float32,
) -> None:
    """Is our DensePose detectron2's? Exit code 1 if any number is above its tolerance."""
    from mcld.devices import dtype_of, pick_device
    from mcld.parity.densepose import check_densepose

    device_value, dtype = pick_device(device.value), dtype_of(precision.value)
    show_rows(check_densepose(directory, device=device_value, precision=dtype))


@check_app.command("texture")
def check_texture_command(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of recorded cases: NAME.json and NAME_*.png.")
    ],
) -> None:
    """Are our UV textures the authors'? Exit code 1 if any number is above its tolerance."""
    from mcld.parity.texture import check_texture

    show_rows(check_texture(directory))


def show_rows(found: Iterable[Row]) -> None:
    """Print the table, row by row; leave with exit code 1 if any number is above its tolerance."""
    from mcld.parity import describe, heading, summarise

    rows: list[Row] = []
    for row in found:
        if not rows:
            print(heading())
        print(describe(row), flush=True)
        rows.append(row)
    print(summarise(rows))
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_ABOVE_TOLERANCE)
