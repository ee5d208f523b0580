"""One stack a state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.stack.settings import StackError


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Hold the state folder, which is made; the lock dies with its process. Raises StackError if held."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"{state_dir}: cannot be made ({error.strerror}); give another folder by MCLD_STACK_DIR"
        ) from error
    with (state_dir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StackError(
                f"{state_dir}: process {holder} keeps a stack up here; use that one, or end it: kill {holder}"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
