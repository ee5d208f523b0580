"""`mcld lineage`: what a model was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcld.stages.lineage import Link
    from mcld.tracking import RunRecord


def describe_lineage(run: str | None, *, root: Path) -> str:
    """The chain of a run of MLflow, by name or id, or of the workspace's model.

    Raises ConfigError for an unknown run, DataError where there is no model, TrackingError where MLflow does
    not answer.
    """
    from mcld.cli.compare import reader_of
    from mcld.data.manifest import MANIFEST_NAME
    from mcld.stages.lineage import MODEL_STAGE, lineage
    from mcld.stages.remember import identity_of_model
    from mcld.workspace import Workspace

    workspace = Workspace(root=root)
    record: RunRecord | None = None
    if run is not None:
        record = reader_of(root).find(run)
    elif (workspace.stage_dir(MODEL_STAGE) / MANIFEST_NAME).is_file():
        record = reader_of(root).by_identity(identity_of_model(workspace))
    links = lineage(record, workspace=workspace)
    width = max(len(name) for link in links for name, _ in link.facts)
    return "\n".join(_described(link, width=width) for link in links)


def _described(link: Link, *, width: int) -> str:
    return "\n".join([link.title, *(f"  {name:<{width}}  {value}" for name, value in link.facts)])
