"""The data-set sheet: what there is, by category, view and split, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcld.data.index import DatasetIndex
from mcld.evaluation.report import Table
from mcld.types import Exclusion, Manifest

SPLITS = ("train", "test")
MAX_EXAMPLES = 3
MAX_SIZES = 12
REASON = ": "  # in the name of a count: what is counted, and why
SHORT = 12  # characters of a hash that a person compares


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCounts:
    """What a data set holds. `categories`, `views` and `view_pairs` count by (name, split)."""

    categories: Counter[tuple[str, str]]
    views: Counter[tuple[str, str]]
    view_pairs: Counter[tuple[str, str]]
    sizes: Counter[str]  # images by `width × height`
    reasons: Counter[str]  # exclusions
    num_outfits: int
    num_images: int
    num_pairs: int
    num_bytes: int  # of the images as they came


def count_data(index: DatasetIndex) -> DataCounts:
    """Count images, pairs and exclusions."""
    view_of = {image.key: image.view for image in index.images}
    return DataCounts(
        categories=Counter((f"{i.gender} {i.category}", i.split) for i in index.images),
        views=Counter((i.view, i.split) for i in index.images),
        view_pairs=Counter(
            (f"{view_of.get(pair.source, '?')} → {view_of.get(pair.target, '?')}", pair.split)
            for pair in index.pairs
        ),
        sizes=Counter(f"{i.width_px} × {i.height_px}" for i in index.images),
        reasons=Counter(exclusion.reason for exclusion in index.exclusions),
        num_outfits=len(index.outfits()),
        num_images=len(index.images),
        num_pairs=len(index.pairs),
        num_bytes=sum(image.num_bytes for image in index.images),
    )


def data_sheet(index: DatasetIndex) -> tuple[Table, ...]:
    """Return the tables of a data set: images by category, images by view, pairs by view pair."""
    counts = count_data(index)
    return (
        _count_table("Images by category", counts=counts.categories, of="category"),
        _count_table("Images by view", counts=counts.views, of="view"),
        _count_table("Pairs by view pair", counts=counts.view_pairs, of="source → target"),
    )


def size_table(counts: DataCounts) -> Table:
    """Return how many images have which size, the commonest first."""
    rows = [(size, str(count)) for size, count in counts.sizes.most_common(MAX_SIZES)]
    if len(counts.sizes) > MAX_SIZES:
        others = counts.sizes.total() - sum(count for _, count in counts.sizes.most_common(MAX_SIZES))
        rows.append((f"{len(counts.sizes) - MAX_SIZES} other sizes", str(others)))
    return Table(title="Image sizes", header=("width × height in pixels", "images"), rows=tuple(rows))


def origin_rows(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """Return where the images came from, and how they were looked at, as the dataset stage recorded it."""
    names = ("source", "images", "lists", "pair_lists", "remarks", "check", "min_side_px")
    return tuple(
        (name.replace("_", " "), str(manifest.settings[name])) for name in names if name in manifest.settings
    )


def stage_table(manifests: Mapping[str, Manifest], *, versions: Mapping[str, str]) -> Table:
    """Return what every stage kept, left out and counted, and the hash of its data, cut."""
    rows = [
        (
            stage,
            str(manifest.num_items),
            str(len(manifest.exclusions)),
            versions[stage][:SHORT],
            ", ".join(
                f"{name.replace('_', ' ')} {count:,}"
                for name, count in sorted(manifest.counts.items())
                if REASON not in name
            )
            or "–",
        )
        for stage, manifest in manifests.items()
    ]
    return Table(
        title="By stage", header=("stage", "kept", "left out", "data version", "counted"), rows=tuple(rows)
    )


def lost_table(manifests: Mapping[str, Manifest]) -> Table:
    """Return what was lost with an image or dropped for another reason: pairs above all."""
    rows = [
        (stage, *(part.replace("_", " ") for part in name.split(REASON, 1)), f"{count:,}")
        for stage, manifest in manifests.items()
        for name, count in sorted(manifest.counts.items())
        if REASON in name and count
    ]
    return Table(
        title="What was lost with them", header=("stage", "what", "because of", "how many"), rows=tuple(rows)
    )


def exclusion_table(exclusions: Iterable[Exclusion]) -> Table:
    """Return what was left out, by stage and reason, with examples."""
    keys: dict[tuple[str, str], list[str]] = {}
    for exclusion in exclusions:
        keys.setdefault((exclusion.stage, exclusion.reason), []).append(exclusion.key)
    rows = [
        (
            stage,
            reason,
            str(len(found)),
            ", ".join(found[:MAX_EXAMPLES]) + (", …" if len(found) > MAX_EXAMPLES else ""),
        )
        for (stage, reason), found in keys.items()
    ]
    return Table(title="Left out", header=("stage", "reason", "images", "which"), rows=tuple(rows))


def _count_table(title: str, *, counts: Counter[tuple[str, str]], of: str) -> Table:
    names = sorted({name for name, _ in counts})
    rows = [
        (name, *(str(counts[name, split]) for split in SPLITS), str(_total(counts, name=name)))
        for name in names
    ]
    totals = (
        "all",
        *(str(sum(n for (_, s), n in counts.items() if s == split)) for split in SPLITS),
        str(counts.total()),
    )
    return Table(title=title, header=(of, *SPLITS, "all"), rows=(*rows, totals))


def _total(counts: Counter[tuple[str, str]], *, name: str) -> int:
    return sum(counts[name, split] for split in SPLITS)
