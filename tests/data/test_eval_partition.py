"""The official list of all splits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcld.data.eval_partition import read_eval_partition
from mcld.errors import DataError

ROWS = (
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train",
    "img/WOMEN/Dresses/id_00000003/01_2_side.jpg      id_00000003   query",
    "img/MEN/Denim/id_00000004/01_7_additional.jpg id_00000004 gallery",
)


def written(path: Path, *, count: object = len(ROWS), rows: tuple[str, ...] = ROWS) -> Path:
    path.write_text("\n".join([str(count), "image_name item_id evaluation_status", *rows]) + "\n")
    return path


def test_query_and_gallery_are_test(tmp_path: Path) -> None:
    listed = read_eval_partition(written(tmp_path / "list.txt"))
    assert [(split, name.key) for split, name in listed] == [
        ("train", "WOMEN-Dresses-id_00000002-02/1_front"),
        ("test", "WOMEN-Dresses-id_00000003-01/2_side"),
        ("test", "MEN-Denim-id_00000004-01/7_additional"),
    ]


def test_a_count_that_is_not_that_of_the_rows_is_an_error_naming_both(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.txt: its first line says 52712 images, 3 rows follow"):
        read_eval_partition(written(tmp_path / "list.txt", count=52712))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 val", r":6: .* one of train, query, gal"),
        ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg train", r"list\.txt:6: .* is not a name, its item"),
        ("img/holiday.jpg id_00000002 train", r"list\.txt:6: 'img/holiday\.jpg': not a DeepFashion name"),
        ("img/MEN/Denim/id_00000004/01_1_front.jpg id_00000005 train", r":6: .*is listed as of id_00000005"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_eval_partition(written(tmp_path / "list.txt", rows=(*ROWS, row), count=4))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_any_other_text_is_a_data_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DataError, match=r"list\.txt"):
        read_eval_partition(path)
