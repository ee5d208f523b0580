"""What the supervisor knows of a service, and one running process of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.stack.settings import StackError

POLL_S = 0.1
ENTRYPOINTS = Path(__file__).resolve().parents[1] / "entrypoints"
LOG_TAIL_LINES = 3


def nothing_to_prepare() -> None:
    """For services that need no more than to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One program. It starts when those it `needs`, by name, are ready.

    `prepare` is called whenever it has become ready, so it must bear repetition. `user` is whom it runs as
    where we are root. `stop_signal` is how it is told to end. With `has_work` the processes that it has
    started are asked to end before it is, by SIGTERM, and may save what they have. `leftovers` are files that
    it leaves outside of the state folder when it is killed.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    address: str  # what the table shows
    is_ready: Callable[[], bool]
    prepare: Callable[[], None] = nothing_to_prepare
    needs: Sequence[str] = ()
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    has_work: bool = False
    leftovers: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A process in a session of its own, with a log file; it is told to end when we die, however we die."""

    popen: subprocess.Popen[bytes]
    service: Service

    @classmethod
    def start(cls, service: Service, *, working_dir: Path, log_path: Path) -> RunningProcess:
        """Start it; its output is added to the log. Raises StackError when the program cannot be started."""
        with log_path.open("ab") as log:
            try:
                popen = subprocess.Popen(
                    guarded(service.command, user=service.user, stop_signal=service.stop_signal),
                    cwd=working_dir,
                    env=dict(service.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise StackError(f"{error.filename}: not found; install util-linux") from error
        return cls(popen=popen, service=service)

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.popen.poll()

    def work(self) -> list[psutil.Process]:
        """Processes that it has started, if they are to end before it."""
        if not self.service.has_work or self.popen.poll() is not None:
            return []
        return list(psutil.Process(self.popen.pid).children(recursive=True))

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        if self.popen.poll() is None:
            self.popen.send_signal(self.service.stop_signal)

    def stop(self, *, timeout_s: float) -> None:
        """Wait for its end after `ask_to_stop`, and kill its group, whole, if that takes too long."""
        deadline = time.monotonic() + timeout_s
        while self.popen.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self.kill()

    def kill(self) -> None:
        """End what is left of it: helpers outlive a process that was killed, and hold its port."""
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        for path in self.service.leftovers:
            path.unlink(missing_ok=True)


def entrypoint(name: str, *arguments: str) -> list[str]:
    """The command that a container runs as well."""
    return ["sh", str(ENTRYPOINTS / name), *arguments]


def guarded(command: Sequence[str], *, user: str | None, stop_signal: signal.Signals) -> list[str]:
    """The command, told to stop when its parent is gone, and run as another user if one is given."""
    # The kernel forgets whom to tell when the user changes, so setpriv (of util-linux) does both, in order.
    guard = ["setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG")]
    if user is not None:
        guard += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*guard, "--", *command]


def log_tail(log_path: Path) -> str:
    """The last lines that are not empty, as one line."""
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-LOG_TAIL_LINES:]) or "(empty)"
