from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, get_ident

import pytest

from mcld.errors import DataError
from mcld.inference.engine import OnProgress
from mcld.service.jobs import FAILED, ClosedError, Job, QueueFullError, State
from mcld.service.queue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Work of many steps that waits before each until it is let on."""

    def __init__(self, num_steps: int = 3) -> None:
        self.num_steps, self.entered, self.open = num_steps, Event(), Event()

    def __call__(self, on_progress: OnProgress) -> str:
        self.entered.set()
        for step in range(self.num_steps):
            self.open.wait()
            on_progress(step + 1, self.num_steps)
        return "made"


@contextmanager
def working(
    *,
    max_waiting: int = 8,
    timeout_s: float = 100.0,
    max_kept: int = 8,
    clock: Clock | None = None,
    ends: list[tuple[State, float]] | None = None,
) -> Iterator[WorkQueue[str]]:
    queue = WorkQueue[str](
        max_waiting=max_waiting,
        timeout_s=timeout_s,
        max_kept=max_kept,
        ttl_s=50.0,
        clock=clock or Clock(),
        on_end=lambda state, seconds: None if ends is None else ends.append((state, seconds)),
    )
    queue.start()
    try:
        yield queue
    finally:
        queue.close()
        queue.join()


def finished(queue: WorkQueue[str]) -> None:
    """Wait until all jobs are over: a job is put behind them, and a task behind that."""
    last = Gate(num_steps=0)
    queue.submit(last, num_steps=0)
    last.entered.wait()
    queue.do(lambda: None).result()


def test_jobs_run_in_the_order_of_their_coming_and_keep_their_results() -> None:
    order: list[int] = []

    def work(number: int) -> str:
        order.append(number)
        return f"picture {number}"

    with working() as queue:
        jobs = [queue.submit(lambda _, number=number: work(number), num_steps=1) for number in range(5)]
        finished(queue)

    assert order == [0, 1, 2, 3, 4]
    assert [(job.state, job.result) for job in jobs] == [("done", f"picture {n}") for n in range(5)]


def test_a_position_is_counted_among_those_that_wait() -> None:
    gate = Gate()
    with working() as queue:
        jobs = [queue.submit(gate, num_steps=3) for _ in range(3)]
        gate.entered.wait()

        assert [queue.position(job) for job in jobs] == [0, 1, 2]
        assert queue.num_queued == 2
        gate.open.set()
        finished(queue)
        assert [queue.position(job) for job in jobs] == [0, 0, 0]


def test_a_task_is_done_between_two_steps_of_a_render_in_the_same_thread() -> None:
    threads: list[int] = []
    gate = Gate(num_steps=2)

    def work(on_progress: OnProgress) -> str:
        threads.append(get_ident())
        return gate(on_progress)

    with working() as queue:
        job = queue.submit(work, num_steps=2)
        gate.entered.wait()
        task = queue.do(lambda: (get_ident(), job.state))
        gate.open.set()
        thread, state = task.result()

        assert state == "running"
        assert thread == threads[0]


def test_what_a_task_raises_reaches_who_waits_for_it_and_the_queue_goes_on() -> None:
    def bad() -> None:
        raise DataError("nobody there")

    with working() as queue:
        with pytest.raises(DataError, match="nobody there"):
            queue.do(bad).result()

        assert queue.do(lambda: 7).result() == 7


def test_more_than_may_wait_is_refused_and_told_when_to_ask_again() -> None:
    gate = Gate()
    with working(max_waiting=2) as queue:
        queue.submit(gate, num_steps=3)
        gate.entered.wait()
        for _ in range(2):
            queue.submit(gate, num_steps=3)
        with pytest.raises(QueueFullError) as refused:
            queue.submit(gate, num_steps=3)

        assert refused.value.retry_after_s >= 1
        for _ in range(2):
            queue.do(lambda: None)
        with pytest.raises(QueueFullError):
            queue.do(lambda: None)
        gate.open.set()


def test_a_waiting_job_is_cancelled_at_once_and_never_runs() -> None:
    gate, never, ends = Gate(), Gate(), list[tuple[State, float]]()
    with working(ends=ends) as queue:
        queue.submit(gate, num_steps=3)
        gate.entered.wait()
        job = queue.submit(never, num_steps=3)

        assert queue.cancel_or_forget(job.id)
        assert job.state == "cancelled"
        gate.open.set()
        finished(queue)
        assert not never.entered.is_set()
        assert ("cancelled", 0.0) in ends


def test_a_running_job_is_cancelled_at_its_next_step() -> None:
    gate = Gate(num_steps=1000)
    with working() as queue:
        job = queue.submit(gate, num_steps=1000)
        gate.entered.wait()
        queue.cancel_or_forget(job.id)
        assert job.state == "running"
        gate.open.set()
        finished(queue)

        assert (job.state, job.step, job.result, job.error) == ("cancelled", 1, None, None)


def test_a_job_that_is_over_is_forgotten_when_it_is_cancelled() -> None:
    with working() as queue:
        job = queue.submit(lambda _: "made", num_steps=1)
        finished(queue)

        assert queue.cancel_or_forget(job.id)
        assert queue.job(job.id) is None
        assert not queue.cancel_or_forget(job.id)


def test_a_job_that_takes_too_long_fails_at_its_next_step_with_a_sentence() -> None:
    clock, gate = Clock(), Gate(num_steps=1000)
    with working(clock=clock, timeout_s=5.0) as queue:
        job = queue.submit(gate, num_steps=1000)
        gate.entered.wait()
        clock.now = 6.0
        gate.open.set()
        finished(queue)

        assert (job.state, job.step) == ("failed", 1)
        assert job.error == "the picture took longer than 5 s; ask for fewer steps"
        assert queue.seconds(job) == 6.0


def test_a_users_mistake_is_the_jobs_error_and_another_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def mistake(_: OnProgress) -> str:
        raise DataError("me.png: nobody")

    def fault(_: OnProgress) -> str:
        raise ZeroDivisionError

    with working() as queue, caplog.at_level(logging.ERROR):
        jobs = [queue.submit(work, num_steps=1) for work in (mistake, fault)]
        finished(queue)

        assert [(job.state, job.error) for job in jobs] == [("failed", "me.png: nobody"), ("failed", FAILED)]
    assert "ZeroDivisionError" in caplog.text


def test_of_jobs_that_are_over_the_last_are_kept_and_none_for_ever() -> None:
    clock = Clock()
    with working(max_kept=2, clock=clock) as queue:
        jobs: list[Job[str]] = []
        for number in range(4):
            clock.now = float(number)
            jobs.append(queue.submit(lambda _: "made", num_steps=1))
            queue.do(lambda: None).result()
            while jobs[-1].ended_at is None:
                queue.do(lambda: None).result()

        assert [queue.job(job.id) is not None for job in jobs] == [False, False, True, True]
        clock.now = 52.5
        queue.sweep()
        assert [queue.job(job.id) is not None for job in jobs[2:]] == [False, True]


def test_outcomes_are_told_with_their_seconds() -> None:
    ends: list[tuple[State, float]] = []
    clock = Clock()

    def work(_: OnProgress) -> str:
        clock.now = 3.0
        return "made"

    with working(clock=clock, ends=ends) as queue:
        queue.submit(work, num_steps=1)
        finished(queue)

    assert ends[0] == ("done", 3.0)


def test_the_end_stops_the_running_job_at_its_next_step_and_fails_all_that_waits() -> None:
    gate = Gate(num_steps=1000)
    with working() as queue:
        jobs = [queue.submit(gate, num_steps=1000) for _ in range(2)]
        gate.entered.wait()
        task = queue.do(lambda: 7)
        queue.close()
        gate.open.set()
        queue.join()

        assert [job.state for job in jobs] == ["failed", "failed"]
        assert jobs[0].step == 1
        assert all(job.error and "ended" in job.error for job in jobs)
        with pytest.raises(ClosedError):
            task.result()
        with pytest.raises(ClosedError):
            queue.submit(gate, num_steps=3)
        with pytest.raises(ClosedError):
            queue.do(lambda: 7)
