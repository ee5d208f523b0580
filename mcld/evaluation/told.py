"""An evaluation in the tracker's words: metric names that say their protocol, and tables of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcld.evaluation.metrics import METRICS
from mcld.evaluation.protocols import ROWS, Row
from mcld.evaluation.run_scores import ROW, PairScores

Table = dict[str, list[Any]]  # columns, and data by row, as MLflow's tables are

_PROTOCOLS = {metric.name: metric.protocol for metric in METRICS}
_DIRECTIONS = {metric.name: metric.direction for metric in METRICS}


def protocol_names(flat: Mapping[str, object]) -> dict[str, float]:
    """The flat table of an evaluation under names that a page groups by what they are comparable with.

    `test.A/psnr` is the generated row's, by protocol; `test.controls/…` other rows, gaps and ratios;
    `test.num_pairs` how many pairs there were.
    """
    named: dict[str, float] = {}
    for name, value in flat.items():
        if isinstance(value, int | float):
            named[protocol_name(name)] = float(value)
    return named


def protocol_name(name: str) -> str:
    """The tracker's name of one value of the flat table."""
    if name in _PROTOCOLS:
        return f"test.{_PROTOCOLS[name]}/{name}"
    return f"test.{name}" if name.startswith("num_") else f"test.controls/{name}"


def plain_name(name: str) -> str | None:
    """The metric that a name of the tracker's means; None for controls and anything else."""
    protocol, _, metric = name.removeprefix("test.").partition("/")
    return metric if name.startswith("test.") and _PROTOCOLS.get(metric) == protocol else None


def summary_table(evaluation: Mapping[str, Any]) -> Table:
    """rows.json as a table: a line a metric of every row of images, with protocol and interval.

    MLflow's page groups by the first column and shows the second: metrics by run, unless told otherwise.
    """
    data: list[list[Any]] = []
    for row in ROWS:
        for name, cell in evaluation["rows"].get(row, {}).items():
            numbers = [cell["mean"], cell["low"], cell["high"], cell["num_scored"]]
            data.append(_line(row, name=name, numbers=numbers))
        for name, cell in evaluation.get("sets", {}).get(row, {}).items():
            numbers = [cell["value"], cell.get("low"), cell.get("high"), cell.get("num_images")]
            data.append(_line(row, name=name, numbers=numbers))
    columns = ["metric", "value", "low", "high", "num_scored", "protocol", "better", "row"]
    return {"columns": columns, "data": data}


def pair_table(pairs: PairScores) -> Table:
    """The generated row pair by pair, for MLflow's page that compares tables: a line a pair."""
    values: Sequence[Sequence[float | None]] = list(pairs.values.values())
    lines = zip(pairs.keys, zip(*values, strict=True), strict=True)
    data = [[f"{source} > {target}", *scores] for (source, target), scores in lines]
    return {"columns": ["pair", *pairs.values], "data": data}


def _line(row: Row, *, name: str, numbers: list[Any]) -> list[Any]:
    shown = name if row == ROW else f"{row}.{name}"
    return [shown, *numbers, _PROTOCOLS.get(name), _DIRECTIONS.get(name), row]
