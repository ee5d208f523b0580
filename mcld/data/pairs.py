"""From listed pairs to pairs of indexed images: what may be dropped is counted, the rest is an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from mcld.data.deepfashion import ListedPair
from mcld.errors import DataError
from mcld.types import ImageRecord, Pair

_NUM_EXAMPLES = 5


def resolve_pairs(
    listed: Iterable[ListedPair],
    *,
    split: str,
    place: str,
    images: Mapping[str, ImageRecord],
    excluded_keys: set[str],
    missing: Literal["error", "drop"],
) -> tuple[tuple[Pair, ...], dict[str, int]]:
    """Pairs whose two images are indexed, and counts of those dropped.

    A pair of an excluded image is dropped, and one listed twice is kept once; both are counted. A pair that
    names an image which is not there at all is dropped when `missing` is "drop", otherwise all of them are
    one DataError.
    """
    counts: Counter[str] = Counter()
    absent: list[str] = []
    kept: dict[tuple[str, str], Pair] = {}
    for pair in listed:
        lost = [key for key in (pair.source, pair.target) if key not in images]
        absent_here = [key for key in lost if key not in excluded_keys]
        absent += absent_here
        if lost:
            counts["pairs_naming_missing_images" if absent_here else "pairs_of_excluded_images"] += 1
        elif (pair.source, pair.target) in kept:
            counts["pairs_listed_twice"] += 1
        else:
            kept[pair.source, pair.target] = _checked(pair, split=split, place=place, images=images)
    if absent and missing == "error":
        raise DataError(_missing_message(absent, place=place))
    return tuple(kept.values()), dict(counts)


def _checked(pair: ListedPair, *, split: str, place: str, images: Mapping[str, ImageRecord]) -> Pair:
    source, target = images[pair.source], images[pair.target]
    if source.outfit_key != target.outfit_key:
        raise DataError(
            f"{place}: {pair.source} and {pair.target} are of two outfits; a pair is of one: remove it"
        )
    if (source.split, target.split) != (split, split):
        raise DataError(
            f"{place}: {pair.source} and {pair.target} are of split {source.split}; move the pair there"
        )
    return Pair(source=pair.source, target=pair.target, split=split)


def _missing_message(absent: list[str], *, place: str) -> str:
    distinct = list(dict.fromkeys(absent))
    examples = ", ".join(distinct[:_NUM_EXAMPLES])
    more = f" and {len(distinct) - _NUM_EXAMPLES} more" if len(distinct) > _NUM_EXAMPLES else ""
    return (
        f"{place}: pairs name {len(distinct)} images that are not there: {examples}{more}; "
        "restore them, or set dataset.missing_pair_images: drop"
    )
