"""`mcld figures …`: the paper's figures, from what was generated here and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcld.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from mcld.stages.figure_columns import PairKey

figures_app = typer.Typer(
    help="Draw the paper's figures. Its first is made by the stage `probe`.", no_args_is_help=True
)

Out = Annotated[Path, typer.Argument(metavar="OUT.png", help="The PNG to write.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE:TARGET",
        help="A pair to show, two images by key or file name; several times for several.",
    ),
]
Count = Annotated[int, typer.Option(min=1, max=64, help="Without --pairs: how many are shown.")]


@figures_app.callback()
def figures() -> None:
    """Draw the paper's figures. Its first is made by the stage `probe`."""


@figures_app.command("methods")
def methods(
    out: Out,
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]FOLDER…",
            help="Images that others generated, named as `mcld evaluate` knows them; or other workspaces.",
        ),
    ] = None,
    pairs: Pairs = None,
    count: Count = 6,
    own: Annotated[
        bool, typer.Option("--own/--no-own", help="Show what this workspace's model generated, last.")
    ] = True,
) -> None:
    """Figure 3: source, target pose and target, and what each method made of the same pairs."""
    _check_png(out)
    if not folders and not own:
        raise ConfigError("figures methods: nothing to show; name a folder of images, or leave out --no-own")
    from mcld.config import load_params
    from mcld.data.index import read_index
    from mcld.stages.figure_columns import choose_pairs, picture_columns, workspace_column
    from mcld.stages.methods_figure import PairPictures, methods_figure
    from mcld.workspace import Workspace

    params, workspace = load_params(), Workspace()
    index = read_index(workspace.stage_dir("dataset"))
    columns = picture_columns(folders or [], height_px=params.generate.height_px)
    if own:
        columns = (*columns, workspace_column(workspace, name="ours"))
    chosen = choose_pairs(columns, index=index, wanted=pairs or [], count=count)
    pictures = PairPictures.open(params, index=index, workspace=workspace)
    _write(methods_figure(pictures, columns=columns, pairs=chosen), out=out, pairs=chosen)


@figures_app.command("ablation")
def ablation(
    out: Out,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]FOLDER…",
            help="Workspaces, or folders of images; without any those of `python -m flows.ablations`.",
        ),
    ] = None,
    pairs: Pairs = None,
    count: Count = 6,
    seed: Annotated[int, typer.Option(min=0, help="Without folders: of which seed's models.")] = 0,
) -> None:
    """Figure 4: source and target pose, what each model made of the same pairs, and the target."""
    _check_png(out)
    from mcld.config import load_params
    from mcld.data.index import read_index
    from mcld.stages.figure_columns import choose_pairs, picture_columns
    from mcld.stages.methods_figure import PairPictures, ablation_figure
    from mcld.workspace import Workspace

    params, workspace = load_params(), Workspace()
    index = read_index(workspace.stage_dir("dataset"))
    named = runs or _ablation_runs(workspace.state_dir / "ablations", seed=seed)
    columns = picture_columns(named, height_px=params.generate.height_px)
    chosen = choose_pairs(columns, index=index, wanted=pairs or [], count=count)
    pictures = PairPictures.open(params, index=index, workspace=workspace)
    _write(ablation_figure(pictures, columns=columns, pairs=chosen), out=out, pairs=chosen)


@figures_app.command("attention")
def attention(
    out: Out,
    pairs: Pairs = None,
    count: Count = 4,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Of this step of sampling, from 0; without it the mean over all steps."),
    ] = None,
) -> None:
    """Where whole image, texture and face speak: their strength over what the trained model generates."""
    _check_png(out)
    from mcld.config import load_params
    from mcld.data.index import read_index
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.stages.attention_figure import attention_figure, pairs_to_render, steps_of
    from mcld.stages.methods_figure import PairPictures
    from mcld.workspace import Workspace

    params, workspace = load_params(), Workspace()
    steps = steps_of(params.generate, step=step)
    index = read_index(workspace.stage_dir("dataset"))
    chosen = pairs_to_render(workspace, index=index, wanted=pairs or [], count=count)
    pictures = PairPictures.open(params, index=index, workspace=workspace)
    figure = attention_figure(params, pictures=pictures, pairs=chosen, steps=steps, workspace=workspace)
    _write(figure, out=out, pairs=chosen)


def _ablation_runs(folder: Path, *, seed: int) -> list[str]:
    """The workspaces of the flow `ablations`, in the paper's order; ConfigError when one is missing."""
    from mcld.stages.run_tags import ABLATIONS

    places = {variant: folder / f"{variant}-seed-{seed}" for variant in ABLATIONS}
    missing = [variant for variant, place in places.items() if not place.is_dir()]
    if missing:
        raise ConfigError(
            f"{folder}: no models {', '.join(missing)} of seed {seed}; run `python -m flows.ablations --seed "
            f"{seed}` first, or name workspaces"
        )
    return [f"{variant}={place}" for variant, place in places.items()]


def _check_png(out: Path) -> None:
    """Before any work. Raises ConfigError."""
    if out.suffix.lower() != ".png" or out.is_dir():
        raise ConfigError(f"{out}: figures are PNGs; name a file that ends with .png")


def _write(figure: np.ndarray, *, out: Path, pairs: Sequence[PairKey]) -> None:
    """The figure, and in words which pairs its rows show."""
    from mcld.data.codec import encode_png
    from mcld.storage import write_bytes

    write_bytes(out, data=encode_png(figure))
    for source, target in pairs:
        print(f"{source}:{target}")
    print(f"{out}: {figure.shape[1]} x {figure.shape[0]} pixels")
