"""Show on Prefect's page what a stage made: exclusions, the data sheet, metrics, a picture."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.storage import read_json

if TYPE_CHECKING:
    from mcld.types import Report
    from mcld.workspace import Workspace

MAX_LINES = 200  # of a table: a page, not an archive
ROWS_NAME = "rows.json"


def publish(report: Report, *, workspace: Workspace) -> None:
    """Make the artifacts of one stage that has just run. Keys are by stage: Prefect keeps their history."""
    _publish_exclusions(report.stage, workspace=workspace)
    own = _OWN.get(report.stage)
    if own is not None:
        own(workspace)


def _publish_exclusions(stage: str, *, workspace: Workspace) -> None:
    """A line an item that was left out, with its reason; nothing where nothing was."""
    if not (workspace.stage_dir(stage) / MANIFEST_NAME).is_file():
        return
    exclusions = read_manifest(workspace.stage_dir(stage)).exclusions
    if exclusions:
        create_table_artifact(
            key=f"exclusions-{stage}",
            table=[{"item": item.key, "reason": item.reason} for item in exclusions[:MAX_LINES]],
            description=f"{stage}: {len(exclusions)} items left out"
            + (f", of which {MAX_LINES} are shown" if len(exclusions) > MAX_LINES else ""),
        )


def _publish_data_sheet(workspace: Workspace) -> None:
    from mcld.data.index import read_index
    from mcld.evaluation.datasheet import data_sheet

    blocks = []
    for table in data_sheet(read_index(workspace.stage_dir("dataset"))):
        lines = [table.header, ["---"] * len(table.header), *table.rows]
        blocks.append(f"### {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    create_markdown_artifact(key="data-sheet", markdown="\n\n".join(blocks), description="The data set")


def _publish_samples(workspace: Workspace) -> None:
    """The newest grid of fixed pairs: source, pose, generated, target."""
    grids = sorted((workspace.stage_dir("train") / "samples").glob("*.png"))
    if grids:
        create_image_artifact(
            key="sample-grid", image_url=_data_uri(grids[-1]), description=f"After {grids[-1].stem}"
        )


def _publish_metrics(workspace: Workspace) -> None:
    from mcld.evaluation.told import summary_table

    rows = cast("dict[str, Any]", read_json(workspace.stage_dir("evaluate") / ROWS_NAME))
    table = summary_table(rows)
    lines = [dict(zip(table["columns"], line, strict=True)) for line in table["data"]]
    create_table_artifact(
        key="metrics",
        table=[line for line in lines if line["row"] == "generated"],
        description=f"{rows['num_pairs']} test pairs at {rows['height_px']} x {rows['width_px']} px; "
        "intervals are drawn over outfits",
    )


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


_OWN: dict[str, Callable[[Workspace], None]] = {
    "dataset": _publish_data_sheet,
    "train": _publish_samples,
    "evaluate": _publish_metrics,
}
