"""`mcld conditions …`: look at what the condition stages made of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcld.errors import ConfigError

conditions_app = typer.Typer(help="Look at what the condition stages made.", no_args_is_help=True)


@conditions_app.callback()
def conditions() -> None:
    """Look at what the condition stages made."""


@conditions_app.command("show")
def show(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY…", help="Images, by key, path or flattened name.")
    ] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="A contact sheet of the images that came out worst.")
    ] = False,
    count: Annotated[int, typer.Option(min=1, max=24, help="How many of the worst, by every ranking.")] = 8,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("conditions.png"),
) -> None:
    """Write a picture of images with IUV map, face, UV texture, and the texture rendered back."""
    if bool(keys) == worst:
        raise ConfigError("conditions show: name images (KEY…), or ask for --worst; one of the two")
    from mcld.config import load_params
    from mcld.data.codec import encode_png
    from mcld.stages.condition_pictures import ConditionShelf, contact_sheet, picture_of, worst_cases
    from mcld.storage import write_bytes
    from mcld.workspace import Workspace

    shelf = ConditionShelf.open(load_params(), workspace=Workspace())
    if keys:
        picture = picture_of(shelf, names=keys)
    else:
        cases = worst_cases(shelf, count=count)
        picture = contact_sheet(shelf, cases=cases)
        for case in cases:
            print(case.ranking.title)
            for key, value in case.found:
                print(f"  {value:<8.3g} {key}")
    write_bytes(out, data=encode_png(picture))
    print(f"{out}: {picture.shape[1]} x {picture.shape[0]} pixels")
