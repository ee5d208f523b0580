"""The whole pipeline as one Prefect flow: `python -m flows.pipeline`, or the deployment of prefect.yaml.

Without PREFECT_API_URL, Prefect starts a temporary server of its own for the run.
"""

from __future__ import annotations

import sys

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.run_stage import run_stage
from mcld.cli.reports import markdown_summary, summary
from mcld.errors import MCLDError
from mcld.stages import STAGES
from mcld.workspace import Workspace

EXIT_USER_ERROR = 2


@flow(name="mcld")
def pipeline() -> list[str]:
    """Bring every stage up to date, in order; returns the names of those that had to run.

    One at a time: a stage already uses all cores, and the workspace admits one run.
    """
    ran = [spec.name for spec in STAGES if run_stage(spec.name)]
    create_markdown_artifact(key="summary", markdown=markdown_summary(workspace=Workspace()))
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
