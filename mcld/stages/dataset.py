"""Raw images to the index: every image, its outfit, view and split; the pairs; the exclusions with reasons.

Parts are chunks of outfits. A part's file `part-00007.images.json` lists its images, and, for the embedded
people, the sha256 of every file rendered, so that a repeated run trusts no file for being there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from mcld import faults
from mcld.config import DatasetParams, Params
from mcld.data.deepfashion import ImageName
from mcld.data.index import DatasetIndex, all_view_pairs, group_outfits, write_index
from mcld.data.pairs import resolve_pairs
from mcld.data.scan import FILE_NOT_FOUND, STAGE, ScannedImage, check_siblings, scan_image
from mcld.errors import DataError
from mcld.stages.columns import images_dir, report_of
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.stages.raw import RawLists, Rendering, list_deepfashion, render_outfits
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.types import Exclusion, ImageRecord, Manifest, Pair, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPart:
    """Either listed images, as (split, name), or numbers of people to render, as (split, number)."""

    index: int
    names: tuple[tuple[str, ImageName], ...] = ()
    people: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetWork(PartWork[DatasetPart]):
    """Renders a part's people if they are ours, then looks at every image."""

    root_dir: Path
    rendering: Rendering | None

    suffix = ".images.json"

    def inputs(self, payload: DatasetPart) -> object:
        """The people's numbers, or every listed file's hash."""
        if self.rendering:
            return [list(person) for person in payload.people]
        return [[split, name.key, self._hash(name.path)] for split, name in payload.names]

    def build(self, payload: DatasetPart, *, path: Path) -> PartOutput:
        """Scan the part's images, in key order."""
        names, files = payload.names, list[str]()
        if self.rendering:
            names, files = render_outfits(payload.people, root_dir=self.root_dir, rendering=self.rendering)
        for folder in sorted({(self.root_dir / name.path).parent for _, name in names}):
            check_siblings(folder)
        ordered = sorted(names, key=lambda entry: entry[1].key)
        scanned = [
            scan_image(name, root_dir=self.root_dir, split=split, part=payload.index)
            for split, name in ordered
        ]
        images = [image.record for image in scanned if image.record]
        hashes = {file: sha256_of_file(self.root_dir / file) for file in sorted(files)}
        write_json(path, value={"images": [asdict(image) for image in images], "files": hashes})
        exclusions = tuple(image.exclusion for image in scanned if image.exclusion)
        return PartOutput(num_items=len(images), exclusions=exclusions, counts=_notes(scanned))

    def is_intact(self, path: Path) -> bool:
        """Whether every rendered file is still the one written."""
        return all(self._hash(file) == sha256 for file, sha256 in _read_part(path).files.items())

    def _hash(self, relative_path: str) -> str:
        file = self.root_dir / relative_path
        return sha256_of_file(file) if file.is_file() else "missing"


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/dataset: the index, and the embedded people where they are the source."""
    started = time.monotonic()
    section = params.dataset
    out_dir = workspace.stage_dir(STAGE)
    root_dir = images_dir(section, workspace=workspace)
    lists = list_deepfashion(root_dir, pairs=section.pairs) if section.source == "deepfashion" else None
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings=_settings(section),
        format_version=FORMAT_VERSION,
        plans=_plans(section, lists=lists),
        work=DatasetWork(root_dir=root_dir, rendering=None if lists else _rendering(section)),
        mapper=mapper,
        max_excluded_fraction=section.max_excluded_fraction,
    )
    parts = [_read_part(out_dir / record.path) for record in manifest.parts]
    if lists is None:
        _remove_unlisted(root_dir, listed={file for part in parts for file in part.files})
    index, counts = _index(parts, manifest=manifest, lists=lists, section=section)
    files = write_index(out_dir, index=index)
    faults.passing(f"{STAGE}:index_written")
    manifest = replace(manifest, counts={**manifest.counts, **counts}, files=files)
    finish(manifest, out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def _settings(section: DatasetParams) -> dict[str, object]:
    """What shapes a part's bytes; which outfits it holds is among its inputs."""
    if section.source == "deepfashion":
        return {"source": section.source}
    return {"source": section.source, **asdict(_rendering(section))}


