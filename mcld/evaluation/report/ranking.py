"""The pairs on which the model did worst and best, by one metric."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mcld.errors import ConfigError
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.pair_table import PairEntry, PairTable
from mcld.evaluation.report.differences import GENERATED

PLACE = "params.yaml: report.rank_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPair:
    """A pair and its score."""

    pair: PairEntry
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The extremes by `metric`: the worst first in `worst`, the best first in `best`. No pair is in both."""

    metric: Metric
    worst: tuple[RankedPair, ...]
    best: tuple[RankedPair, ...]
    num_scored: int


def rank_pairs(pairs: PairTable, *, metric: Metric, num_ranked: int) -> Ranking:
    """Return up to `num_ranked` pairs of either end. Pairs without a score have no rank; ties go by id."""
    found = [
        RankedPair(pair=pair, score=score)
        for pair, score in zip(pairs.pairs, pairs.scores[GENERATED][metric.name], strict=True)
        if score is not None
    ]
    sign = 1 if metric.direction == "higher" else -1
    ordered = sorted(found, key=lambda ranked: (sign * ranked.score, ranked.pair.id))
    count = min(num_ranked, len(ordered) // 2)
    return Ranking(
        metric=metric,
        worst=tuple(ordered[:count]),
        best=tuple(reversed(ordered[len(ordered) - count :])),
        num_scored=len(ordered),
    )


def rank_metric(name: str, *, pairs: PairTable) -> Metric:
    """The metric that pairs are ranked by. Raises ConfigError unless it is known and pairs have scores."""
    scored = [metric for metric in METRICS if metric.name in pairs.scores.get(GENERATED, {})]
    for metric in scored:
        if metric.name == name:
            return metric
    choice = f"choose one of {', '.join(metric.name for metric in scored)}"
    known = [metric.name for metric in METRICS]
    if name in known:
        raise ConfigError(f"{PLACE}: '{name}' has no scores by pair in this evaluation; {choice}")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    raise ConfigError(
        f"{PLACE}: unknown metric '{name}'; {f'did you mean {close[0]!r}?' if close else choice}"
    )
