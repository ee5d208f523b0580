"""One thread that does all the model's work: renders in turn, and short tasks between their steps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from mcld.service.jobs import (
    CLOSING,
    OVER,
    ClosedError,
    Job,
    JobBook,
    QueueFullError,
    Result,
    State,
    StopJob,
    outcome_of,
)

Value = TypeVar("Value")
USUAL_S = 10.0  # a guess of a render's time, until there was one


class WorkQueue(Generic[Result]):
    """Jobs, which are asked after by id, and tasks, which somebody waits for.

    A task waits for the step under way and not for the render: looking at a photograph stays quick while a
    picture is made. Both are bounded; of jobs that are over, the last are kept.
    """

    def __init__(
        self,
        *,
        max_waiting: int,
        timeout_s: float,
        max_kept: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_end: Callable[[State, float], None] = lambda state, seconds: None,
    ) -> None:
        self._max_waiting, self._timeout_s = max_waiting, timeout_s
        self._clock, self._on_end = clock, on_end
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._jobs = JobBook[Result](max_kept=max_kept, ttl_s=ttl_s)
        self._changed = Condition()
        self._is_closed = False
        self._usual_s = USUAL_S
        self._thread = Thread(target=self._work, name="mcld-model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing more, end the render under way at its next step, and fail all that waits."""
        with self._changed:
            self._is_closed = True
            tasks = list(self._tasks)
            self._tasks.clear()
            for job in self._jobs.queued():
                job.end("failed", at=self._clock(), error=CLOSING)
            self._changed.notify_all()
        for _, future in tasks:
            if future.set_running_or_notify_cancel():
                future.set_exception(ClosedError())

    def join(self) -> None:
        """Wait until the thread has ended, after `close`."""
        if self._thread.is_alive():
            self._thread.join()

    @property
    def num_queued(self) -> int:
        """Jobs that wait, without the one under way."""
        with self._changed:
            return len(self._jobs.queued())

    def submit(self, work: Callable[..., Result], *, num_steps: int) -> Job[Result]:
        """Put a job at the end. Raises QueueFullError and ClosedError."""
        job = Job(work=work, num_steps=num_steps)
        with self._changed:
            self._check(len(self._jobs.queued()))
            self._jobs.drop_old(now=self._clock())
            self._jobs.add(job)
            self._changed.notify_all()
        return job

    def do(self, task: Callable[[], Value]) -> Future[Value]:
        """Have a short task done, before waiting jobs. Raises QueueFullError and ClosedError."""
        future: Future[Value] = Future()
        with self._changed:
            self._check(len(self._tasks))
            self._tasks.append((task, future))
            self._changed.notify_all()
        return future

    def job(self, job_id: str) -> Job[Result] | None:
        """The job of this id; None when there is none, or no more."""
        with self._changed:
            self._jobs.drop_old(now=self._clock())
            return self._jobs.get(job_id)

    def position(self, job: Job[Result]) -> int:
        """Of a waiting job, 1 for the next; 0 for others."""
        with self._changed:
            waiting = [other.id for other in self._jobs.queued()]
            return waiting.index(job.id) + 1 if job.id in waiting else 0

    def seconds(self, job: Job[Result]) -> float | None:
        """How long it ran, so far or in all; None before its start."""
        if job.started_at is None:
            return None
        ended_at = self._clock() if job.ended_at is None else job.ended_at
        return ended_at - job.started_at

    def cancel_or_forget(self, job_id: str) -> bool:
        """Cancel a job that is not over; forget one that is. False when there is none of this id."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return False
            if job.state in OVER:
                self._jobs.remove(job_id)
            elif job.state == "queued":
                job.end("cancelled", at=self._clock())
            job.is_cancelled = True
            is_over = job.state == "cancelled"
        if is_over:
            self._on_end("cancelled", 0.0)
        return True

    def sweep(self) -> None:
        """Forget jobs that were over long ago."""
        with self._changed:
            self._jobs.drop_old(now=self._clock())

    def _check(self, num_waiting: int) -> None:
        if self._is_closed:
            raise ClosedError
        if num_waiting >= self._max_waiting:
            raise QueueFullError(retry_after_s=max(1, round(self._usual_s)))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._tasks or self._jobs.queued())
                if self._is_closed:
                    return
                job = None if self._tasks else self._jobs.queued()[0]
                if job is not None:
                    job.state, job.started_at = "running", self._clock()
            if job is None:
                self._do_tasks()
            else:
                self._run(job)

    def _do_tasks(self) -> None:
        """Those that wait now: later ones must not keep a render from its next step."""
        with self._changed:
            tasks = [self._tasks.popleft() for _ in range(len(self._tasks))]
        for task, future in tasks:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(task())
            except Exception as error:  # noqa: BLE001  # raised again where it is waited for
                future.set_exception(error)

    def _run(self, job: Job[Result]) -> None:
        outcome = outcome_of(job.work, on_progress=lambda step, num_steps: self._step(job, step, num_steps))
        with self._changed:
            job.result = outcome.result
            job.end(outcome.state, at=self._clock(), error=outcome.error)
            seconds = (job.ended_at or 0.0) - (job.started_at or 0.0)
            if outcome.state == "done":
                self._usual_s = seconds
            self._jobs.drop_old(now=self._clock())
        self._on_end(outcome.state, seconds)

    def _step(self, job: Job[Result], step: int, num_steps: int) -> None:
        """What a job reports to after each step: the only place where it can be ended."""
        job.step, job.num_steps = step, num_steps
        if self._is_closed:
            raise StopJob(state="failed", reason=CLOSING)
        if job.is_cancelled:
            raise StopJob(state="cancelled", reason="cancelled")
        if (self.seconds(job) or 0.0) > self._timeout_s:
            raise StopJob(
                state="failed",
                reason=f"the picture took longer than {self._timeout_s:g} s; ask for fewer steps",
            )
        self._do_tasks()
