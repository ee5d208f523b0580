"""Means and intervals as places on a line, so that groups can be compared at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcld.evaluation.intervals import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Whiskers:
    """A mean and its interval on a line from 0 to 100, and where all pairs together lie on it."""

    low: float
    mean: float
    high: float
    overall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From values to places on a line of 0 to 100."""

    low: float
    high: float

    @classmethod
    def of(cls, scores: Sequence[Estimate | None]) -> Scale:
        """The line that holds all these means and intervals."""
        ends = [
            end for score in scores if score for end in (score.low, score.mean, score.high) if end is not None
        ]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        margin = 0.04 * (high - low) or 0.5
        return cls(low=low - margin, high=high + margin)

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 100; outside ends at the end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 1)

    def whiskers(self, score: Estimate | None, overall: Estimate | None) -> Whiskers | None:
        """A mean with its interval, if there is one, beside that of all pairs."""
        if score is None or score.mean is None or overall is None or overall.mean is None:
            return None
        return Whiskers(
            low=self.place(score.mean if score.low is None else score.low),
            mean=self.place(score.mean),
            high=self.place(score.mean if score.high is None else score.high),
            overall=self.place(overall.mean),
        )
