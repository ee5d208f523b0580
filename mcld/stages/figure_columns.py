"""Columns of generated images in a figure: from folders and workspaces; and the pairs that all of them show.

A folder is named `FOLDER` or `NAME=FOLDER`: generated images, named as `mcld evaluate` knows them, or a
workspace, of which those of its stage `generate` are meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mcld.data.deepfashion import parse_name
from mcld.data.index import DatasetIndex
from mcld.data.manifest import read_manifest
from mcld.errors import ConfigError, DataError
from mcld.evaluation.foreign import OWN_ROW, find_images, read_image_folder
from mcld.inference.test_pairs import outfit_of, pair_seed
from mcld.stages.folder_pairs import ordered_test_pairs
from mcld.workspace import Workspace

PairKey = tuple[str, str]  # source and target, image keys


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureColumn:
    """Generated images under one heading: which file shows which pair."""

    name: str
    place: Path
    files: Mapping[PairKey, Path]


def picture_columns(named: Sequence[str], *, height_px: int) -> tuple[PictureColumn, ...]:
    """The columns of folders as a user names them.

    Raises DataError for a folder without images or whose naming is unknown.
    """
    return tuple(_column(text, height_px=height_px) for text in named)


def check_names_differ(columns: Sequence[PictureColumn]) -> None:
    """Raises ConfigError: a figure whose headings are alike says nothing."""
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            raise ConfigError(f"{count} columns are called '{name}'; name them apart, as NAME=FOLDER")


def workspace_column(workspace: Workspace, *, name: str) -> PictureColumn:
    """What the stage `generate` made in a workspace. Raises DataError when it has not finished."""
    generate_dir = workspace.stage_dir("generate")
    read_manifest(generate_dir)
    return _column_of(generate_dir / OWN_ROW, name=name)


def choose_pairs(
    columns: Sequence[PictureColumn], *, index: DatasetIndex, wanted: Sequence[str], count: int
) -> tuple[PairKey, ...]:
    """The pairs to show: those `wanted` (SOURCE:TARGET) or, without any, `count` that all columns show.

    These are as random as a hash of their keys, the same every time, and of as many people as there are.
    Raises ConfigError for a pair that is not spelled so, DataError where a column lacks one, or where none is
    shown by all.
    """
    check_names_differ(columns)
    if wanted:
        pairs = tuple(parse_pair(text, index=index) for text in wanted)
        for column in columns:
            _check_shown(column, pairs=pairs)
        return pairs
    common = [
        (pair.source, pair.target)
        for pair in ordered_test_pairs(index)
        if all((pair.source, pair.target) in column.files for column in columns)
    ]
    if not common:
        found = ", ".join(f"{column.name} ({len(column.files)} images, {column.place})" for column in columns)
        raise DataError(f"no test pair of this workspace is shown by all of {found}; give other folders")
    return tuple(sorted(varied_pairs(common)[:count], key=common.index))


def varied_pairs(pairs: Sequence[PairKey]) -> list[PairKey]:
    """In an order as random as a hash, but an outfit's second pair after the first of every outfit."""
    rank: Counter[str] = Counter()
    ranked: list[tuple[int, PairKey]] = []
    for pair in sorted(pairs, key=lambda pair: pair_seed(0, source=pair[0], target=pair[1])):
        ranked.append((rank[outfit_of(pair[1])], pair))
        rank[outfit_of(pair[1])] += 1
    return [pair for _, pair in sorted(ranked, key=lambda item: item[0])]


def parse_pair(text: str, *, index: DatasetIndex) -> PairKey:
    """SOURCE:TARGET, each an image of the index in any spelling of its name."""
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise ConfigError(f"--pairs: '{text}' is no pair; give SOURCE:TARGET, two images by key or file name")
    return _known(source, index=index), _known(target, index=index)


def _known(name: str, *, index: DatasetIndex) -> str:
    key = parse_name(name).key
    keys = [image.key for image in index.images]
    if key not in keys:
        near = ", ".join(get_close_matches(key, keys, n=3)) or "none is near"
        raise DataError(f"--pairs: {name}: no image of this index; did you mean {near}?")
    return key


def _column(text: str, *, height_px: int) -> PictureColumn:
    name, equals, place = text.partition("=")
    is_named = bool(equals) and not Path(text).exists()
    folder = Path(place if is_named else text)
    workspace = Workspace(root=folder)
    if workspace.stage_dir("generate").is_dir():
        return workspace_column(workspace, name=name if is_named else folder.resolve().name)
    directory = find_images(folder, height_px=height_px)
    return _column_of(directory, name=name if is_named else folder.resolve().name)


def _column_of(directory: Path, *, name: str) -> PictureColumn:
    if not name:
        raise ConfigError(f"'={directory}': the column has no name; give NAME=FOLDER, or FOLDER alone")
    images = read_image_folder(directory).images
    files = {(image.source, image.target): image.path for image in images}
    return PictureColumn(name=name, place=directory, files=files)


def _check_shown(column: PictureColumn, *, pairs: Sequence[PairKey]) -> None:
    for source, target in pairs:
        if (source, target) not in column.files:
            raise DataError(
                f"{column.place}: '{column.name}' has no image of {source} -> {target}; leave the pair or "
                "the column out"
            )
