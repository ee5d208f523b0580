"""Raw images to the index: every image, its outfit, view and split; the pairs; the exclusions with reasons.

Parts are chunks of outfits.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from mcld import faults
from mcld.config import DatasetParams, Params
from mcld.data.deepfashion_layout import ImagePlace, find_images
from mcld.data.index import DatasetIndex, all_view_pairs, group_outfits, write_index
from mcld.data.pairs import resolve_pairs
from mcld.data.scan import FILE_NOT_FOUND, STAGE, ScanRules
from mcld.data.zip_images import ZipMember, check_password, list_images
from mcld.errors import DataError
from mcld.stages.columns import IMAGES_SETTING, PEOPLE_FOLDER, report_of
from mcld.stages.dataset_parts import (
    TAR_SUFFIX,
    DatasetPart,
    DatasetWork,
    FolderImages,
    RenderedPeople,
    StoredPart,
    ZippedImages,
    read_part,
    required_password,
)
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartPlan, finish, part_name, run_parts
from mcld.stages.raw import RawLists, Rendering, SplitName, list_deepfashion
from mcld.types import Exclusion, ImageRecord, Manifest, Pair, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 2
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the images come from, ready to be worked on.

    `settings` are what shapes a part's bytes; which outfits it holds is among its inputs. `sources` say which
    files were used: they go into the manifest, and change no part.
    """

    plans: list[PartPlan[DatasetPart]]
    work: DatasetWork
    settings: dict[str, object]
    sources: dict[str, str]
    lists: RawLists | None = None


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/dataset: the index, and the images where they are rendered or come out of a zip."""
    started = time.monotonic()
    section = params.dataset
    out_dir = workspace.stage_dir(STAGE)
    if section.source == "deepfashion":
        assert section.root_dir is not None  # checked by DatasetParams
        origin = _deepfashion(section, root_dir=workspace.root / section.root_dir, out_dir=out_dir)
    else:
        origin = _mannequins(section, out_dir=out_dir)
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings=origin.settings,
        format_version=FORMAT_VERSION,
        plans=origin.plans,
        work=origin.work,
        mapper=mapper,
        max_excluded_fraction=section.max_excluded_fraction,
    )
    parts = [read_part(out_dir / record.path) for record in manifest.parts]
    _remove_unlisted(out_dir, listed={origin.work.files_dir / file for part in parts for file in part.files})
    index, counts = _index(parts, manifest=manifest, lists=origin.lists, section=section)
    files = write_index(out_dir, index=index)
    faults.passing(f"{STAGE}:index_written")
    manifest = replace(
        manifest,
        settings={**manifest.settings, **origin.sources},
        counts={**manifest.counts, **counts},
        files=files,
    )
    finish(manifest, out_dir=out_dir)
    report = report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)
    return replace(report, details={**report.details, **origin.sources})


def _mannequins(section: DatasetParams, *, out_dir: Path) -> Origin:
    from mcld.data.mannequins import split_of

    people = [
        (split_of(number, num_outfits=section.num_outfits, num_test_outfits=section.num_test_outfits), number)
        for number in range(section.num_outfits)
    ]
    chunks = _chunks(people, size=section.outfits_per_part)
    rendering = Rendering(
        seed=section.seed,
        height_px=section.height_px,
        width_px=section.width_px,
        damaged_items=section.damaged_items,
    )
    rules = _rules(section)
    return Origin(
        plans=_plans([DatasetPart(index=index, people=tuple(chunk)) for index, chunk in enumerate(chunks)]),
        work=RenderedPeople(files_dir=out_dir / PEOPLE_FOLDER, rules=rules, rendering=rendering),
        settings={"source": section.source, **asdict(rendering), **asdict(rules)},
        sources={},
    )


def _deepfashion(section: DatasetParams, *, root_dir: Path, out_dir: Path) -> Origin:
    place = find_images(root_dir)
    lists = list_deepfashion(root_dir, pairs=section.pairs)
    rules = _rules(section)
    parts = _listed_parts(lists, outfits_per_part=section.outfits_per_part)
    work: DatasetWork = FolderImages(files_dir=place.path.parent, rules=rules)
    if place.is_zip:
        members = _listed_members(place.path, names=lists.names)
        parts = [
            replace(part, members=tuple(members.get(name.path) for _, name in part.names)) for part in parts
        ]
        work = ZippedImages(files_dir=out_dir, rules=rules, zip_path=place.path)
    return Origin(
        plans=_plans(parts),
        work=work,
        settings={"source": section.source, "is_zip": place.is_zip, **asdict(rules)},
        sources=_sources(lists, place=place, root_dir=root_dir),
        lists=lists,
    )


def _listed_parts(lists: RawLists, *, outfits_per_part: int) -> list[DatasetPart]:
    return [
        DatasetPart(index=index, names=tuple(name for outfit in chunk for name in outfit))
        for index, chunk in enumerate(_chunks(lists.outfits(), size=outfits_per_part))
    ]


def _listed_members(zip_path: Path, *, names: Sequence[SplitName]) -> dict[str, ZipMember]:
    """The zip's members that the lists name. Raises unless they can be opened: before any part is begun."""
    members = list_images(zip_path)
    listed = {name.path: members[name.path] for _, name in names if name.path in members}
    if any(member.is_encrypted for member in listed.values()):
        check_password(zip_path, members=listed.values(), password=required_password(zip_path))
    return listed


def _sources(lists: RawLists, *, place: ImagePlace, root_dir: Path) -> dict[str, str]:
    """Which files of a copy are used, below its folder, and what is passed over."""
    images = place.path.relative_to(root_dir).as_posix()
    remarks = list(lists.remarks)
    if place.passed_over:
        passed_over = place.passed_over.relative_to(root_dir).as_posix()
        remarks.insert(0, f"{passed_over} is not read, for there is {images}")
    for remark in remarks:
        logger.warning("%s: %s: %s", STAGE, root_dir, remark)
    sources = {IMAGES_SETTING: images, "lists": ", ".join(lists.used)}
    if lists.pairs:
        sources["pair_lists"] = ", ".join(listing.name for listing in lists.pairs)
    return sources | ({"remarks": "; ".join(remarks)} if remarks else {})


def _rules(section: DatasetParams) -> ScanRules:
    return ScanRules(check=section.check, min_side_px=section.min_side_px)


def _plans(parts: Sequence[DatasetPart]) -> list[PartPlan[DatasetPart]]:
    return [PartPlan(index=part.index, name=part_name(part.index), payload=part) for part in parts]


def _index(
    parts: Sequence[StoredPart], *, manifest: Manifest, lists: RawLists | None, section: DatasetParams
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


def _remove_unlisted(out_dir: Path, *, listed: set[Path]) -> None:
    """Files of images that are no longer asked for would be taken for inputs by later stages."""
    for path in [*(out_dir / PEOPLE_FOLDER).rglob("*"), *out_dir.glob(f"*{TAR_SUFFIX}")]:
        if path.is_file() and path not in listed:
            path.unlink()


def _chunks(items: Sequence[T], *, size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
