"""`mcld dataset …`: what the data set holds, in words and in a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mcld.evaluation.datasheet import DataCounts
    from mcld.evaluation.report import Table
    from mcld.types import Exclusion
    from mcld.workspace import Workspace

PICTURE_NAME = "dataset.png"
CONDITION_STAGES = ("densepose", "face", "texture", "latents")

dataset_app = typer.Typer(help="Look at the data set.", no_args_is_help=True)


@dataset_app.callback()
def dataset() -> None:
    """Look at the data set."""


@dataset_app.command("describe")
def describe_dataset(
    out: Annotated[Path, typer.Option(help="The picture that is written, a PNG.")] = Path(PICTURE_NAME),
) -> None:
    """Print the data-set sheet, from the index that the dataset stage made, and draw it."""
    from mcld.workspace import Workspace

    for block in describe(out, workspace=Workspace()):
        print(block, end="\n\n")
    print(f"picture: {out.resolve()}")


def describe(out: Path, *, workspace: Workspace) -> list[str]:
    """The sheet's blocks of text, after drawing it to `out`. What later stages left out counts as well.

    Raises DataError when the dataset stage has not finished.
    """
    from mcld.data.index import read_index
    from mcld.data.manifest import read_manifest
    from mcld.evaluation.datasheet import count_data, data_sheet, exclusion_table, origin_rows, size_table
    from mcld.evaluation.datasheet_picture import draw_data_sheet

    directory = workspace.stage_dir("dataset")
    index, origin = read_index(directory), origin_rows(read_manifest(directory))
    index = replace(index, exclusions=(*index.exclusions, *later_exclusions(workspace)))
    counts = count_data(index)
    title = summary(counts)
    draw_data_sheet(out, counts=counts, title=title, subtitle=" · ".join(f"{k} {v}" for k, v in origin))
    tables = [*data_sheet(index), size_table(counts), exclusion_table(index.exclusions)]
    head = "\n".join([title, *(f"  {name:<12}{value}" for name, value in origin)])
    return [head, *(as_text(table) for table in tables)]


def later_exclusions(workspace: Workspace) -> tuple[Exclusion, ...]:
    """What the condition stages left out, those that have finished."""
    from mcld.data.manifest import MANIFEST_NAME, read_manifest

    directories = [workspace.stage_dir(stage) for stage in CONDITION_STAGES]
    finished = [read_manifest(path) for path in directories if (path / MANIFEST_NAME).is_file()]
    return tuple(exclusion for manifest in finished for exclusion in manifest.exclusions)


def summary(counts: DataCounts) -> str:
    """The whole in one line."""
    return (
        f"{counts.num_outfits:,} outfits, {counts.num_images:,} images ({_size(counts.num_bytes)}), "
        f"{counts.num_pairs:,} pairs, {counts.reasons.total():,} left out"
    )


def _size(num_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.2f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"


def as_text(table: Table) -> str:
    """A table in columns: numbers to the right, words to the left."""
    if not table.rows:
        return f"{table.title}\n  none"
    lines = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    are_numbers = [all(row[column].isdecimal() for row in table.rows) for column in range(len(table.header))]

    def aligned(line: tuple[str, ...]) -> str:
        cells = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, are_numbers, strict=True)
        ]
        return ("  " + "  ".join(cells)).rstrip()

    return "\n".join([table.title, *(aligned(line) for line in lines)])