def _rendering(section: DatasetParams) -> Rendering:
    return Rendering(
        seed=section.seed,
        height_px=section.height_px,
        width_px=section.width_px,
        damaged_items=section.damaged_items,
    )


def _plans(section: DatasetParams, *, lists: RawLists | None) -> list[PartPlan[DatasetPart]]:
    if lists is None:
        return _mannequin_plans(section)
    groups = lists.outfits()
    return [
        _plan(DatasetPart(index=index, names=tuple(name for group in chunk for name in group)))
        for index, chunk in enumerate(_chunks(groups, size=section.outfits_per_part))
    ]


def _mannequin_plans(section: DatasetParams) -> list[PartPlan[DatasetPart]]:
    from mcld.data.mannequins import split_of

    people = [
        (split_of(number, num_outfits=section.num_outfits, num_test_outfits=section.num_test_outfits), number)
        for number in range(section.num_outfits)
    ]
    chunks = _chunks(people, size=section.outfits_per_part)
    return [_plan(DatasetPart(index=index, people=tuple(chunk))) for index, chunk in enumerate(chunks)]


def _plan(part: DatasetPart) -> PartPlan[DatasetPart]:
    return PartPlan(index=part.index, name=part_name(part.index), payload=part)


def _index(
    parts: Sequence[_Part], *, manifest: Manifest, lists: RawLists | None, section: DatasetParams
) -> tuple[DatasetIndex, dict[str, int]]:
    images = tuple(image for part in parts for image in part.images)
    if not images:
        raise DataError(f"{STAGE}: no usable image; look at the exclusions in artifacts/dataset/part-*.json")
    outfits = group_outfits(images)
    pairs, dropped = all_view_pairs(outfits), dict[str, int]()
    if section.pairs == "csv":
        assert lists is not None  # checked by DatasetParams
        pairs, dropped = _listed_pairs(lists, images=images, exclusions=manifest.exclusions, section=section)
    sizes = Counter(f"images_{image.split}" for image in images) + Counter(
        f"outfits_{outfit.split}" for outfit in outfits
    )
    sizes.update(f"pairs_{pair.split}" for pair in pairs)
    counts = dict(sorted({**sizes, **dropped}.items()))
    return DatasetIndex(images=images, pairs=pairs, exclusions=manifest.exclusions), counts


def _listed_pairs(
    lists: RawLists, *, images: Sequence[ImageRecord], exclusions: Sequence[Exclusion], section: DatasetParams
) -> tuple[tuple[Pair, ...], dict[str, int]]:
    by_key = {image.key: image for image in images}
    excluded = {exclusion.key for exclusion in exclusions if exclusion.reason != FILE_NOT_FOUND}
    pairs: list[Pair] = []
    dropped: Counter[str] = Counter()
    for listing in lists.pairs:
        kept, counts = resolve_pairs(
            listing.pairs,
            split=listing.split,
            place=listing.place,
            images=by_key,
            excluded_keys=excluded,
            missing=section.missing_pair_images,
        )
        pairs += kept
        dropped.update(counts)
    return tuple(pairs), dict(dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A part's file, read back."""

    images: tuple[ImageRecord, ...]
    files: dict[str, str]


def _read_part(path: Path) -> _Part:
    value = cast("dict[str, object]", read_json(path))
    try:
        images = cast("list[dict[str, object]]", value["images"])
        records = tuple(ImageRecord(**image) for image in images)  # type: ignore[arg-type]
        return _Part(images=records, files=cast("dict[str, str]", value["files"]))
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a part of this version ({error}); delete it and run the stage again"
        ) from error


def _notes(scanned: Sequence[ScannedImage]) -> dict[str, int]:
    """How many images were converted, by what they were."""
    return dict(sorted(Counter(f"converted_{note}" for image in scanned for note in image.notes).items()))


def _remove_unlisted(root_dir: Path, *, listed: set[str]) -> None:
    """Files of people that are no longer asked for would be taken for inputs by later stages."""
    for path in root_dir.rglob("*"):
        if path.is_file() and path.relative_to(root_dir).as_posix() not in listed:
            path.unlink()


def _chunks(items: Sequence[T], *, size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
