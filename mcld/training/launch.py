"""Start training on several processes, here and on other machines, and say how it ended."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from mcld.config import RuntimeParams, num_workers
from mcld.errors import TrainingStoppedError, WorkerError
from mcld.storage import read_json, write_json
from mcld.training.outcome import EXIT_USER_ERROR, JobFiles
from mcld.training.placement import Placement

STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.1
logger = logging.getLogger(__name__)


def launch(arguments: Sequence[str], *, placement: Placement, runtime: RuntimeParams, job_dir: Path) -> None:
    """Run `python ARGUMENTS…` as every rank of this machine, by torchrun's agent, and wait.

    Lost ranks (killed, crashed) are started again up to `runtime.max_restarts` times. SIGTERM and SIGINT are
    passed on to the ranks. Raises WorkerError when a rank was lost for good, TrainingStoppedError when the
    ranks stopped since they were asked to, and any other MCLDError that a rank ended with.
    """
    for attempt in range(runtime.max_restarts + 1):
        files = _prepare(job_dir, arguments=arguments, placement=placement)
        try:
            _run_agent(files, runtime=runtime, placement=placement)
            return
        except WorkerError as error:
            if attempt == runtime.max_restarts:
                raise
            logger.warning("%s; starting again, %d of %d", error, attempt + 1, runtime.max_restarts)


def _prepare(job_dir: Path, *, arguments: Sequence[str], placement: Placement) -> JobFiles:
    files = JobFiles(directory=job_dir)
    _end_leftovers(files)
    shutil.rmtree(job_dir, ignore_errors=True)
    write_json(files.job, value={"arguments": list(arguments), "placement": dataclasses.asdict(placement)})
    return files


def _end_leftovers(files: JobFiles) -> None:
    """A killed command's ranks notice within a moment that they are alone; here nobody waits for it."""
    for process_id in files.process_ids():
        command = Path(f"/proc/{process_id}/cmdline")  # the number may belong to another program by now
        with suppress(FileNotFoundError, ProcessLookupError):
            if str(files.directory).encode() in command.read_bytes():
                _signal(process_id, number=signal.SIGKILL)


def _run_agent(files: JobFiles, *, runtime: RuntimeParams, placement: Placement) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-m", "mcld.training.agent", str(files.directory)],
        env=_environment(runtime, placement=placement),
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the command alone, which passes it on once
    )
    try:
        with signals_received() as received:
            _wait(agent, files=files, received=received)
    finally:
        agent.kill()  # ranks notice, and end
        agent.wait()
    _raise_outcome(files, exit_code=agent.returncode, was_stopped=bool(received))


def _environment(runtime: RuntimeParams, *, placement: Placement) -> dict[str, str]:
    threads = max(1, num_workers(runtime) // placement.num_processes)
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # ranks' own store: the agent's is torn down too early
    }


@contextmanager
def signals_received() -> Iterator[list[int]]:
    """Within it SIGTERM and SIGINT are kept in the list that it yields.

    Python lets only the main thread listen to signals; elsewhere whoever started us has to.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def keep(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, keep) for number in STOPPING_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(agent: subprocess.Popen[bytes], *, files: JobFiles, received: Sequence[int]) -> None:
    """Wait for the agent, and pass every signal on to every rank once, as soon as that can be signalled."""
    passed: dict[int, int] = {}  # how many of the signals, by process
    while agent.poll() is None:
        for process_id in files.process_ids() if received else ():
            for number in received[passed.get(process_id, 0) :]:
                _signal(process_id, number=number)
            passed[process_id] = len(received)
        with suppress(subprocess.TimeoutExpired):
            agent.wait(POLL_S)


def _signal(process_id: int, *, number: int) -> None:
    try:
        os.kill(process_id, number)
    except ProcessLookupError:
        logger.debug("process %d has ended already", process_id)


def _raise_outcome(files: JobFiles, *, exit_code: int, was_stopped: bool) -> None:
    # A rank that lost another one knows less than the agent about why, unless the agent saw sentences alone.
    outcomes = files.outcomes()
    causes = [error for error in outcomes if not isinstance(error, WorkerError)]
    if not causes and _ended_with_sentences(files):
        causes = outcomes
    if causes:
        raise causes[0]
    if exit_code == 0:
        return
    if was_stopped:
        raise TrainingStoppedError(
            "train: stopped before training had begun, or by a second signal; repeat the command to go on "
            "from the last checkpoint"
        )
    raise WorkerError(
        f"train: {_cause(files, exit_code=exit_code)}; the others were ended, checkpoints are kept: "
        "repeat the command to go on from the last one"
    )


def _ended_with_sentences(files: JobFiles) -> bool:
    """Whether no rank was killed or crashed: the first one that ended could tell why."""
    if not files.lost.is_file():
        return False
    lost = read_json(files.lost)
    return isinstance(lost, dict) and lost["exit_code"] == EXIT_USER_ERROR


def _cause(files: JobFiles, *, exit_code: int) -> str:
    if not files.lost.is_file():
        return f"the agent that starts the processes ended with exit code {exit_code}"
    lost = read_json(files.lost)
    assert isinstance(lost, dict)
    if lost["signal"] is None:
        return f"process {lost['rank']} ended with exit code {lost['exit_code']} (its error is above)"
    hint = " (out of memory?)" if lost["signal"] == "SIGKILL" else ""
    return f"process {lost['rank']} was ended by {lost['signal']}{hint}"
