"""How often one run may be begun: a run that always crashes must come to an end."""

from __future__ import annotations

from prefect.runtime import flow_run

from mcld.errors import WorkerError

MAX_STARTS = 5


def check_attempts() -> None:
    """Raises WorkerError, so that the run fails instead of crashing, when it was begun too often."""
    count: int = flow_run.run_count
    if count > MAX_STARTS:
        raise WorkerError(
            f"this run has been begun {count} times and crashed each time; look at its log and the machine's "
            "memory, then run the deployment anew: finished parts and checkpoints are kept"
        )
