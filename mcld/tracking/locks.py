"""Locks between processes. The kernel drops them with their holder, so a killed one blocks nobody."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, waits: bool) -> Iterator[bool]:
    """Hold the lock of `path`, a file that stays empty; yields whether it is held, always if it `waits`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
