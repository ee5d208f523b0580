"""Rows of one's own stand beside printed ones of the same size, and what differs is said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mcld.evaluation.metrics import metric_named
from mcld.evaluation.published import LARGE, PUBLISHED, SMALL, PublishedRow
from mcld.evaluation.report import Table
from mcld.evaluation.score_table import Cell, ScoredRow, ScoreTables, score_tables


def row(name: str = "generated", *, data_set: str = "DeepFashion", labels: tuple[str, ...] = ()) -> ScoredRow:
    return ScoredRow(
        name=name,
        kind="own",
        data_set=data_set,
        num_pairs=8570,
        height_px=256,
        width_px=176,
        values={
            "psnr": Cell(value=18.84049, low=18.8, high=18.9),
            "ssim": Cell(value=0.75),
            "fid_a": Cell(value=None),
        },
        labels=labels,
    )


def table_titled(tables: ScoreTables, start: str) -> Table:
    return next(table for table in tables.tables if table.title.startswith(start))


def printed(name: str, *, size: tuple[int, int] | None) -> PublishedRow:
    return next(row for row in PUBLISHED if (row.name, row.size) == (name, size))


def test_printed_numbers_are_those_of_the_paper() -> None:
    assert dict(printed("MCLD", size=SMALL).values) == {
        "fid_a": Decimal("6.693"),
        "lpips_alex": Decimal("0.1482"),
        "ssim_256": Decimal("0.7511"),
        "psnr": Decimal("18.84"),
    }
    assert printed("MCLD", size=LARGE).values["fid_a"] == Decimal("7.079")
    assert printed("PIDM", size=None).values["face_cosine_target"] == Decimal("0.394")
    assert len({(row.name, row.size) for row in PUBLISHED}) == len(PUBLISHED)


@pytest.mark.parametrize("name", sorted({name for row in PUBLISHED for name in row.values}))
def test_printed_numbers_are_of_metrics_of_protocol_a(name: str) -> None:
    assert metric_named(name).protocol == "A"


def test_a_row_stands_in_the_table_of_its_size_and_protocol() -> None:
    tables = score_tables([row()])
    table = table_titled(tables, "Protocol A, as the pose-transfer papers ran it, 256 × 176")
    psnr, fid = table.header.index("psnr ↑"), table.header.index("fid_a ↓")
    assert table.rows[0][:3] == ("generated", "DeepFashion", "8570")
    assert (table.rows[0][psnr], table.rows[0][fid]) == ("18.840 ± 0.050", "–")
    by_name = {cells[0]: cells for cells in table.rows}
    assert (by_name["MCLD *published*"][psnr], by_name["PIDM *published*"][psnr]) == ("18.84", "–")


def test_printed_numbers_stand_under_no_other_protocol() -> None:
    table = table_titled(score_tables([row()]), "Protocol B")
    assert [cells[0] for cells in table.rows] == ["generated"]


def test_printed_tables_are_shown_where_nothing_is_scored() -> None:
    titles = [table.title for table in score_tables([]).tables]
    assert len(titles) == 3
    assert all(size in title for size, title in zip(("256 × 176", "512 × 352", "Faces"), titles, strict=True))


def test_what_makes_rows_incomparable_is_said() -> None:
    rows = [row(data_set="embedded people"), row("theirs", labels=("48 of 54 test pairs",))]
    tables = score_tables(rows)
    assert table_titled(tables, "Protocol A").rows[1][0] == "theirs †"
    assert "theirs †: 48 of 54 test pairs" in tables.notes
    assert any("embedded people are not comparable" in note for note in tables.notes)
    assert any("*published*" in note and "CVPR 2025" in note for note in tables.notes)
