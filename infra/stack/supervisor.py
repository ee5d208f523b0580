"""Bring services up in order, start again what dies, and leave nothing behind."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.stack.service import POLL_S, RunningProcess, Service, log_tail
from infra.stack.settings import StackError

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0
WORK_TIMEOUT_S = 60.0  # a training writes a checkpoint
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
MAX_DEATHS = 5
DEATHS_WITHIN_S = 300.0
PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True, kw_only=True)
class Supervised:
    """One service as it lives and dies."""

    service: Service
    working_dir: Path
    log_path: Path
    process: RunningProcess | None = field(default=None, init=False)
    is_ready: bool = field(default=False, init=False)
    has_been_ready: bool = field(default=False, init=False)
    _deadline: float = field(default=0.0, init=False)
    _next_start: float = field(default=0.0, init=False)
    _deaths: list[float] = field(default_factory=list, init=False)

    def tick(self) -> None:
        """Do what is due. Raises StackError when it never became ready, or dies again and again."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._next_start:
                self._start(now)
        elif (code := self.process.exit_code()) is not None:
            self._note_death(f"ended ({_ending(code)})", now=now)
        elif not self.is_ready:
            self._look_whether_ready(now)

    def _start(self, now: float) -> None:
        self.process = RunningProcess.start(
            self.service, working_dir=self.working_dir, log_path=self.log_path
        )
        self._deadline = now + START_TIMEOUT_S

    def _look_whether_ready(self, now: float) -> None:
        if self.service.is_ready():
            self.service.prepare()
            if self.has_been_ready:
                logger.warning("%s: is back", self.service.name)
            self.is_ready = self.has_been_ready = True
        elif now > self._deadline:
            self._note_death(f"was not ready after {START_TIMEOUT_S:.0f} s", now=now)

    def _note_death(self, what: str, *, now: float) -> None:
        """Clear up after it, and say when it is to start again."""
        assert self.process is not None
        self.process.kill()
        self.process, self.is_ready = None, False
        said = f"{self.service.name}: {what}; {self.log_path} ends with: {log_tail(self.log_path)}"
        if not self.has_been_ready:
            raise StackError(said)
        self._deaths = [death for death in self._deaths if now - death < DEATHS_WITHIN_S] + [now]
        if len(self._deaths) > MAX_DEATHS:
            raise StackError(f"{said}; {len(self._deaths)} times in {DEATHS_WITHIN_S:.0f} s, so I give up")
        delay_s = min(FIRST_DELAY_S * 2 ** (len(self._deaths) - 1), LONGEST_DELAY_S)
        self._next_start = now + delay_s
        logger.warning("%s: %s; starting it again in %.0f s", self.service.name, what, delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """All services of a stack, each after those it needs. `is_stopping` is asked wherever time passes."""

    members: Sequence[Supervised]
    is_stopping: Callable[[], bool]

    def start(self) -> None:
        """Return when all are ready, or it is time to stop. Raises StackError when one does not start."""
        adopt_orphans()
        self.watch(until=lambda: all(one.is_ready for one in self.members))

    def watch(self, *, until: Callable[[], bool]) -> None:
        """Keep services up until `until` holds or it is time to stop. Raises StackError if one stays down."""
        while not until() and not self.is_stopping():
            ready = {one.service.name for one in self.members if one.is_ready}
            for one in self.members:
                if one.has_been_ready or ready.issuperset(one.service.needs):
                    one.tick()
            time.sleep(POLL_S)

    def run(
        self,
        command: Sequence[str],
        *,
        working_dir: Path,
        environment: Mapping[str, str],
        log_path: Path | None = None,
    ) -> int:
        """Run a command beside the services and return its exit code; ends it when it is time to stop.

        With a log its failure is a StackError; without one it speaks to our terminal, and may fail.
        """
        if self.is_stopping():
            return 0
        with log_path.open("ab") if log_path is not None else nullcontext() as log:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=working_dir,
                    env=dict(environment),
                    stdin=None if log is None else subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            except OSError as error:
                raise StackError(f"{command[0]}: cannot be started ({error.strerror})") from error
        try:
            self.watch(until=lambda: process.poll() is not None)
        finally:
            end(process)
        if log_path is not None and process.returncode != 0 and not self.is_stopping():
            said = log_tail(log_path)
            raise StackError(
                f"{' '.join(command)}: {_ending(process.returncode)}; {log_path} ends with: {said}"
            )
        return process.returncode

    def stop(self) -> None:
        """End everything, nothing before those that need it; what does not end in time is killed."""
        left = [one for one in self.members if one.process is not None]
        while left:
            needed = {name for one in left for name in one.service.needs}
            free = [one for one in left if one.service.name not in needed]
            stop_all([one.process for one in free if one.process is not None])
            left = [one for one in left if one not in free]
        end_descendants()


def stop_all(processes: Sequence[RunningProcess]) -> None:
    """End processes side by side, their work first."""
    end_gently([worked for process in processes for worked in process.work()], timeout_s=WORK_TIMEOUT_S)
    for process in processes:
        process.ask_to_stop()
    for process in processes:
        process.stop(timeout_s=STOP_TIMEOUT_S)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, if it has not, and kill it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that `end_descendants` finds it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise StackError(f"orphans cannot be adopted ({os.strerror(ctypes.get_errno())}); Linux is needed")


def end_descendants() -> None:
    """Ask all that descends from us to end, and kill what does not."""
    end_gently(psutil.Process().children(recursive=True), timeout_s=STOP_TIMEOUT_S)


def end_gently(processes: Sequence[psutil.Process], *, timeout_s: float) -> None:
    """SIGTERM, and SIGKILL for those that have not ended after `timeout_s`."""
    for process in processes:
        _send(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(processes, timeout=timeout_s)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
