"""Image folders that others made: which file shows which pair, told by its name.

A published one holds pictures, each named after a source and a target as DeepFashion's lists spell them. The
spellings in circulation differ in what stands between and behind the two names:

mcld   SOURCE_2_TARGET.png          MCLD's test.py, in a folder a size: 256/, 512/
pidm   SOURCE_2_TARGET_vis.png      as PIDM's metrics.py takes names apart; flow-based methods before it too
adgan  SOURCE.jpg___TARGET_vis.jpg  ADGAN and what descends from PATN, with or without .jpg
to     SOURCE_to_TARGET.png         others

CFLD's test script scores images in memory and saves none: whoever saves them chooses one of these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mcld.data.deepfashion import parse_name
from mcld.errors import DataError
from mcld.evaluation.protocols import Row, read_pairs
from mcld.types import Exclusion

STAGE = "evaluate"
PAIRS_NAME = "pairs.json"
OWN_ROW: Row = "generated"  # of the rows in the folder of our stage `generate`, where none is named
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_NUM_EXAMPLES = 3
_SOURCE, _TARGET = "fashionWOMENDressesid0000069202_1front", "fashionWOMENDressesid0000069202_3back"
# The lookahead: `_2_` stands inside names as well, as in id_00000692-02_2_side.
_TWO_NAMES = re.compile(
    r"(?:deep)?(?P<source>(?:fashion)?(?:WO)?MEN.+?)(?:\.jpg)?(?P<separator>_2_|___|_to_)(?:deep)?"
    r"(?P<target>(?:fashion|MEN|WOMEN).+?)(?:\.jpg)?(?P<ending>_vis)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How the files of an image folder are named."""

    name: str
    example: str
    separator: str = ""
    endings: tuple[str, ...] = ("",)


CONVENTIONS = (
    Convention(name="mcld", separator="_2_", example=f"{_SOURCE}_2_{_TARGET}.png"),
    Convention(name="pidm", separator="_2_", endings=("_vis",), example=f"{_SOURCE}_2_{_TARGET}_vis.png"),
    Convention(
        name="adgan", separator="___", endings=("", "_vis"), example=f"{_SOURCE}.jpg___{_TARGET}_vis.jpg"
    ),
    Convention(name="to", separator="_to_", endings=("", "_vis"), example=f"{_SOURCE}_to_{_TARGET}.png"),
)
OWN = Convention(name="generate", example=f"{PAIRS_NAME} with {OWN_ROW}/000000.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderImage:
    """One picture and the image keys of its pair."""

    path: Path
    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """A folder whose naming is understood; `exclusions` are the pictures that are named otherwise."""

    convention: Convention
    images: tuple[FolderImage, ...]
    exclusions: tuple[Exclusion, ...] = ()


def find_images(folder: Path, *, height_px: int) -> Path:
    """Where in a folder the pictures lie: itself, its `256/` or `512/` of that height, or its only folder.

    Raises DataError when there are none.
    """
    if not folder.is_dir():
        what = "is a file; unpack it and give the folder" if folder.is_file() else "no such folder"
        raise DataError(f"{folder}: {what}")
    if _pictures(folder):
        return folder
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    wanted = [path for path in folders if path.name in (str(height_px), OWN_ROW)]
    if wanted or len(folders) == 1:
        return find_images((wanted or folders)[0], height_px=height_px)
    if folders:
        names = ", ".join(path.name for path in folders[:_NUM_EXAMPLES])
        raise DataError(
            f"{folder}: holds no images but {len(folders)} folders ({names}), none named {height_px}; "
            "give the one that holds the images"
        )
    raise DataError(f"{folder}: holds no images; give the folder of generated images")


def read_image_folder(directory: Path) -> ImageFolder:
    """Tell by the names which pair each picture shows.

    Raises DataError when no naming fits, with examples; when the pictures are named after single images, as
    the data set's own are; or when two show the same pair.
    """
    paths = _pictures(directory)
    if (directory.parent / PAIRS_NAME).is_file() and directory.name in get_args(Row):
        return _own_folder(directory, paths=paths)
    parsed = [(path, _parse(path.name)) for path in paths]
    counts = Counter(found[0].name for _, found in parsed if found)
    if not counts:
        raise DataError(_unknown_naming(directory, paths=paths))
    name = counts.most_common(1)[0][0]
    convention = next(convention for convention in CONVENTIONS if convention.name == name)
    images: list[FolderImage] = []
    exclusions: list[Exclusion] = []
    for path, found in parsed:
        if found and found[0] is convention:
            images.append(FolderImage(path=path, source=found[1], target=found[2]))
        else:
            reason = f"not named as the others are, {convention.example}"
            exclusions.append(Exclusion(key=path.name, reason=reason, stage=STAGE))
    _check_unique(images, directory=directory)
    return ImageFolder(convention=convention, images=tuple(images), exclusions=tuple(exclusions))


def _own_folder(directory: Path, *, paths: Sequence[Path]) -> ImageFolder:
    """A row that our stage `generate` made, here or elsewhere: numbered, with the pairs in a list beside."""
    pairs = {pair.id: pair for pair in read_pairs(directory.parent)}
    images = tuple(
        FolderImage(path=path, source=pairs[path.stem].source, target=pairs[path.stem].target)
        for path in paths
        if path.stem in pairs
    )
    exclusions = tuple(
        Exclusion(key=path.name, reason=f"not in {PAIRS_NAME}", stage=STAGE)
        for path in paths
        if path.stem not in pairs
    )
    _check_unique(images, directory=directory)
    return ImageFolder(convention=OWN, images=images, exclusions=exclusions)


def _pictures(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _parse(file_name: str) -> tuple[Convention, str, str] | None:
    """Convention, source key and target key; None when the name is not of two images."""
    found = _TWO_NAMES.fullmatch(file_name.rpartition(".")[0])
    if not found:
        return None
    try:
        source, target = parse_name(found["source"]).key, parse_name(found["target"]).key
    except DataError:
        return None
    ending = found["ending"] or ""
    for convention in CONVENTIONS:
        if convention.separator == found["separator"] and ending in convention.endings:
            return convention, source, target
    return None


def _unknown_naming(directory: Path, *, paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NUM_EXAMPLES])
    if any(_is_single(path.name) for path in paths):
        return (
            f"{directory}: its images ({names}) are named after one image each, as the data set's own are, "
            "not after pairs; give a folder of generated images, named e.g. " + CONVENTIONS[0].example
        )
    known = "; ".join(convention.example for convention in (*CONVENTIONS, OWN))
    return f"{directory}: cannot tell by the names ({names}) which pairs these are; known are: {known}"


def _is_single(file_name: str) -> bool:
    try:
        parse_name(file_name)
    except DataError:
        return False
    return True


def _check_unique(images: Iterable[FolderImage], *, directory: Path) -> None:
    seen: dict[tuple[str, str], str] = {}
    for image in images:
        other = seen.setdefault((image.source, image.target), image.path.name)
        if other != image.path.name:
            raise DataError(
                f"{directory}: {other} and {image.path.name} show the same pair; remove one of them"
            )
