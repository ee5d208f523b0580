"""Prefect's page and MLflow's lead to each other: the flow run is a tag there, the run an artifact here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prefect import get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from mcld.cli.compare import reader_of
from mcld.errors import TrackingError
from mcld.stages.remember import identity_of_model
from mcld.tracking import FLOW_RUN_PAGE_VARIABLE, FLOW_RUN_VARIABLE, shown

if TYPE_CHECKING:
    from mcld.workspace import Workspace

KEY = "mlflow-run"


def tell_flow_run() -> None:
    """Have MLflow remember the flow run and its page, whichever process trains."""
    if flow_run_id := flow_run.get_id():
        os.environ[FLOW_RUN_VARIABLE] = flow_run_id
        if page := url_for("flow-run", obj_id=flow_run_id):  # None of a temporary server, which has no page
            os.environ[FLOW_RUN_PAGE_VARIABLE] = page


def publish_run_link(workspace: Workspace) -> None:
    """Show where MLflow keeps the run of this workspace's model; a warning if it does not answer."""
    try:
        reader = reader_of(workspace.root)
        run = reader.by_identity(identity_of_model(workspace))
    except TrackingError as error:
        get_run_logger().warning("no link to the run: %s", error)
        return
    if run is None:
        get_run_logger().warning("MLflow has not been sent this model's run yet: `mcld tracking status`")
        return
    page = f"#/experiments/{run.experiment_id}/runs/{run.run_id}"
    said = f"run {run.name} ({run.run_id}), experiment {run.experiment}"
    if reader.tracking_uri.startswith(("http://", "https://")):
        create_link_artifact(
            key=KEY, link=f"{shown(reader.tracking_uri)}/{page}", link_text=run.name, description=said
        )
    else:
        create_markdown_artifact(
            key=KEY,
            markdown=f"{said}, in {shown(reader.tracking_uri)}: `make ui` in the workspace shows it, under "
            f"[{page}](http://127.0.0.1:5000/{page}).",
            description="The model's run in MLflow",
        )
