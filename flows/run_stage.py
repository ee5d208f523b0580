"""One stage as a Prefect task: skipped when DVC calls it fresh, else run and recorded with DVC."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import httpx
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.exceptions import PrefectException

from flows.freshness import commit, inputs_fingerprint, what_changed
from flows.links import publish_run_link, tell_flow_run
from flows.progress import progress_artifact
from flows.publish import publish
from mcld.cli.reports import describe, run_and_keep_report
from mcld.config import PARAMS_PATH, load_params
from mcld.errors import WorkerError
from mcld.stages.mapper import mapper_of
from mcld.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

    from mcld.types import Report

RETRIES = 2
RETRY_DELAY_S = 5
GPU_LIMIT = "gpu"  # a global concurrency limit, as many as GPUs: `prefect gcl create gpu --limit 1`
TOLD_STAGES = ("train", "evaluate", "report")  # what they find is kept in MLflow
GPU_STAGES = ("densepose", "latents", "train", "generate", "evaluate", "probe")


def is_worth_repeating(_task: Task[Any, Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Only a lost worker is: what a user must repair fails again, and finished parts are kept either way."""
    return isinstance(state.result(raise_on_failure=False), WorkerError)


# NO_CACHE: DVC alone knows what is stale; Prefect would compare nothing but the stage's name.
@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=is_worth_repeating,
)
def run_stage(name: str) -> bool:
    """Bring one stage of the workspace in the working directory up to date; returns whether it had to run.

    Raises the MCLDErrors of the stage, and ConfigError when its inputs change while it runs.
    """
    workspace = Workspace()
    logger = get_run_logger()
    tell_flow_run()
    # Prefect passes on what our loggers say; on their own they say nothing below a warning.
    logging.getLogger("mcld").setLevel(logging.INFO)
    reasons = what_changed(name, workspace=workspace)
    if not reasons:
        logger.info("%s: fresh, skipped", name)
        return False
    logger.info("%s: %s", name, "; ".join(reasons))
    made_from = inputs_fingerprint(name, workspace=workspace)
    params = load_params(workspace.root / PARAMS_PATH)
    mapper = mapper_of(params.runtime, workspace=workspace)
    with _gpu(name), progress_artifact(name):
        report = run_and_keep_report(name, params, workspace=workspace, mapper=mapper)
    commit(name, workspace=workspace, made_from=made_from)
    logger.info("%s", describe(report))
    _publish(report, workspace=workspace)
    return True


def run_stages(names: Sequence[str], *, timeout_h: float | None) -> list[str]:
    """Bring stages up to date, one after another; returns the names of those that had to run.

    A stage that takes longer than `timeout_h` hours is stopped and fails; what it has finished is kept.
    """
    task_of_stage = run_stage.with_options(timeout_seconds=None if timeout_h is None else 3600 * timeout_h)
    return [name for name in names if task_of_stage(name)]


def _publish(report: Report, *, workspace: Workspace) -> None:
    """The stage is made and recorded: what cannot be shown is a warning."""
    try:
        publish(report, workspace=workspace)
        if report.stage in TOLD_STAGES:
            publish_run_link(workspace)
    except (PrefectException, httpx.HTTPError) as error:
        get_run_logger().warning("%s: not shown on Prefect's page: %s", report.stage, error)


def _gpu(name: str) -> AbstractContextManager[None]:
    """Wait for a GPU where the server limits them; where no limit was made, nobody waits."""
    return concurrency(GPU_LIMIT, occupy=1) if name in GPU_STAGES else nullcontext()
