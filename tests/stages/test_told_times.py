"""Times in words."""

from __future__ import annotations

import pytest

from mcld.stages.told_times import duration, moment


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (425.4, "7 min 05 s"), (94_200, "26 h 10 min")],
)
def test_a_duration_is_as_long_as_it_needs_to_be(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_moment_is_the_same_everywhere() -> None:
    assert moment(1_767_225_600_000) == "2026-01-01 00:00 UTC"
