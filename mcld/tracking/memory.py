"""What a journal has said already, so that nothing is said twice."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

from mcld.tracking.events import (
    DatasetUsed,
    Event,
    ImageLogged,
    ParamsLogged,
    PointsLogged,
    RunWanted,
    Status,
    StatusSet,
    TagsSet,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Memory:
    """The sum of a journal's events.

    A resumed training repeats the steps since its last checkpoint; the points of these are known, and so are
    params, tags and data sets that a repeated command names again.
    """

    wanted: RunWanted | None = None
    status: Status | None = None
    last_points: dict[str, tuple[int, float]] = field(default_factory=dict)  # by metric: step, value
    corrected: dict[tuple[str, int], float] = field(default_factory=dict)  # by metric and step
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    image_times_ms: dict[tuple[str, int], int] = field(default_factory=dict)  # by key and step
    datasets: set[tuple[str, str]] = field(default_factory=set)  # name, digest

    def note(self, event: Event) -> None:
        """Take in an event of the journal."""
        match event:
            case RunWanted():
                self.wanted = event
            case StatusSet():
                self.status = event.status
            case PointsLogged():
                self._note_points(event)
            case ParamsLogged():
                self.params |= event.values
            case TagsSet():
                self.tags |= event.values
            case ImageLogged():
                self.image_times_ms.setdefault((event.key, event.step), event.time_ms)
            case DatasetUsed():
                self.datasets.add((event.name, event.digest))
            case _:
                pass

    def news(self, event: Event, *, corrects: bool = False) -> Event | None:
        """What of the event was not said yet; None when all was.

        With `corrects` a point whose step was said already is news if its value is another.
        """
        match event:
            case RunWanted():
                return None if _place(event) == (self.wanted and _place(self.wanted)) else event
            case StatusSet():
                return None if event.status == self.status else event
            case PointsLogged():
                points = tuple(point for point in event.points if self._is_new(point, corrects=corrects))
                return replace(event, points=points, corrects=corrects) if points else None
            case ParamsLogged():
                return self._new_params(event)
            case TagsSet():
                tags = {key: value for key, value in event.values.items() if self.tags.get(key) != value}
                return TagsSet(values=tags) if tags else None
            case ImageLogged():
                # With the first one's time it has the first one's name, and so takes its place.
                time_ms = self.image_times_ms.get((event.key, event.step), event.time_ms)
                return replace(event, time_ms=time_ms)
            case DatasetUsed():
                return None if (event.name, event.digest) in self.datasets else event
            case _:
                return event

    def _note_points(self, event: PointsLogged) -> None:
        if event.corrects:
            self.corrected |= {(name, step): value for name, step, value in event.points}
        for name, step, value in event.points:
            if name not in self.last_points or step >= self.last_points[name][0]:
                self.last_points[name] = (step, value)

    def _is_new(self, point: tuple[str, int, float], *, corrects: bool) -> bool:
        name, step, value = point
        known = self.last_points.get(name)
        if known is None or step > known[0]:
            return True
        if not corrects:
            return False
        said = self.corrected.get((name, step), known[1] if step == known[0] else None)
        return said is None or not (said == value or (math.isnan(said) and math.isnan(value)))

    def _new_params(self, event: ParamsLogged) -> ParamsLogged | None:
        for key, value in event.values.items():
            if self.params.get(key, value) != value:
                logger.warning(
                    "param %s is '%s' in MLflow, which lets none change; the new value '%s' is not kept",
                    key,
                    self.params[key],
                    value,
                )
        values = {key: value for key, value in event.values.items() if key not in self.params}
        return ParamsLogged(values=values) if values else None


def _place(wanted: RunWanted) -> tuple[str, str, str | None]:
    return wanted.tracking_uri, wanted.experiment, wanted.parent
