"""An evaluation as a model card tells it: a Markdown table of metrics with protocol and interval."""

from __future__ import annotations

from mcld.evaluation.intervals import CONFIDENCE
from mcld.evaluation.metrics import Metric
from mcld.evaluation.report import PROTOCOL_MEANINGS
from mcld.evaluation.run_scores import RunScores, Score, listed_metrics


def evaluation_section(found: RunScores) -> str:
    """Markdown without a heading: what was scored, the table, what the protocols mean."""
    metrics = listed_metrics([found])
    lines = [_line(metric, score=found.scores[metric.name]) for metric in metrics]
    protocols = [
        f"Protocol {name}: {meaning}."
        for name, meaning in PROTOCOL_MEANINGS.items()
        if any(metric.protocol == name for metric in metrics)
    ]
    names = f"| metric | protocol | better | value | {round(100 * CONFIDENCE)} % interval |"
    head = f"{names}\n{'|---' * 5}|"
    return "\n\n".join([_what(found), "\n".join([head, *lines]), " ".join(protocols)])


def _what(found: RunScores) -> str:
    pairs = f"{found.num_pairs:,} test pairs" if found.num_pairs is not None else "Test pairs"
    size = f", {found.size_px[1]} × {found.size_px[0]} px" if found.size_px is not None else ""
    return f"{pairs}{size}. Numbers of another protocol, size or set of pairs cannot be compared with these."


def _line(metric: Metric, *, score: Score) -> str:
    value = "undefined" if score.value is None else f"{score.value:.4f}"
    interval = "" if score.low is None or score.high is None else f"{score.low:.4f} to {score.high:.4f}"
    return f"| {metric.name} | {metric.protocol} | {metric.direction} | {value} | {interval} |"
