"""One stack a state folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.stack.settings import StackError
from mcld.storage import locks


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Hold the state folder, which is made; the lock dies with its process. Raises StackError if held."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"{state_dir}: cannot be made ({error.strerror}); give another folder by MCLD_STACK_DIR"
        ) from error
    try:
        with locks.held(state_dir / "lock"):
            yield
    except locks.HeldError as error:
        raise StackError(
            f"{state_dir}: process {error.holder} keeps a stack up here; use that one, or end it: "
            f"kill {error.holder}"
        ) from error
