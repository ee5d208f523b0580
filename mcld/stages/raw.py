"""The two origins of raw images: DeepFashion's lists, and people rendered on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcld.data.deepfashion import (
    SPLITS,
    ImageName,
    ListedPair,
    check_names,
    parse_name,
    read_pair_list,
    read_split_list,
)
from mcld.data.deepfashion_layout import EVAL_PARTITION, PAIR_LISTS, SPLIT_LISTS, find_list
from mcld.data.eval_partition import read_eval_partition
from mcld.errors import DataError
from mcld.storage import sha256_of_bytes

SplitName = tuple[str, ImageName]
# One of each kind in every fifty outfits: enough to see exclusions at work, too few to matter.
_DAMAGE_EVERY = 50
_DAMAGE_AT = {3: "truncated", 4: "blank", 5: "no_face_file_nan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairListing:
    """One pair list: its name below the data set's folder, and what messages call it."""

    split: str
    name: str
    place: str
    pairs: tuple[ListedPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLists:
    """What a data set's lists say, checked: names are unique and splits disjoint.

    `used` are the split lists that were read, below the data set's folder; `remarks` say what is missing or
    was passed over.
    """

    names: tuple[SplitName, ...]
    used: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    pairs: tuple[PairListing, ...] = ()

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
    """Read the lists of an In-shop copy: its `.lst` files, or else the official list; and its pair lists.

    Raises DataError when lists are missing or contradict each other.
    """
    lists = _split_lists(root_dir) or _official_list(root_dir)
    if lists is None or not lists.names:
        known = ", ".join(name for split in SPLITS for name in SPLIT_LISTS[split])
        raise DataError(f"{root_dir}: no split list; put {known} there, or {EVAL_PARTITION}, as published")
    check_names(lists.names)
    if pairs != "csv":
        return lists
    splits = sorted({split for split, _ in lists.names})
    return replace(lists, pairs=tuple(_pair_listing(root_dir, split=split) for split in splits))


def _split_lists(root_dir: Path) -> RawLists | None:
    found = {split: find_list(root_dir, names=SPLIT_LISTS[split]) for split in SPLITS}
    paths = {split: path for split, path in found.items() if path}
    if not paths:
        return None
    used = tuple(path.relative_to(root_dir).as_posix() for path in paths.values())
    remarks = [f"no {split}.lst: there are no {split} images" for split in SPLITS if split not in paths]
    if official := find_list(root_dir, names=[EVAL_PARTITION]):
        remarks.append(f"{official.relative_to(root_dir).as_posix()} is not read, for there is {used[0]}")
    names = tuple((split, name) for split, path in paths.items() for name in read_split_list(path))
    return RawLists(names=names, used=used, remarks=tuple(remarks))


def _official_list(root_dir: Path) -> RawLists | None:
    path = find_list(root_dir, names=[EVAL_PARTITION])
    if path is None:
        return None
    return RawLists(names=read_eval_partition(path), used=(path.relative_to(root_dir).as_posix(),))


def _pair_listing(root_dir: Path, *, split: str) -> PairListing:
    path = find_list(root_dir, names=PAIR_LISTS[split])
    if path is None:
        raise DataError(
            f"{root_dir}: no {split} pair list; put {PAIR_LISTS[split][0]} there, under that name or another "
            "in circulation, or set dataset.pairs: all-views"
        )
    return PairListing(
        split=split,
        name=path.relative_to(root_dir).as_posix(),
        place=str(path),
        pairs=read_pair_list(path),
    )


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
