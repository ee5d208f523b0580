"""The whole pipeline as one Prefect flow: `python -m flows.pipeline`, or the deployment of prefect.yaml.

Without PREFECT_API_URL, Prefect starts a temporary server of its own for the run.
"""

from __future__ import annotations

import sys

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.attempts import check_attempts
from flows.checkout import check_checkout
from flows.deliver import check_tag, tag_commit
from flows.deliver import push as push_outputs
from flows.run_stage import run_stages
from flows.stage import Hours, StageName
from mcld.cli.reports import markdown_summary, summary
from mcld.errors import MCLDError
from mcld.stages import STAGES
from mcld.workspace import Workspace

EXIT_USER_ERROR = 2


@flow(name="mcld")
def pipeline(
    until: StageName = "report",
    push: bool = False,
    tag: str | None = None,
    require_clean: bool = False,
    stage_timeout_h: Hours | None = None,
) -> list[str]:
    """Bring every stage up to date, in order; returns the names of those that had to run.

    One at a time: a stage already uses all cores, and the workspace admits one run.

    Args:
        until: The last stage to bring up to date.
        push: Whether to push what DVC tracks to its default remote afterwards.
        tag: A name for the commit that is checked out, once everything has run and is as committed.
        require_clean: Whether to refuse when tracked files differ from the commit; else that is recorded.
        stage_timeout_h: Hours after which a stage is stopped; what it has finished is kept.
    """
    check_attempts()
    workspace = Workspace()
    check_checkout(workspace, require_clean=require_clean)
    if tag:
        check_tag(tag, workspace=workspace)
    names = [spec.name for spec in STAGES]
    ran = run_stages(names[: names.index(until) + 1], timeout_h=stage_timeout_h)
    create_markdown_artifact(
        key="summary",
        markdown=markdown_summary(workspace=workspace),
        description="What each stage made, and how long it took",
    )
    if push:
        push_outputs(workspace=workspace)
    if tag:
        tag_commit(tag, workspace=workspace)
    return ran


def main() -> None:
    """Run the flow here and print the summary."""
    try:
        pipeline()
    except MCLDError as error:
        sys.stderr.write(f"mcld: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    sys.stdout.write(f"{summary(workspace=Workspace())}\n")


if __name__ == "__main__":
    main()
