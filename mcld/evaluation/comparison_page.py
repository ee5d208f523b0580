"""A comparison as one HTML page that holds all it shows: no network, no script."""

from __future__ import annotations

import jinja2

from mcld.evaluation.comparison import Comparison
from mcld.evaluation.intervals import CONFIDENCE, MIN_GROUPS
from mcld.evaluation.report import PROTOCOL_MEANINGS, data_uri

VERDICTS = {"better": "better", "worse": "worse", "none": "no difference shown"}


def render_comparison(comparison: Comparison) -> str:
    """Return the page as HTML; equal comparisons give equal bytes."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mcld.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["digits"] = digits
    environment.filters["signed"] = signed
    return environment.get_template("compare.html").render(
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


def digits(value: float | None) -> str:
    """Return a number with the digits in which runs differ; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.4f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    if value is None:
        return "–"
    return f"{value:+.2f}" if abs(value) >= 2 else f"{value:+.4f}"
