"""One's own rows, other people's images and printed numbers, side by side, by protocol and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mcld.evaluation import published
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.published import PUBLISHED, PublishedRow
from mcld.evaluation.report import ARROWS, PROTOCOL_MEANINGS, PUBLISHED_MARK, Table

LABELLED_MARK = "†"
_PROTOCOLS = ("A", "B", "own")
_FACE_METRICS = ("face_cosine_source", "face_cosine_target")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number and its 95 % interval, where it has one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, found: Mapping[str, float | None], *, key: str = "mean") -> Cell:
        """From an entry of rows.json; `key` is that of the number. Raises KeyError where it has none."""
        return cls(value=found[key], low=found.get("low"), high=found.get("high"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """What was scored in this workspace: a row of the stage `evaluate`, or a folder. Sizes are in pixels."""

    name: str
    kind: Literal["own", "folder"]
    data_set: str
    num_pairs: int
    height_px: int
    width_px: int
    values: Mapping[str, Cell]
    labels: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTables:
    """The tables, and what must be said below them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def score_tables(rows: Sequence[ScoredRow]) -> ScoreTables:
    """Put the rows beside the published ones of the same size; sizes of one's own come first."""
    sizes = [(row.height_px, row.width_px) for row in rows] + [row.size for row in PUBLISHED if row.size]
    tables = [
        _table(
            f"{_protocol_title(protocol)}, {size[0]} × {size[1]} px (height × width)",
            metrics=[metric for metric in METRICS if metric.protocol == protocol],
            rows=[row for row in rows if (row.height_px, row.width_px) == size],
            printed=[row for row in PUBLISHED if row.size == size and protocol == published.PROTOCOL],
        )
        for size in dict.fromkeys(sizes)
        for protocol in _PROTOCOLS
    ]
    faces = _table(
        f"Faces: {_protocol_title(published.PROTOCOL)}, size not said by the paper",
        metrics=[metric for metric in METRICS if metric.name in _FACE_METRICS],
        rows=rows,
        printed=[row for row in PUBLISHED if row.size is None],
    )
    return ScoreTables(
        tables=tuple(table for table in (*tables, faces) if table is not None), notes=_notes(rows)
    )


def _table(
    title: str, *, metrics: Sequence[Metric], rows: Sequence[ScoredRow], printed: Sequence[PublishedRow]
) -> Table | None:
    """None where no row has a number."""
    named = {name for row in rows for name in row.values} | {name for row in printed for name in row.values}
    shown = [metric for metric in metrics if metric.name in named]
    if not shown:
        return None
    names = [metric.name for metric in shown]
    lines = [
        (_name(row), row.data_set, str(row.num_pairs), *(cell_text(row.values.get(name)) for name in names))
        for row in rows
        if any(name in row.values for name in names)
    ]
    lines += [
        (
            f"{row.name} {PUBLISHED_MARK}",
            published.DATA_SET,
            str(published.NUM_PAIRS),
            *(str(row.values.get(name, "–")) for name in names),
        )
        for row in printed
    ]
    headers = [f"{metric.name} {ARROWS[metric.direction]}" for metric in shown]
    return Table(title=title, header=("row", "data set", "pairs", *headers), rows=tuple(lines))


def _name(row: ScoredRow) -> str:
    return f"{row.name} {LABELLED_MARK}" if row.labels else row.name


def _protocol_title(protocol: str) -> str:
    if protocol == "own":
        return f"Without a protocol: {PROTOCOL_MEANINGS[protocol]}"
    return f"Protocol {protocol}, {PROTOCOL_MEANINGS[protocol]}"


def cell_text(cell: Cell | None) -> str:
    """The value, and half of its interval's width; a dash where there is none."""
    if cell is None or cell.value is None:
        return "–"
    decimals = 3 if abs(cell.value) >= 2 else 4
    text = f"{cell.value:.{decimals}f}"
    if cell.low is None or cell.high is None or cell.low == cell.high:
        return text
    return f"{text} ± {(cell.high - cell.low) / 2:.{decimals}f}"


def _notes(rows: Sequence[ScoredRow]) -> tuple[str, ...]:
    notes = [f"{_name(row)}: {'; '.join(row.labels)}" for row in rows if row.labels]
    others = sorted({row.data_set for row in rows if row.data_set != published.DATA_SET})
    if others:
        notes.append(
            f"rows on {', '.join(others)} are not comparable with those on {published.DATA_SET}: other images"
        )
    numbers = {row.num_pairs for row in rows}
    if any(row.data_set == published.DATA_SET for row in rows):
        numbers.add(published.NUM_PAIRS)
    if len(numbers) > 1:
        notes.append("rows on different numbers of pairs are not comparable, FID least of all")
    sources = dict.fromkeys(row.source for row in PUBLISHED)
    notes.append(
        f"{PUBLISHED_MARK}: not computed here but printed, protocol {published.PROTOCOL}, "
        f"{published.NUM_PAIRS:,} pairs, in {'; '.join(sources)}. Papers print one SSIM without saying "
        "which: it stands under ssim_256, which it probably is"
    )
    notes.append("±: half the width of the 95 % bootstrap interval; a difference inside it is none")
    return tuple(notes)
