"""One self-contained HTML page that says what was run and what came out: no network, no script.

The page is a function of its arguments, so equal runs give equal bytes. It opens on a laptop and on a phone,
by day and by night, and prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcld.evaluation.intervals import CONFIDENCE, MIN_GROUPS
from mcld.evaluation.report.breakdown import Breakdown
from mcld.evaluation.report.differences import DifferencesSection
from mcld.evaluation.report.listening import WrongInput
from mcld.evaluation.report.pieces import (
    PUBLISHED_MARK,
    VERDICTS,
    Cost,
    Facts,
    Figure,
    Gallery,
    Headline,
    Picture,
    Table,
)
from mcld.evaluation.report.rendering import render
from mcld.evaluation.report.score_lines import MetricsSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page shows, in its order."""

    title: str
    subtitle: str
    origin: Facts
    headlines: tuple[Headline, ...]
    gallery: Gallery
    metrics: MetricsSection
    differences: DifferencesSection
    breakdowns: tuple[Breakdown, ...]
    ranked: tuple[Gallery, ...]
    wrong_inputs: tuple[WrongInput, ...]
    probe: Figure
    loss_svg: str
    samples: tuple[Picture, ...]
    data_tables: tuple[Table, ...]
    exclusions: Table
    exclusions_note: str
    lost: Table
    stages: Table
    params_yaml: str
    cost: Cost
    beside: tuple[Table, ...] = field(default_factory=tuple)  # all rows beside published ones
    beside_notes: tuple[str, ...] = field(default_factory=tuple)


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    return render(
        "report/page.html",
        page=page,
        sections=tuple(_sections(page)),
        verdicts=VERDICTS,
        published_mark=PUBLISHED_MARK,
        min_groups=MIN_GROUPS,
        percent=round(100 * CONFIDENCE),
    )


def _sections(page: Page) -> Iterator[tuple[str, str]]:
    """Anchors and words of the sections that this page has."""
    yield "gallery", "pictures"
    yield "metrics", "metrics"
    if page.differences.rows:
        yield "differences", "differences"
    if page.breakdowns:
        yield "breakdown", "by view and category"
    if page.ranked:
        yield "ranked", "worst and best"
    if page.wrong_inputs:
        yield "wrong", "wrong inputs"
    yield "probe", "the VAE alone"
    if page.beside:
        yield "beside", "beside others"
    if page.loss_svg or page.samples:
        yield "training", "training"
    yield "data", "data set"
    yield "left-out", "left out"
    yield "run", "what was run"
    yield "cost", "cost"
