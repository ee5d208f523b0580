"""All rows that were scored in a workspace: those of the stage `evaluate`, then those of folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from mcld.config import DatasetParams
from mcld.data.manifest import MANIFEST_NAME
from mcld.errors import DataError
from mcld.evaluation.published import DATA_SET
from mcld.evaluation.score_table import Cell, ScoredRow
from mcld.stages.evaluate import ROWS_NAME, STAGE
from mcld.stages.folder_scores import folders_dir
from mcld.storage import read_json
from mcld.workspace import Workspace

_DATA_SETS = {"deepfashion": DATA_SET, "mannequins": "embedded people"}


def scored_rows(dataset: DatasetParams, *, workspace: Workspace) -> tuple[ScoredRow, ...]:
    """The rows of every evaluation that has finished here; none where nothing has.

    Raises DataError naming a file that is damaged.
    """
    data_set = _DATA_SETS[dataset.source]
    rows = _read(workspace.stage_dir(STAGE), kind="own", data_set=data_set)
    folders = folders_dir(workspace)
    for path in sorted(folders.iterdir()) if folders.is_dir() else []:
        rows += _read(path, kind="folder", data_set=data_set)
    return rows


def _read(directory: Path, *, kind: Literal["own", "folder"], data_set: str) -> tuple[ScoredRow, ...]:
    if not (directory / MANIFEST_NAME).is_file():
        return ()
    path = directory / ROWS_NAME
    value = read_json(path)
    try:
        assert isinstance(value, dict)
        sets = value.get("sets", {})
        return tuple(
            ScoredRow(
                name=name,
                kind=kind,
                data_set=data_set,
                num_pairs=value["num_pairs"],
                height_px=value["height_px"],
                width_px=value["width_px"],
                values=_cells(by_metric, key="mean") | _cells(sets.get(name, {}), key="value"),
                labels=tuple(value.get("labels", ())),
            )
            for name, by_metric in value["rows"].items()
        )
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the rows of an evaluation ({error!r}); delete {directory} and score it again"
        ) from error


def _cells(by_metric: Mapping[str, Mapping[str, float | None]], *, key: str) -> dict[str, Cell]:
    return {name: Cell.of(found, key=key) for name, found in by_metric.items()}
