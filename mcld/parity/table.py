"""The table that people read: check, error, tolerance, verdict, and where the error is."""

from __future__ import annotations

from collections.abc import Iterable

from mcld.parity.rows import Row

NAME_WIDTH = 63  # of the longest name, "seed 1: feature down_blocks.0.attentions.0.transformer_blocks.0"


def heading() -> str:
    """The line above the rows."""
    return f"{'check':<{NAME_WIDTH}}  {'error':>8}  {'tolerance':>9}  verdict"


def describe(row: Row) -> str:
    """One row. `error` is relative unless the name gives a unit; NaN and infinity are shown as such."""
    verdict = "ABOVE" if not row.passed else "ok" if row.is_check else "told"
    line = f"{row.name:<{NAME_WIDTH}}  {row.error:>8.1e}  {_tolerance(row):>9}  {verdict:<7}  {row.note}"
    return line.rstrip()


def summarise(rows: Iterable[Row]) -> str:
    """The last line."""
    rows = tuple(rows)
    num_told = sum(not row.is_check for row in rows)
    told = f", {num_told} errors told" if num_told else ""
    return f"{len(rows) - num_told} checks, {sum(not row.passed for row in rows)} above tolerance{told}"


def _tolerance(row: Row) -> str:
    if not row.is_check:
        return "–"
    return "exact" if row.tolerance == 0.0 else f"{row.tolerance:.0e}"
