"""One stage as a flow of its own: the deployments `stage/NAME` of prefect.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows.attempts import check_attempts
from flows.checkout import check_checkout
from flows.deliver import push as push_outputs
from flows.run_stage import run_stages
from mcld.workspace import Workspace

StageName = Literal[
    "dataset",
    "weights",
    "densepose",
    "face",
    "texture",
    "latents",
    "shards",
    "train",
    "generate",
    "evaluate",
    "probe",
    "report",
]  # spelt out: Prefect's form offers them; a test holds them against mcld.stages


Hours = Annotated[float, Field(gt=0)]


@flow(name="stage", flow_run_name="{name}")
def stage(
    name: StageName,
    push: bool = False,
    require_clean: bool = False,
    stage_timeout_h: Hours | None = None,
) -> bool:
    """Bring one stage up to date, or skip it when DVC calls it fresh; returns whether it had to run.

    Args:
        name: The stage. Those that it reads must be there: `pipeline` makes all in order.
        push: Whether to push what DVC tracks to its default remote afterwards.
        require_clean: Whether to refuse when tracked files differ from the commit; else that is recorded.
        stage_timeout_h: Hours after which the stage is stopped; what it has finished is kept.
    """
    check_attempts()
    workspace = Workspace()
    check_checkout(workspace, require_clean=require_clean)
    ran = run_stages([name], timeout_h=stage_timeout_h)
    if push:
        push_outputs(workspace=workspace)
    return bool(ran)
