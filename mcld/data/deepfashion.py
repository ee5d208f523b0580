"""DeepFashion In-shop's names: one image has several spellings, all parsed into one `ImageName`.

flattened  fashionWOMENBlouses_Shirtsid0000069202_3back.jpg   (lists, published conditions)
folder     img_highres/WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg   (the images; also img/…, or neither)
key        WOMEN-Blouses_Shirts-id_00000692-02/3_back                   (ours; with _ for / in other lists)
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

_SUFFIX = r"(?:\.(?i:jpg|jpeg|png|npy))?"
_FORMS = (
    re.compile(rf"fashion(MEN|WOMEN)([A-Za-z_]+?)id(\d{{8}})(\d{{2}})_(\d)([a-z]+){_SUFFIX}"),
    re.compile(
        rf"(?:img(?:_highres)?/)?(MEN|WOMEN)/([A-Za-z_]+)/id_(\d{{8}})/(\d{{2}})_(\d)_([a-z]+){_SUFFIX}"
    ),
    re.compile(rf"(MEN|WOMEN)-([A-Za-z_]+)-id_(\d{{8}})-(\d{{2}})[/_](\d)_([a-z]+){_SUFFIX}"),
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
    """Parse any of the spellings. Raises DataError naming what was given."""
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
    lines = enumerate(read_text(path).splitlines(), start=1)
    return tuple(
        parse_name_at(line.strip(), place=f"{path}:{number}") for number, line in lines if line.strip()
    )


def read_pair_list(path: Path) -> tuple[ListedPair, ...]:
    """Rows of a pair list with the header `from,to`, or of one without a header.

    Raises DataError naming the row that is not two names.
    """
    try:
        numbered = list(enumerate(csv.reader(io.StringIO(read_text(path))), start=1))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); give the list as published") from error
    rows = [(number, row if len(row) > 1 else row[0].split()) for number, row in numbered if row]
    first = rows[0][1] if rows else []
    if [cell.strip().lower() for cell in first[-2:]] == ["from", "to"]:
        rows = rows[1:]
    elif not _is_two_names(first):
        raise DataError(f"{path}:1: header is {','.join(first) or 'missing'}; expected from,to or two names")
    return tuple(_listed_pair(row, place=f"{path}:{number}") for number, row in rows)


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


def _is_two_names(row: list[str]) -> bool:
    try:
        _listed_pair(row, place="")
    except DataError:
        return False
    return True


def _listed_pair(row: list[str], *, place: str) -> ListedPair:
    if len(row) < 2:
        raise DataError(f"{place}: '{','.join(row)}' is not two names; expected from,to")
    source, target = (parse_name_at(cell.strip(), place=place) for cell in row[-2:])
    return ListedPair(source=source.key, target=target.key)


def parse_name_at(name: str, *, place: str) -> ImageName:
    """Parse a name of a list; a DataError says `place`."""
    try:
        return parse_name(name)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def read_text(path: Path) -> str:
    """A list's text. Raises DataError when it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")  # a mark in front, as some editors set it, is no name
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); give the list as published") from error
