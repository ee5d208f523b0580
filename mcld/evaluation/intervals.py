"""Means and differences with intervals, drawn over outfits: what may be said of few people, and what not.

Pairs of one outfit show the same person in the same clothes, so they err together. An interval over pairs
would count each of them as news and be too narrow; here whole outfits are drawn, with all their pairs (the
cluster bootstrap, Field and Welsh 2007). With few outfits percentiles are too narrow as well and are taken
further out, by Student's t (the expanded percentile interval, Hesterberg 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from mcld.evaluation.metrics import Direction

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
DECIMALS = 6
# Five outfits that all agree do so by chance once in 16 times, six once in 32: below six nothing is shown.
MIN_GROUPS = 6
_RESAMPLES_AT_ONCE = 250  # so that float64 copies of the draws stay small

Verdict = Literal["better", "worse", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over the pairs where the score is defined, with its 95 % bootstrap interval.

    None without any pair; `low` and `high` are None, too, where all pairs are of one outfit. A mean of pairs
    that are all alike has an interval without width.
    """

    mean: float | None
    low: float | None
    high: float | None
    num_scored: int
    num_skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """First minus second, pair by pair, with its 95 % bootstrap interval, in the metric's own unit.

    `verdict` says what the first is beside the second. It is "none" where the interval contains zero, and
    where fewer than six outfits speak. `mean` is None without a pair that both have a score for, `low` and
    `high` also where there is one outfit only.
    """

    mean: float | None
    low: float | None
    high: float | None
    num_pairs: int
    num_groups: int
    num_skipped: int
    verdict: Verdict


def estimate(
    values: Sequence[float | None], *, groups: Sequence[str] | None = None, seed: int = 0
) -> Estimate:
    """Return the mean over pairs and its interval over outfits.

    `values` holds one score a pair, None where undefined; `groups` the outfit of every pair (default: every
    pair its own). Equal values and groups give equal intervals.
    """
    mean, low, high, num_scored, _ = _interval(values, groups=groups, seed=seed)
    return Estimate(
        mean=mean, low=low, high=high, num_scored=num_scored, num_skipped=len(values) - num_scored
    )


def paired_difference(
    first: Sequence[float | None],
    second: Sequence[float | None],
    *,
    groups: Sequence[str],
    direction: Direction = "higher",
    seed: int = 0,
) -> Difference:
    """Return by how much two sets of scores of the same pairs differ, and whether that means anything.

    `first`, `second` and `groups` are in one order: a score a pair (None where undefined) and its outfit.
    Pairs that either lacks are counted as skipped. `direction` is the metric's: with "lower", a negative
    difference makes the first "better". Raises ValueError when lengths differ.
    """
    values = [None if a is None or b is None else a - b for a, b in zip(first, second, strict=True)]
    mean, low, high, num_pairs, num_groups = _interval(values, groups=groups, seed=seed)
    return Difference(
        mean=mean,
        low=low,
        high=high,
        num_pairs=num_pairs,
        num_groups=num_groups,
        num_skipped=len(values) - num_pairs,
        verdict=_verdict(low, high=high, num_groups=num_groups, direction=direction),
    )


def _verdict(low: float | None, *, high: float | None, num_groups: int, direction: Direction) -> Verdict:
    if low is None or high is None or num_groups < MIN_GROUPS or low <= 0 <= high:
        return "none"
    return "better" if (low > 0) == (direction == "higher") else "worse"


def _interval(
    values: Sequence[float | None], *, groups: Sequence[str] | None, seed: int
) -> tuple[float | None, float | None, float | None, int, int]:
    """Return mean, low, high, and how many pairs and groups they speak for."""
    names = range(len(values)) if groups is None else groups
    kept = [(value, name) for value, name in zip(values, names, strict=True) if value is not None]
    if not kept:
        return None, None, None, 0, 0
    scored = np.array([value for value, _ in kept], np.float64)
    found, group_indices = np.unique([name for _, name in kept], return_inverse=True)
    mean = _rounded(scored.mean())
    if len(found) == 1:
        return mean, None, None, len(kept), 1
    low, high = _percentiles(_means(scored, group_indices=group_indices, seed=seed), num_groups=len(found))
    return mean, low, high, len(kept), len(found)


def _means(scored: np.ndarray, *, group_indices: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean over pairs of every draw of outfits, (resamples,) float64."""
    sizes = np.bincount(group_indices).astype(np.float64)
    # Sums of distances to the first value: equal values then give equal means, whatever the rounding.
    sums = np.bincount(group_indices, weights=scored - scored[0])
    draws = _draws(len(sizes), seed=seed)
    chunks = [draws[start : start + _RESAMPLES_AT_ONCE] for start in range(0, len(draws), _RESAMPLES_AT_ONCE)]
    means: np.ndarray = scored[0] + np.concatenate([(chunk @ sums) / (chunk @ sizes) for chunk in chunks])
    return means


@lru_cache(maxsize=4)  # an evaluation asks for the same outfits once a metric
def _draws(num_groups: int, *, seed: int) -> np.ndarray:
    """Return how often every group is in every draw of as many as there are, (resamples, groups) uint16."""
    generator = np.random.default_rng((seed, num_groups))
    drawn = [
        np.bincount(generator.integers(0, num_groups, num_groups), minlength=num_groups)
        for _ in range(NUM_RESAMPLES)
    ]
    counts = np.array(drawn, np.uint16)
    counts.flags.writeable = False
    return counts


def _percentiles(means: np.ndarray, *, num_groups: int) -> tuple[float, float]:
    """Return the interval: further out than 2.5 % the fewer groups there are (Hesterberg 2015)."""
    distance = math.sqrt(num_groups / (num_groups - 1)) * _student_quantile(num_groups - 1)
    tail = NormalDist().cdf(-distance)
    low, high = np.quantile(means, [tail, 1 - tail])
    return _rounded(low), _rounded(high)


def _student_quantile(num_degrees: int) -> float:
    """Return Student's t at 97.5 % (Abramowitz and Stegun 26.7.5): to 0.003 from four degrees of freedom on.

    Below it falls short, which changes nothing here: the interval then already is all that draws can show.
    """
    z, n = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), num_degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # adding zero turns -0.0 into 0.0
