"""per_pair.parquet read back: who each pair is, and every score of every row of images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcld.errors import DataError
from mcld.evaluation.breakdown import view_pair

_KNOWN = ("id", "source", "target", "category", "source_view", "target_view")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEntry:
    """One pair: its id, the image keys of source and target, the target's category and both views."""

    id: str
    source: str
    target: str
    category: str
    source_view: str
    target_view: str

    @property
    def outfit(self) -> str:
        """The outfit that both images are of."""
        return self.target.rpartition("/")[0]

    @property
    def view_pair(self) -> str:
        """Both views in words: `front → back`."""
        return view_pair(self.source_view, target_view=self.target_view)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTable:
    """Scores by row of images and metric, each in the order of `pairs`; None where undefined."""

    pairs: tuple[PairEntry, ...]
    scores: Mapping[str, Mapping[str, tuple[float | None, ...]]]

    @property
    def outfits(self) -> list[str]:
        """The outfit of every pair."""
        return [pair.outfit for pair in self.pairs]


def read_pair_table(data: bytes, *, place: str) -> PairTable:
    """Read per_pair.parquet. Raises DataError, naming `place`, when it is not what `evaluate` writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        metrics = [column.name for column in table.schema if pa.types.is_floating(column.type)]
        columns = {name: table.column(name).to_pylist() for name in ("row", *_KNOWN, *metrics)}
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{place}: not the scores of an evaluation ({error}); evaluate again") from error
    lines = _lines_by_row(columns["row"])
    ids = [tuple(columns["id"][line] for line in found) for found in lines.values()]
    if not ids or any(found != ids[0] for found in ids):
        raise DataError(f"{place}: its rows of images are not of the same pairs; evaluate again")
    first = next(iter(lines.values()))
    return PairTable(
        pairs=tuple(PairEntry(**{name: str(columns[name][line]) for name in _KNOWN}) for line in first),
        scores={
            row: {name: tuple(columns[name][line] for line in found) for name in metrics}
            for row, found in lines.items()
        },
    )


def _lines_by_row(rows: Sequence[str]) -> dict[str, list[int]]:
    lines: dict[str, list[int]] = {}
    for line, row in enumerate(rows):
        lines.setdefault(row, []).append(line)
    return lines
