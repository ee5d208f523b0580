"""Show on Prefect's page how far a stage is: one bar, moved by the lines that long work logs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

from mcld import progress

if TYPE_CHECKING:
    from uuid import UUID


@contextmanager
def progress_artifact(stage: str) -> Iterator[None]:
    """Within it, lines of progress move a bar named after the stage. Short work logs none, and has no bar."""
    bar = _Bar(stage)
    progress.logger.addHandler(bar)
    try:
        yield
        bar.finish()
    finally:
        progress.logger.removeHandler(bar)


class _Bar(logging.Handler):
    """Listens to lines of progress."""

    def __init__(self, stage: str) -> None:
        super().__init__(level=logging.INFO)
        self._stage = stage
        self._artifact: UUID | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar. A page that cannot be reached must not end the work: logging reports it on stderr."""
        if record.msg != progress.LINE or not isinstance(record.args, tuple):
            return
        _, done, total, _ = record.args
        assert isinstance(done, int)
        assert isinstance(total, int)
        try:
            self._show(100.0 * done / max(total, 1), said=record.getMessage())
        except (PrefectException, httpx.HTTPError):
            self.handleError(record)

    def finish(self) -> None:
        """Everything is done: that a page cannot be told of it must not undo it."""
        if self._artifact is None:
            return
        try:
            self._show(100.0, said=f"{self._stage}: done")
        except (PrefectException, httpx.HTTPError) as error:
            get_run_logger().warning("%s: its bar was left where it was: %s", self._stage, error)

    def _show(self, percent: float, *, said: str) -> None:
        if self._artifact is None:
            key = f"progress-{self._stage}"
            created = create_progress_artifact(progress=percent, key=key, description=said)
            assert not inspect.iscoroutine(created)  # we are no coroutine, so it has waited
            self._artifact = cast("UUID", created)
        else:
            update_progress_artifact(artifact_id=self._artifact, progress=percent, description=said)
