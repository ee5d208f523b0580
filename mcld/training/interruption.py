"""Being asked to stop (SIGTERM of a scheduler, SIGINT of a keyboard), without losing the step under way.

    with stop_requests() as requests:
        ...
        if requests.asked: save and leave

A signal handler may run between any two instructions, so it does nothing but remember. Where no signal can
reach a process, as on other machines, the variable MCLD_STOP_FILE names a file that asks by being there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

STOP_FILE = "MCLD_STOP_FILE"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequests:
    """The signal that asked this process to stop, if one did."""

    def __init__(self, file: Path | None = None) -> None:
        self._received: signal.Signals | None = None
        self._file = file

    @property
    def received(self) -> signal.Signals | None:
        """What was received, here or by whoever wrote the file."""
        if self._received is None and self._file is not None and self._file.is_file():
            self._received = signal.Signals(int(self._file.read_text()))
        return self._received

    def remember(self, number: int) -> None:
        """Take note of a signal."""
        self._received = signal.Signals(number)

    @property
    def counts(self) -> list[float]:
        """By signal of STOP_SIGNALS 1 where it came: to be added up over processes."""
        return [float(self.received == one) for one in STOP_SIGNALS]


def asked_by(counts: list[float]) -> signal.Signals | None:
    """The signal that any process received, of counts added up."""
    return next((one for one, count in zip(STOP_SIGNALS, counts, strict=True) if count > 0), None)


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Within it, the first SIGTERM or SIGINT is remembered; a second one does what it did before.

    Signals reach the main thread alone; in another thread nothing is installed, and only the file can ask.
    """
    named = os.environ.get(STOP_FILE)
    requests = StopRequests(Path(named) if named else None)
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {one: signal.getsignal(one) for one in STOP_SIGNALS}

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler if handler is not None else signal.SIG_DFL)

    def remember(number: int, _frame: FrameType | None) -> None:
        requests.remember(number)
        restore()

    try:
        for one in STOP_SIGNALS:
            signal.signal(one, remember)
        yield requests
    finally:
        restore()
