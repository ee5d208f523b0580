"""Locks between processes. The kernel drops them with their holder, so that a killed one blocks nobody."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class HeldError(Exception):
    """Another process holds the file; `holder` is its id, as far as it is known. For callers to translate."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the file, which is made, and say in it who does. Raises HeldError when another process does."""
    with locked(path, waits=False) as is_ours:
        if not is_ours:
            raise HeldError(path.read_text().strip() or "unknown")
        path.write_text(str(os.getpid()))
        yield


@contextmanager
def locked(path: Path, *, waits: bool) -> Iterator[bool]:
    """Hold the lock of `path`, which is made; yields whether it is held, always if it `waits`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
