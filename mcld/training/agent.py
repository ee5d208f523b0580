"""The process between a command and its ranks: torchrun's agent, told to leave stopping to us.

    python -m mcld.training.agent JOB_DIR

Signals that mean "stop" go to the ranks, which save a checkpoint; torchrun would kill them half a minute
later. When the command that started the agent is gone, so are agent and ranks: left alone, they would write
into a folder that the repeated command is working on.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.errors import DataError
from mcld.storage import read_json, write_json
from mcld.training.lifeline import end_with_parent
from mcld.training.outcome import EXIT_USER_ERROR, JobFiles
from mcld.training.placement import Placement

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

EXIT_LOST = 1
MONITOR_INTERVAL_S = 0.2
SHUTDOWN_TIMEOUT_S = 10  # of the ranks beside one that was lost: they wait for it in vain


def main(directory: Path) -> None:
    """Start the ranks of this machine, and wait for them."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    files = JobFiles(directory=directory)
    job = read_json(files.job)
    if not isinstance(job, dict):
        raise DataError(f"{files.job}: is not a job")
    arguments = [str(argument) for argument in job["arguments"]]
    sys.exit(_start(Placement(**job["placement"]), arguments=arguments, files=files))


def _start(placement: Placement, *, arguments: list[str], files: JobFiles) -> int:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    several = placement.num_nodes > 1
    config = LaunchConfig(
        min_nodes=placement.num_nodes,
        max_nodes=placement.num_nodes,
        nproc_per_node=placement.num_processes,
        run_id="mcld",
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=placement.rendezvous or "localhost:0",
        rdzv_configs={"rank": placement.node_rank} if several else {},
        local_addr=None if several else "localhost",
        max_restarts=0,  # the command starts lost ranks again: it knows whether that can help
        monitor_interval=MONITOR_INTERVAL_S,
        signals_to_handle="SIGQUIT",
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )
    try:
        elastic_launch(config=config, entrypoint=sys.executable)(*arguments)
    except ChildFailedError as error:
        _tell_lost(error, files=files)
        return EXIT_LOST
    return 0


def _tell_lost(error: ChildFailedError, *, files: JobFiles) -> None:
    rank, failure = min(error.failures.items(), key=lambda item: (_rank_of_cause(item[1]), item[1].timestamp))
    by_signal = signal.Signals(-failure.exitcode).name if failure.exitcode < 0 else None
    write_json(files.lost, value={"rank": rank, "exit_code": failure.exitcode, "signal": by_signal})


def _rank_of_cause(failure: ProcessFailure) -> int:
    """Causes before effects: ranks that wait in vain end with a sentence, or are ended by torchrun."""
    if failure.exitcode == -signal.SIGTERM:
        return 3
    if failure.exitcode < 0:
        return 0
    return 2 if failure.exitcode == EXIT_USER_ERROR else 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
