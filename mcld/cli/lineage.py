"""`mcld lineage`: what a model was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcld.stages.lineage import Link


def describe_lineage(run: str | None, *, root: Path) -> str:
    """The chain of a run of MLflow, by name or id or the folder of its model, or of the workspace's model.

    Raises ConfigError for an unknown run, DataError where there is no model, TrackingError where MLflow does
    not answer.
    """
    from mcld.cli.compare import reader_of
    from mcld.cli.run_records import artifact_json, find_run
    from mcld.stages.lineage import lineage
    from mcld.stages.made_from import MADE_FROM
    from mcld.workspace import Workspace

    reader = reader_of(root)
    record = find_run(run, root=root, reader=reader)
    made_from = {} if record is None else artifact_json(record, MADE_FROM, reader=reader)
    links = lineage(record, workspace=Workspace(root=root), made_from=made_from)
    width = max(len(name) for link in links for name, _ in link.facts)
    return "\n".join(_described(link, width=width) for link in links)


def _described(link: Link, *, width: int) -> str:
    return "\n".join([link.title, *(f"  {name:<{width}}  {value}" for name, value in link.facts)])
