"""What a run's journal says, read back without MLflow and without writing: tags, times, chosen metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.tracking.delivery import read_receipt
from mcld.tracking.events import Event, PointsLogged, RunWanted, StatusSet, TagsSet, event_of
from mcld.tracking.store import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value of a metric; `time_ms` since 1970 is when it was logged."""

    step: int
    value: float
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """A run as its journal tells it.

    `run_id` is MLflow's, None until it was reached; `place` is the store's address, without a password.
    `points` are by metric, a value a step, by step. Times are in ms since 1970: when the run first went on,
    and when it last was said to be over (None while it is not).
    """

    name: str
    experiment: str
    place: str
    run_id: str | None
    tags: Mapping[str, str]
    points: Mapping[str, tuple[Point, ...]]
    started_ms: int | None
    finished_ms: int | None


def read_history(directory: Path, *, metrics: Sequence[str]) -> RunHistory | None:
    """Read a journal's folder; None where there is none. Lines that cannot be read are passed over.

    `metrics` are parts of names: a metric whose name contains one of them is read, all others are not.
    """
    wanted: RunWanted | None = None
    tags: dict[str, str] = {}
    points: dict[str, dict[int, Point]] = {}
    statuses: list[StatusSet] = []
    for event in _events(directory, metrics=metrics):
        match event:
            case RunWanted():
                wanted = event
            case TagsSet():
                tags |= event.values
            case StatusSet():
                statuses.append(event)
            case PointsLogged():
                for name, step, value in event.points:
                    if any(part in name for part in metrics):
                        found = Point(step=step, value=value, time_ms=event.time_ms)
                        points.setdefault(name, {})[step] = found
            case _:
                pass
    if wanted is None:
        return None
    return RunHistory(
        name=wanted.name,
        experiment=wanted.experiment,
        place=shown(wanted.tracking_uri),
        run_id=read_receipt(directory, tracking_uri=wanted.tracking_uri).run_id,
        tags=tags,
        points={name: tuple(by_step[step] for step in sorted(by_step)) for name, by_step in points.items()},
        started_ms=next((status.time_ms for status in statuses if status.status == "RUNNING"), None),
        finished_ms=statuses[-1].time_ms if statuses and statuses[-1].status != "RUNNING" else None,
    )


def _events(directory: Path, *, metrics: Sequence[str]) -> Iterator[Event]:
    """The events of a journal; of its many lines of points only those that name a metric asked for."""
    parts = [part.encode() for part in metrics]
    for path in sorted(directory.glob("events-*.jsonl")):
        with path.open("rb") as file:
            for line in file:
                if line.startswith(b'{"kind":"points"') and not any(part in line for part in parts):
                    continue
                try:
                    yield event_of(line)
                except (ValueError, TypeError):
                    continue  # a torn or damaged line, or a later version's
