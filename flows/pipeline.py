"""The whole pipeline as one Prefect flow: `python -m flows.pipeline`, or the deployment of prefect.yaml.

Without PREFECT_API_URL, Prefect starts a temporary server of its own for the run.
"""

from __future__ import annotations

import sys

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.deliver import check_tag, tag_commit
from flows.deliver import push as push_outputs
from flows.run_stage import run_stage
from flows.stage import StageName
from mcld.cli.reports import markdown_summary, summary
from mcld.errors import MCLDError
from mcld.stages import STAGES
from mcld.workspace import Workspace

EXIT_USER_ERROR = 2


@flow(name="mcld")
def pipeline(until: StageName = "report", push: bool = False, tag: str | None = None) -> list[str]:
    """Bring every stage up to date, in order; returns the names of those that had to run.

    One at a time: a stage already uses all cores, and the workspace admits one run.

    Args:
        until: The last stage to bring up to date.
        push: Whether to push what DVC tracks to its default remote afterwards.
        tag: A name for the commit that is checked out, once everything has run and is as committed.
    """
    workspace = Workspace()
    if tag:
        check_tag(tag, workspace=workspace)
    names = [spec.name for spec in STAGES]
    ran = [name for name in names[: names.index(until) + 1] if run_stage(name)]
    create_markdown_artifact(key="summary", markdown=markdown_summary(workspace=workspace))
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
