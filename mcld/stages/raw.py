"""The two origins of raw images: DeepFashion's lists, and people rendered on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.data.deepfashion import (
    IMAGE_FOLDER,
    PAIR_LISTS,
    SPLIT_LISTS,
    SPLITS,
    ImageName,
    ListedPair,
    check_names,
    find_list,
    parse_name,
    read_pair_list,
    read_split_list,
)
from mcld.errors import DataError
from mcld.storage import sha256_of_bytes

SplitName = tuple[str, ImageName]
# One of each kind in every fifty outfits: enough to see exclusions at work, too few to matter.
_DAMAGE_EVERY = 50
_DAMAGE_AT = {3: "truncated", 4: "blank", 5: "no_face_file_nan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairListing:
    """One pair list; `place` is what messages call it."""

    split: str
    place: str
    pairs: tuple[ListedPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLists:
    """What a data set's lists say, checked: names are unique and splits disjoint."""

    names: tuple[SplitName, ...]
    pairs: tuple[PairListing, ...]

    def outfits(self) -> list[list[SplitName]]:
        """Names grouped by outfit, outfits in a fixed scrambled order.

        In name order neighbours are all of one category, and a training batch is drawn from neighbours.
        """
        groups: dict[str, list[SplitName]] = {}
        for split, name in self.names:
            groups.setdefault(name.outfit_key, []).append((split, name))
        return [groups[key] for key in sorted(groups, key=lambda key: sha256_of_bytes(key.encode()))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """All that shapes the embedded people's pictures."""

    seed: int
    height_px: int
    width_px: int
    damaged_items: bool


def list_deepfashion(root_dir: Path, *, pairs: str) -> RawLists:
    """Read the lists of an In-shop copy.

    Raises DataError when folder or lists are missing or contradict each other.
    """
    if not (root_dir / IMAGE_FOLDER).is_dir():
        raise DataError(
            f"{root_dir / IMAGE_FOLDER}: no such folder; "
            f"set dataset.root_dir to the folder that holds {IMAGE_FOLDER}/"
        )
    names = tuple((split, name) for split in SPLITS for name in _split_names(root_dir, split=split))
    if not names:
        known = ", ".join(name for split in SPLITS for name in SPLIT_LISTS[split])
        raise DataError(f"{root_dir}: no split list; put {known} there, as published")
    check_names(names)
    if pairs != "csv":
        return RawLists(names=names, pairs=())
    splits = sorted({split for split, _ in names})
    return RawLists(names=names, pairs=tuple(_pair_listing(root_dir, split=split) for split in splits))


def _split_names(root_dir: Path, *, split: str) -> tuple[ImageName, ...]:
    path = find_list(root_dir, names=SPLIT_LISTS[split])
    return read_split_list(path) if path else ()


def _pair_listing(root_dir: Path, *, split: str) -> PairListing:
    path = find_list(root_dir, names=PAIR_LISTS[split])
    if path is None:
        known = " or ".join(PAIR_LISTS[split])
        raise DataError(
            f"{root_dir}: no {split} pair list; put {known} there, or set dataset.pairs: all-views"
        )
    return PairListing(split=split, place=str(path), pairs=read_pair_list(path))


def render_outfits(
    people: Sequence[tuple[str, int]], *, root_dir: Path, rendering: Rendering
) -> tuple[tuple[SplitName, ...], list[str]]:
    """Render people given as (split, number); returns the images' names and the paths written."""
    names: list[SplitName] = []
    files: list[str] = []
    for split, number in people:
        try:
            views, written = _render_outfit(number, split=split, root_dir=root_dir, rendering=rendering)
        except OSError as error:
            raise DataError(
                f"{root_dir}: cannot be written ({error.strerror or error}); free some space or fix "
                "permissions, then repeat the command"
            ) from error
        names += [(split, name) for name in views]
        files += written
    return tuple(names), files


def _render_outfit(
    number: int, *, split: str, root_dir: Path, rendering: Rendering
) -> tuple[list[ImageName], list[str]]:
    from mcld.data.mannequins import damage, sample_mannequin, view_files, write_outfit

    mannequin = sample_mannequin(rendering.seed, index=number)
    views = [view_files(mannequin, view=view, split=split) for view in mannequin.views]
    for files in views:  # a view without a face writes no face file: one of an earlier run must not stay
        (root_dir / files.face_path).unlink(missing_ok=True)
    written = set(
        write_outfit(
            root_dir,
            mannequin=mannequin,
            split=split,
            height_px=rendering.height_px,
            width_px=rendering.width_px,
        )
    )
    kind = _DAMAGE_AT.get(number % _DAMAGE_EVERY) if rendering.damaged_items else None
    if kind:
        written.add(damage(root_dir, mannequin=mannequin, split=split, kind=kind))
    return [parse_name(files.flat_name) for files in views], [
        path.relative_to(root_dir).as_posix() for path in written
    ]
