"""A piece of the model's work as the queue sees it: its state, how far it is, and how it came out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, NoReturn, TypeVar

from mcld.errors import MCLDError
from mcld.inference.engine import OnProgress
from mcld.service.shelf import new_id

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
State = Literal["queued", "running", "done", "failed", "cancelled"]
FAILED = "the picture could not be made by a fault of the service; its log says why"
CLOSING = "the service was ended before the picture was made"
OVER: frozenset[State] = frozenset({"done", "failed", "cancelled"})


class StopJob(Exception):  # noqa: N818  # no error: it ends a job between two steps
    """Raised within a job's `on_progress`; `state` and `reason` are how the job comes out."""

    def __init__(self, *, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state: State = state
        self.reason = reason


class QueueFullError(Exception):
    """As much waits as may. `retry_after_s` says when to ask again."""

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class ClosedError(Exception):
    """The service is about to end and takes nothing more."""


@dataclass(slots=True, kw_only=True)
class Job(Generic[Result]):
    """Changed by the queue alone, under its lock; `work` reports its steps to what it is given."""

    work: Callable[[OnProgress], Result]
    num_steps: int
    id: str = field(default_factory=new_id)
    state: State = "queued"
    step: int = 0  # steps done
    started_at: float | None = None  # by the queue's clock, in seconds
    ended_at: float | None = None
    error: str | None = None  # a sentence; of failed jobs
    result: Result | None = None  # of done jobs
    is_cancelled: bool = False  # asked for; a running job ends at its next step

    def end(self, state: State, *, at: float, error: str | None = None) -> None:
        """Record how it came out. What it worked with is let go."""
        self.state, self.ended_at, self.error = state, at, error
        self.work = _over


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[Result]):
    """How a job comes out; fields as of `Job`."""

    state: State
    error: str | None = None
    result: Result | None = None


def outcome_of(work: Callable[[OnProgress], Result], *, on_progress: OnProgress) -> Outcome[Result]:
    """Do a job's work. Raises nothing."""
    try:
        return Outcome(state="done", result=work(on_progress))
    except StopJob as stop:
        return Outcome(state=stop.state, error=stop.reason if stop.state == "failed" else None)
    except MCLDError as error:
        return Outcome(state="failed", error=str(error))
    except Exception:
        logger.exception("a render failed")
        return Outcome(state="failed", error=FAILED)


class JobBook(Generic[Result]):
    """Jobs by id in the order of their coming: all that wait or run, and the last that are over."""

    def __init__(self, *, max_kept: int, ttl_s: float) -> None:
        self._max_kept, self._ttl_s = max_kept, ttl_s
        self._jobs: dict[str, Job[Result]] = {}

    def add(self, job: Job[Result]) -> None:
        """At the end."""
        self._jobs[job.id] = job

    def get(self, job_id: str) -> Job[Result] | None:
        """None when there is none, or no more."""
        return self._jobs.get(job_id)

    def remove(self, job_id: str) -> None:
        """Forget it."""
        del self._jobs[job_id]

    def queued(self) -> list[Job[Result]]:
        """Those that wait."""
        return [job for job in self._jobs.values() if job.state == "queued"]

    def drop_old(self, *, now: float) -> None:
        """Forget those that were over long ago, and the oldest where there are too many of them."""
        over = sorted((job.ended_at, job.id) for job in self._jobs.values() if job.ended_at is not None)
        surplus = max(0, len(over) - self._max_kept)
        for index, (ended_at, job_id) in enumerate(over):
            if index < surplus or ended_at < now - self._ttl_s:
                del self._jobs[job_id]


def _over(_: OnProgress) -> NoReturn:
    raise AssertionError("a job that is over does not run")
