"""`mcld evaluate`: score a folder of generated images, and show all rows beside published ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.types import Report
    from mcld.workspace import Workspace


def evaluate_command(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Generated images, whoever made them, named after source and target: e.g. "
            "fashion…_1front_2_fashion…_3back.png."
        ),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Show all rows scored here beside those that papers print.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="The row's name; without it, that of the folder.")] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Score the test pairs that have an image, and have the row say so."),
    ] = False,
    resize: Annotated[
        bool,
        typer.Option("--resize", help="Bring images of another size to generate.height_px and width_px."),
    ] = False,
) -> None:
    """Score a folder of generated images against this workspace's test pairs; show the table of all rows.

    The images that the trained model makes are scored by `mcld run evaluate`.
    """
    if folder is None and not table:
        raise ConfigError(
            "evaluate: give a folder of generated images, or --table; the trained model's own images are "
            "scored by `mcld run evaluate`"
        )
    if folder is None and (name or partial or resize):
        raise ConfigError(
            "evaluate: --name, --partial and --resize need a folder; give one, or leave them out"
        )
    from mcld.config import load_params
    from mcld.workspace import Workspace

    params, workspace = load_params(), Workspace()
    if folder is not None:
        from mcld.progress import log_to_stderr
        from mcld.stages.folder_scores import FolderRequest, score_folder
        from mcld.stages.mapper import mapper_of

        log_to_stderr()
        request = FolderRequest(folder=folder, name=name, partial=partial, resizes=resize)
        report = score_folder(
            request, params, workspace=workspace, mapper=mapper_of(params.runtime, workspace=workspace)
        )
        print(describe_folder(report))
    if table:
        print(describe_table(params, workspace=workspace))


def describe_folder(report: Report) -> str:
    """A scored folder's row in words: its numbers, what is odd, what has no number, and where it lies."""
    from mcld.evaluation.score_table import Cell, cell_text
    from mcld.stages.evaluate import ROWS_NAME
    from mcld.storage import read_json

    path = report.output / ROWS_NAME
    row = cast("dict[str, Any]", read_json(path))
    (name,) = row["rows"]
    reused = ", parts reused" if report.num_reused else ""
    lines = [
        f"{name}: {report.num_items} test pairs scored, {report.num_excluded} left out, "
        f"{report.seconds:.1f} s{reused}"
    ]
    lines += [f"  warning: {label}" for label in row["labels"]]
    lines += [f"  left out: {count}, {reason}" for reason, count in row["excluded"].items()]
    found = {metric: Cell.of(cell) for metric, cell in row["rows"][name].items()}
    found |= {metric: Cell.of(cell, key="value") for metric, cell in row["sets"].get(name, {}).items()}
    lines += [f"  {metric:<22}{cell_text(cell)}" for metric, cell in found.items() if cell.value is not None]
    if row["absent"]:
        lines.append(f"  no number: {', '.join(sorted(row['absent']))}; reasons in {path}")
    lines.append("`mcld evaluate --table` shows it beside the others")
    return "\n".join(lines)


def describe_table(params: Params, *, workspace: Workspace) -> str:
    """All rows of the workspace beside published ones, and what must be said of them."""
    from mcld.cli.dataset import as_text
    from mcld.evaluation.score_table import score_tables
    from mcld.stages.scored_rows import scored_rows

    rows = scored_rows(params.dataset, workspace=workspace)
    found = score_tables(rows)
    blocks = [as_text(table) for table in found.tables]
    if not rows:
        blocks.insert(0, "Nothing has been scored here yet: `mcld run evaluate`, or `mcld evaluate FOLDER`.")
    return "\n\n".join([*blocks, "\n".join(found.notes)])
