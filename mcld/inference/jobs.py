"""What is to be rendered: whose appearance, in which pose, and where the picture goes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import ConfigError, DataError

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
PAIR_COLUMNS = (("source", "target"), ("from", "to"))  # ours, and those of DeepFashion's published lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to make."""

    source: Path
    target: Path
    out: Path


def jobs_for(source: Path, *, target: Path, out: Path) -> tuple[Job, ...]:
    """Of files one job; of a folder one for each of its photographs, into the folder `out`.

    Two folders give every source in every pose. Raises ConfigError when a path is missing, a folder has no
    photograph, or `out` is not a PNG where one picture is made.
    """
    if source.is_dir() or target.is_dir():
        _check_folder(out)
        sources, targets = photos_in(source), photos_in(target)
        is_grid = len(sources) > 1 and len(targets) > 1
        return tuple(
            Job(
                source=one,
                target=other,
                out=out / _name(one, other, is_grid=is_grid, of_targets=target.is_dir()),
            )
            for one in sources
            for other in targets
        )
    if out.suffix.lower() != ".png":
        raise ConfigError(
            f"{out}: must end in .png, which keeps every level; a recipe (.json) goes beside it"
        )
    return (Job(source=photos_in(source)[0], target=photos_in(target)[0], out=out),)


def jobs_in_list(path: Path, *, out: Path) -> tuple[Job, ...]:
    """Of a CSV with the columns source and target (or from and to): one job a row, into the folder `out`.

    Paths are relative to the list. Raises DataError for a list without these columns or without a row.
    """
    _check_folder(out)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a list of pairs ({error})") from error
    found = set(rows[0]) if rows else set()
    names = next((names for names in PAIR_COLUMNS if found.issuperset(names)), None)
    if names is None:
        raise DataError(f"{path}: needs a first line with the columns source and target, and a row below it")
    return tuple(
        Job(
            source=path.parent / (row[names[0]] or ""),
            target=path.parent / (row[names[1]] or ""),
            out=out / f"{number:06d}.png",
        )
        for number, row in enumerate(rows)
    )


def photos_in(path: Path) -> Sequence[Path]:
    """The file itself, or a folder's photographs in the order of their names. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return (path,)
    photos = sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise ConfigError(f"{path}: holds no photograph ({', '.join(sorted(PHOTO_SUFFIXES))})")
    return photos


def _check_folder(out: Path) -> None:
    if out.is_file() or out.suffix:
        raise ConfigError(f"{out}: several pictures go into a folder; name one with -o")


def _name(source: Path, target: Path, *, is_grid: bool, of_targets: bool) -> str:
    if is_grid:
        return f"{source.stem}--{target.stem}.png"
    return f"{(target if of_targets else source).stem}.png"
