"""Run a stage and keep what it said, for the summary."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.errors import DataError
from mcld.stages import STAGES, run_stage
from mcld.storage import read_json, write_json
from mcld.types import Report

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.stages.mapper import Mapper
    from mcld.workspace import Workspace

REPORT_PAGE = "index.html"


def run_and_keep_report(name: str, params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Run one stage and store its report in the workspace's state folder. Raises what the stage raises."""
    report = run_stage(name, params, workspace=workspace, mapper=mapper)
    value = asdict(report) | {"output": str(report.output)}
    write_json(report_path(name, workspace=workspace), value=value)
    return report


def report_path(name: str, *, workspace: Workspace) -> Path:
    """Where a stage's last report is kept."""
    return workspace.state_dir / "reports" / f"{name}.json"


def read_report(name: str, *, workspace: Workspace) -> Report | None:
    """A stage's last report on this machine; None when it never ran here. Raises DataError when damaged."""
    path = report_path(name, workspace=workspace)
    if not path.is_file():
        return None
    value = read_json(path)
    try:
        assert isinstance(value, dict)
        return Report(**value | {"output": Path(value["output"])})
    except (AssertionError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a stage's report; delete it, the stage's next run writes it anew"
        ) from error


def describe(report: Report) -> str:
    """One line: counts, time, rate and where the output is."""
    counts = [f"{report.num_items} items"]
    if report.num_excluded:
        counts.append(f"{report.num_excluded} excluded")
    if report.num_reused:
        counts.append(f"{report.num_reused} reused")
    # Counts by reason (`pairs_lost: densepose: …`) are for the manifest and the report page.
    totals = {key: value for key, value in report.details.items() if ":" not in key}
    counts += [f"{key.replace('_', ' ')} {value}" for key, value in totals.items()]
    return f"{report.stage:<10}{report.seconds:8.1f} s  {report.output}  {', '.join(counts)}"


def summary(*, workspace: Workspace) -> str:
    """One line a stage, then where the report page is."""
    lines = []
    total_s = 0.0
    for spec in STAGES:
        report = read_report(spec.name, workspace=workspace)
        lines.append(describe(report) if report else _describe_unknown(spec.name, workspace=workspace))
        total_s += report.seconds if report else 0.0
    lines.append(f"{'all':<10}{total_s:8.1f} s")
    page = workspace.stage_dir("report") / REPORT_PAGE
    lines.append(f"report: {page}" if page.is_file() else "report: not made yet; run `make demo`")
    return "\n".join(lines)


def markdown_summary(*, workspace: Workspace) -> str:
    """The same as a Markdown table, for Prefect's page."""
    rows = ["| stage | items | excluded | reused | seconds | output |", "|---|---:|---:|---:|---:|---|"]
    for spec in STAGES:
        report = read_report(spec.name, workspace=workspace)
        if report:
            counts = (
                f"{report.num_items} | {report.num_excluded} | {report.num_reused} | {report.seconds:.1f}"
            )
            rows.append(f"| {spec.name} | {counts} | `{report.output}` |")
        else:
            rows.append(f"| {spec.name} | | | | | not run on this machine |")
    return "\n".join(rows)


def _describe_unknown(name: str, *, workspace: Workspace) -> str:
    exists = workspace.stage_dir(name).is_dir()
    return f"{name:<10}{'–':>8}    {'made on another machine' if exists else 'not run yet'}"
