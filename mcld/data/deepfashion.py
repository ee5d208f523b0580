"""DeepFashion In-shop's names: one image has three spellings, all parsed into one `ImageName`.

flattened  fashionWOMENBlouses_Shirtsid0000069202_3back.jpg   (lists, published conditions)
folder     img_highres/WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg   (the images)
key        WOMEN-Blouses_Shirts-id_00000692-02/3_back                   (ours)
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import DataError

IMAGE_FOLDER = "img_highres"
IMAGE_SUFFIX = ".jpg"
SPLITS = ("train", "test")
SPLIT_LISTS = {"train": ("train.lst",), "test": ("test.lst",)}
PAIR_LISTS = {  # "fasion" is the spelling in circulation
    "train": ("fasion-pairs-train.csv", "train.csv", "fashion-pairs-train.csv"),
    "test": ("fasion-pairs-test.csv", "test.csv", "fashion-pairs-test.csv"),
}

_SUFFIX = r"(?:\.(?i:jpg|jpeg|png|npy))?"
_FORMS = (
    re.compile(rf"fashion(MEN|WOMEN)([A-Za-z_]+?)id(\d{{8}})(\d{{2}})_(\d)([a-z]+){_SUFFIX}"),
    re.compile(
        rf"(?:img(?:_highres)?/)?(MEN|WOMEN)/([A-Za-z_]+)/id_(\d{{8}})/(\d{{2}})_(\d)_([a-z]+){_SUFFIX}"
    ),
    re.compile(r"(MEN|WOMEN)-([A-Za-z_]+)-id_(\d{8})-(\d{2})/(\d)_([a-z]+)"),
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageName:
    """What a DeepFashion name says. `identity` is 8 digits, `variant` 2, `view` like `3_back`."""

    gender: str
    category: str
    identity: str
    variant: str
    view: str

    @property
    def outfit_key(self) -> str:
        """`WOMEN-Dresses-id_00000692-02`."""
        return f"{self.gender}-{self.category}-id_{self.identity}-{self.variant}"

    @property
    def key(self) -> str:
        """`WOMEN-Dresses-id_00000692-02/3_back`."""
        return f"{self.outfit_key}/{self.view}"

    @property
    def flat(self) -> str:
        """The flattened spelling without a suffix."""
        view = self.view.replace("_", "", 1)
        return f"fashion{self.gender}{self.category}id{self.identity}{self.variant}_{view}"

    @property
    def path(self) -> str:
        """The image's place below the data set's folder."""
        folder = f"{IMAGE_FOLDER}/{self.gender}/{self.category}/id_{self.identity}"
        return f"{folder}/{self.variant}_{self.view}{IMAGE_SUFFIX}"


def parse_name(name: str) -> ImageName:
    """Parse any of the three spellings. Raises DataError naming what was given."""
    for form in _FORMS:
        if match := form.fullmatch(name):
            gender, category, identity, variant, number, view = match.groups()
            return ImageName(
                gender=gender, category=category, identity=identity, variant=variant, view=f"{number}_{view}"
            )
    raise DataError(
        f"'{name}': not a DeepFashion name; expected e.g. fashionWOMENDressesid0000069202_3back.jpg "
        f"or {IMAGE_FOLDER}/WOMEN/Dresses/id_00000692/02_3_back.jpg"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPair:
    """One row of a pair list, as image keys."""

    source: str
    target: str


def read_split_list(path: Path) -> tuple[ImageName, ...]:
    """Names of a `.lst` file, one a line. Raises DataError naming the line that is no name."""
    return tuple(
        _parse_at(line.strip(), place=f"{path}:{number}") for number, line in _lines(path) if line.strip()
    )


def read_pair_list(path: Path) -> tuple[ListedPair, ...]:
    """Rows of a pair CSV with the header `from,to`. Raises DataError naming the row that is not two names."""
    rows = csv.reader(io.StringIO(_text(path)))
    header = [cell.strip().lower() for cell in next(rows, [])]
    if header[-2:] != ["from", "to"]:
        raise DataError(f"{path}:1: header is {','.join(header) or 'missing'}; expected from,to")
    return tuple(
        _listed_pair(row, place=f"{path}:{number}") for number, row in enumerate(rows, start=2) if row
    )


def find_list(root_dir: Path, *, names: Iterable[str]) -> Path | None:
    """The first of `names` that lies in the data set's folder."""
    return next((root_dir / name for name in names if (root_dir / name).is_file()), None)


def check_names(names: Iterable[tuple[str, ImageName]]) -> None:
    """Check (split, name) entries as one data set.

    Raises DataError naming both when two entries are one image or differ by case alone, or when an outfit is
    in both splits.
    """
    seen: dict[str, tuple[str, str]] = {}
    split_of_outfit: dict[str, tuple[str, str]] = {}
    for split, name in names:
        folded = name.key.casefold()
        if folded in seen:
            raise DataError(_collision(name.key, split=split, earlier=seen[folded]))
        seen[folded] = (split, name.key)
        other_split, other_key = split_of_outfit.setdefault(name.outfit_key, (split, name.key))
        if other_split != split:
            raise DataError(
                f"outfit {name.outfit_key} is in both splits: {other_key} is listed for {other_split}, "
                f"{name.key} for {split}; a test outfit must not be trained on: remove it from one list"
            )


def _collision(key: str, *, split: str, earlier: tuple[str, str]) -> str:
    other_split, other_key = earlier
    if other_key != key:
        return f"{other_key} and {key} differ by case alone, which many disks cannot hold apart; rename one"
    return f"{key} is listed twice, for {other_split} and for {split}; remove one entry"


def _listed_pair(row: list[str], *, place: str) -> ListedPair:
    if len(row) < 2:
        raise DataError(f"{place}: '{','.join(row)}' is not two names; expected from,to")
    source, target = (_parse_at(cell.strip(), place=place) for cell in row[-2:])
    return ListedPair(source=source.key, target=target.key)


def _parse_at(name: str, *, place: str) -> ImageName:
    try:
        return parse_name(name)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    return enumerate(_text(path).splitlines(), start=1)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); give the list as published") from error
