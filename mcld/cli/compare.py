"""`mcld compare`: runs of MLflow, or workspaces, side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.evaluation.comparison import ComparedRun, Comparison
    from mcld.tracking import RunReader

MIN_RUNS = 2


def write_comparison(wanted: Sequence[str], *, out: Path, root: Path, search: str | None = None) -> str:
    """Write the page of these runs and of those that `search` finds; returns what to say of it.

    `wanted` are folders, run ids or run names. Raises ConfigError where fewer than two are named or one is
    unknown, TrackingError where MLflow does not answer, DataError where something is damaged.
    """
    from mcld.evaluation.comparison import compare
    from mcld.evaluation.comparison_page import render_comparison
    from mcld.storage import write_bytes

    runs = [_run(name, root=root) for name in wanted]
    if search is not None:
        runs += _found(search, root=root, known={run.place for run in runs})
    if len(runs) < MIN_RUNS:
        raise ConfigError(f"{len(runs)} runs to compare; name at least two, the one to compare with first")
    comparison = compare(_with_own_names(runs))
    write_bytes(out, data=render_comparison(comparison).encode())
    return f"{describe(comparison)}\n{out}"


def describe(comparison: Comparison) -> str:
    """A line a run: where it is better or worse than the first, beyond chance."""
    first, *others = comparison.runs
    lines = [f"{len(comparison.params)} settings differ; compared with {first.name}:"]
    for number, run in enumerate(others, start=1):
        found = [(line.metric.name, line.differences[number]) for line in comparison.metrics]
        told = [
            f"{verdict} in {', '.join(names)}"
            for verdict in ("better", "worse")
            if (names := [name for name, one in found if one is not None and one.verdict == verdict])
        ]
        lines.append(f"  {run.name}: {'; '.join(told) or 'no difference shown'}")
    return "\n".join([*lines, *comparison.notes])


def reader_of(root: Path) -> RunReader:
    """A reader of the workspace's MLflow. Raises ConfigError without params.yaml."""
    from mcld.config import PARAMS_PATH, load_params
    from mcld.tracking import default_uri, open_reader

    runtime = load_params(root / PARAMS_PATH).runtime
    return open_reader(runtime.tracking_uri or default_uri(root), root=root)


def _run(name: str, *, root: Path) -> ComparedRun:
    from mcld.stages.compared_runs import run_of_folder, run_of_record

    if (root / name).is_dir():
        return run_of_folder(root / name)
    reader = reader_of(root)
    return run_of_record(reader.find(name), reader=reader)


def _found(search: str, *, root: Path, known: set[str]) -> list[ComparedRun]:
    from mcld.stages.compared_runs import run_of_record

    reader = reader_of(root)
    records = [record for record in reversed(reader.search(search)) if record.parent_id is None]
    runs = [run_of_record(record, reader=reader) for record in records]
    return [run for run in runs if run.place not in known]


def _with_own_names(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Number those that share a name, such as two folders called alike."""
    from dataclasses import replace

    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({names[: number + 1].count(run.name)})")
        if names.count(run.name) > 1
        else run
        for number, run in enumerate(runs)
    ]
