"""End a process when the one that started it is gone, however that ended."""

from __future__ import annotations

import os
import signal
import threading
import time

POLL_S = 0.5


def end_with_parent() -> None:
    """From now on this process kills itself once its parent, as of this call, is no longer that."""
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="lifeline").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)
