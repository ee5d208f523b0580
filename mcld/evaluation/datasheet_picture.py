"""The data-set sheet as one picture: bars with their counts, the longest first."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.evaluation.datasheet import SPLITS, DataCounts
from mcld.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_ROWS = 2  # whose room a panel takes at least
MAX_BARS = 24  # of a panel; the rest becomes one bar
LABEL_WIDTH = 44  # characters, before a label is broken
WIDTH_IN, BAR_IN, PANEL_IN = 15.0, 0.235, 0.5  # a panel is as high as its bars and its title need
HEAD_IN, LINE_IN = 0.7, 0.2
SUBTITLE_WIDTH = 165
DPI = 110
TRAIN, TEST, LEFT_OUT, PLAIN = "#3f6fa3", "#e39a45", "#a8504c", "#6d7f78"
INK, FAINT = "#222222", "#8a8a8a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One panel: rows of a label and its counts, one count a colour."""

    title: str
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    colours: tuple[str, ...]

    @property
    def height_in(self) -> float:
        """How much room it needs."""
        num_lines = sum(1 + label.count("\n") for label, _ in self.rows)
        return PANEL_IN + BAR_IN * max(MIN_ROWS, num_lines)


def draw_data_sheet(path: Path, *, counts: DataCounts, title: str, subtitle: str) -> None:
    """Atomically write the picture as PNG. Equal counts give an equal picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = _columns(counts)
    lines = textwrap.wrap(subtitle, SUBTITLE_WIDTH) or [""]
    head_in = HEAD_IN + LINE_IN * len(lines)
    height_in = head_in + max(sum(panel.height_in for panel in column) for column in columns)
    body_share = 1 - head_in / height_in
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    figure.set_layout_engine("constrained", rect=(0.005, 0, 0.99, body_share), wspace=0.04)
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 0.35 / height_in, title, size=17, weight="bold", color=INK, va="center")
    figure.text(0.012, 1 - 0.56 / height_in, "\n".join(lines), size=10.5, color=FAINT, va="top")
    figure.legend(
        handles=[
            Patch(color=colour, label=split) for colour, split in zip((TRAIN, TEST), SPLITS, strict=True)
        ],
        loc="upper right",
        ncols=len(SPLITS),
        frameon=False,
        fontsize=10.5,
    )
    grid = figure.add_gridspec(1, len(columns))
    for number, column in enumerate(columns):
        heights = [panel.height_in for panel in column]
        spare_in = max(height_in - head_in - sum(heights), 0.01)
        places = grid[number].subgridspec(len(column) + 1, 1, height_ratios=[*heights, spare_in])
        for row, panel in enumerate(column):
            _draw(panel, axes=figure.add_subplot(places[row]))
        figure.add_subplot(places[len(column)]).axis("off")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _columns(counts: DataCounts) -> tuple[tuple[Bars, ...], tuple[Bars, ...]]:
    return (
        (
            split_bars("Images by category", counts=counts.categories),
            split_bars("Images by view", counts=counts.views),
            _plain_bars("Image sizes, width × height in pixels", counts=counts.sizes, colour=PLAIN),
        ),
        (
            split_bars("Pairs by view pair, source → target", counts=counts.view_pairs),
            _plain_bars("Left out, by reason", counts=counts.reasons, colour=LEFT_OUT),
        ),
    )


def split_bars(title: str, *, counts: Counter[tuple[str, str]]) -> Bars:
    """Return a panel of counts by (name, split): a bar a name, a colour a split, the longest bar first."""
    names = {name for name, _ in counts}
    rows = [(name.replace("_", " "), tuple(counts[name, split] for split in SPLITS)) for name in names]
    return Bars(title=title, rows=_longest_first(rows), colours=(TRAIN, TEST))


def _plain_bars(title: str, *, counts: Counter[str], colour: str) -> Bars:
    rows = [(name, (count,)) for name, count in counts.items()]
    return Bars(title=title, rows=_longest_first(rows), colours=(colour,))


def _longest_first(rows: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    ordered = sorted(rows, key=lambda row: (-sum(row[1]), row[0]))
    shown, rest = ordered[:MAX_BARS], ordered[MAX_BARS:]
    if rest:
        sums = tuple(sum(column) for column in zip(*(counts for _, counts in rest), strict=True))
        shown.append((f"{len(rest)} others", sums))
    return tuple((textwrap.fill(label, LABEL_WIDTH), counts) for label, counts in shown)


def _draw(panel: Bars, *, axes: Axes) -> None:
    axes.set_title(panel.title, loc="left", size=11.5, weight="bold", color=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.set_xticks([])
    if not panel.rows:
        axes.set_yticks([])
        axes.text(0.0, 0.5, "none", transform=axes.transAxes, size=10, color=FAINT, va="center")
        return
    places = range(len(panel.rows))
    left = [0] * len(panel.rows)
    for column, colour in enumerate(panel.colours):
        lengths = [counts[column] for _, counts in panel.rows]
        axes.barh(places, lengths, left=left, color=colour, height=0.72)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    longest = max(left)
    for place, (_, counts) in zip(places, panel.rows, strict=True):
        shown = axes.annotate(
            f"{sum(counts):,}",
            (sum(counts), place),
            (5, 0),
            textcoords="offset points",
            size=9,
            color=INK,
            va="center",
        )
        if sum(count > 0 for count in counts) > 1:
            parts = " + ".join(f"{count:,}" for count in counts)
            axes.annotate(
                parts,
                (1, 0.5),
                (6, 0),
                xycoords=shown,
                textcoords="offset points",
                size=8,
                color=FAINT,
                va="center",
            )
    axes.set_yticks(places, [label for label, _ in panel.rows])
    axes.set_xlim(0, 1.3 * longest)  # room for the longest bar's counts
    axes.set_ylim(max(len(panel.rows), MIN_ROWS) - 0.4, -0.6)
