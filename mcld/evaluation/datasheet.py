"""The data-set sheet: what there is, by category, view and split, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from mcld.data.index import DatasetIndex
from mcld.evaluation.report import Table
from mcld.types import Exclusion, Manifest

SPLITS = ("train", "test")
MAX_EXAMPLES = 3


def data_sheet(index: DatasetIndex) -> tuple[Table, ...]:
    """Return the tables of a data set: images by category, images by view, pairs by view pair."""
    view_of = {image.key: image.view for image in index.images}
    pairs = Counter(
        (f"{view_of.get(pair.source, '?')} → {view_of.get(pair.target, '?')}", pair.split)
        for pair in index.pairs
    )
    return (
        _count_table(
            "Images by category",
            counts=Counter((f"{i.gender} {i.category}", i.split) for i in index.images),
            of="category",
        ),
        _count_table("Images by view", counts=Counter((i.view, i.split) for i in index.images), of="view"),
        _count_table("Pairs by view pair", counts=pairs, of="source → target"),
    )


def stage_table(manifests: Mapping[str, Manifest]) -> Table:
    """Return what every stage kept, left out and counted."""
    rows = [
        (
            stage,
            str(manifest.num_items),
            str(len(manifest.exclusions)),
            ", ".join(
                f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(manifest.counts.items())
            )
            or "–",
        )
        for stage, manifest in manifests.items()
    ]
    return Table(title="By stage", header=("stage", "kept", "left out", "counted"), rows=tuple(rows))


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
