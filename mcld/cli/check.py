"""`mcld check …`: compare what this installation computes with recorded numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXIT_ABOVE_TOLERANCE = 1

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
    from mcld import parity

    rows: list[parity.Row] = []
    for row in parity.check_model(directory):
        if not rows:
            print(parity.heading())
        print(parity.describe(row), flush=True)
        rows.append(row)
    print(parity.summarise(rows))
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_ABOVE_TOLERANCE)
