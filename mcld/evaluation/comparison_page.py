"""A comparison as one HTML page that holds all it shows: no network, no script."""

from __future__ import annotations

from mcld.evaluation.comparison import Comparison
from mcld.evaluation.intervals import CONFIDENCE, MIN_GROUPS
from mcld.evaluation.report import PROTOCOL_MEANINGS, VERDICTS, render


def render_comparison(comparison: Comparison) -> str:
    """Return the page as HTML; equal comparisons give equal bytes."""
    return render(
        "compare.html",
        comparison=comparison,
        verdicts=VERDICTS,
        min_groups=MIN_GROUPS,
        percent=round(100 * CONFIDENCE),
        protocol_meanings={
            name: meaning
            for name, meaning in PROTOCOL_MEANINGS.items()
            if any(line.metric.protocol == name for line in comparison.metrics)
        },
    )
