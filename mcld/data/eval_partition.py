"""The official list of DeepFashion In-shop's images, `list_eval_partition.txt`: one list for all splits.

The first line counts the rows, the second names the columns, then a row an image:
`img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train`.
"""

from __future__ import annotations

from pathlib import Path

from mcld.data.deepfashion import ImageName, parse_name_at, read_text
from mcld.errors import DataError

_HEADER = ["image_name", "item_id", "evaluation_status"]
_SPLIT_OF_STATUS = {"train": "train", "query": "test", "gallery": "test"}


def read_eval_partition(path: Path) -> tuple[tuple[str, ImageName], ...]:
    """(split, name) of every row; query and gallery are test.

    Raises DataError naming the line that is none, or both numbers when the count is not that of the rows.
    """
    lines = [line.split() for line in read_text(path).splitlines()]
    if len(lines) < 2 or len(lines[0]) != 1 or lines[1] != _HEADER:
        raise DataError(
            f"{path}:1: expected the number of images, then a line '{' '.join(_HEADER)}'; "
            "give the list as published"
        )
    names = tuple(
        _named(line, place=f"{path}:{number}") for number, line in enumerate(lines[2:], start=3) if line
    )
    if lines[0][0] != str(len(names)):
        raise DataError(
            f"{path}: its first line says {lines[0][0]} images, {len(names)} rows follow; "
            "give the list whole, as published"
        )
    return names


def _named(cells: list[str], *, place: str) -> tuple[str, ImageName]:
    if len(cells) != len(_HEADER) or cells[2] not in _SPLIT_OF_STATUS:
        known = ", ".join(_SPLIT_OF_STATUS)
        raise DataError(f"{place}: '{' '.join(cells)}' is not a name, its item and one of {known}")
    name = parse_name_at(cells[0], place=place)
    if cells[1] != f"id_{name.identity}":
        raise DataError(f"{place}: {cells[0]} is listed as of {cells[1]}; correct one of them")
    return _SPLIT_OF_STATUS[cells[2]], name
