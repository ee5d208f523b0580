"""Durations and moments in words."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """A time as one would say it: `42.1 s`, `7 min 05 s`, `26 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02} s"
    hours, rest_min = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest_min:02} min"


def moment(time_ms: int) -> str:
    """A moment, given in ms since 1970, in UTC and to the minute: the same words on every machine."""
    return f"{datetime.fromtimestamp(time_ms / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"
