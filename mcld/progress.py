"""Show that long work moves: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LINE_EVERY_S = 10.0
# What is done, how many, of how many, how many a second: who listens to this logger finds them in a record.
LINE = "%s: %d of %d, %.1f a second"

logger = logging.getLogger(__name__)


def track(items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
    """Yield `items` unchanged while showing how many of `total` are done."""
    if sys.stderr.isatty():
        yield from _track_with_bar(items, description=description, total=total)
    else:
        yield from _track_with_lines(items, description=description, total=total)


def log_to_stderr() -> None:
    """What commands say while they work: ours from INFO on, others' from WARNING on; stdout is for results.

    Call it before heavy imports, which look at it.
    """
    silence_libraries()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("mcld").setLevel(logging.INFO)


def silence_libraries() -> None:
    """Turn off progress bars of transformers and diffusers and migration notes of MLflow: ours say enough.

    Call it before either is imported, which is when they look. What a user has set stays as it is.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")  # loading and saving have bars that nothing else turns off
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # and with it that of alembic


def _track_with_bar(items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=description, total=total, console=Console(stderr=True), transient=True
    )


def _track_with_lines(items: Iterable[T], *, description: str, total: int) -> Iterator[T]:
    started = last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last_line >= LINE_EVERY_S:
            last_line = now
            logger.info(LINE, description, done, total, done / (now - started))
