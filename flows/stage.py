"""One stage as a flow of its own: the deployments `stage/NAME` of prefect.yaml."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from flows.deliver import push as push_outputs
from flows.run_stage import run_stage
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


@flow(name="stage", flow_run_name="{name}")
def stage(name: StageName, push: bool = False) -> bool:
    """Bring one stage up to date, or skip it when DVC calls it fresh; returns whether it had to run.

    Args:
        name: The stage. Those that it reads must be there: `pipeline` makes all in order.
        push: Whether to push what DVC tracks to its default remote afterwards.
    """
    ran = run_stage(name)
    if push:
        push_outputs(workspace=Workspace())
    return ran
