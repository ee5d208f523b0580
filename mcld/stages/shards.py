"""Index and columns to shards: one sample an outfit; what a column lacks is dropped and counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from mcld import faults
from mcld.config import LatentsParams, Params, ShardsParams
from mcld.data.codec import decode_iuv, encode_pose
from mcld.data.columns import Column
from mcld.data.deepfashion import SPLITS
from mcld.data.index import DatasetIndex, group_outfits, read_index
from mcld.data.manifest import MANIFEST_NAME
from mcld.data.shards import (
    BLANK_NAME,
    CONDITION_MEMBERS,
    LATENT_MEMBERS,
    POSE_RESIZE,
    SAMPLES_NAME,
    index_shard,
    sample_members,
    write_samples,
)
from mcld.data.tar import write_tar
from mcld.errors import DataError
from mcld.framing import Framing
from mcld.stages.columns import images_dir, read_image_bytes, report_of
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.face import read_facts
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, run_parts
from mcld.storage import sha256_of_bytes, sha256_of_file, write_bytes
from mcld.types import ImageRecord, Outfit, Report
from mcld.workspace import Workspace

STAGE = "shards"
FORMAT_VERSION = 4  # 4: poses at the model's size; originals after all else
COLUMNS = ("densepose", "face", "texture", "latents")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutfit:
    """An outfit that goes into a shard; `pairs` are positions among its images."""

    outfit: Outfit
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    """What one shard holds."""

    split: str
    outfits: tuple[PlannedOutfit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWork(PartWork[PlannedShard]):
    """Joins the columns of a shard's outfits into one tar."""

    image_dir: Path
    columns: tuple[Column, ...]
    members: tuple[str, ...]  # of every view
    framing: Framing  # of poses

    def inputs(self, payload: PlannedShard) -> object:
        """Outfits, images, pairs, and the column parts they are read from."""
        parts = sorted({outfit.outfit.images[0].part for outfit in payload.outfits})
        outfits = [
            [
                [[image.key, image.sha256] for image in planned.outfit.images],
                [list(pair) for pair in planned.pairs],
            ]
            for planned in payload.outfits
        ]
        columns = [
            [column.manifest.stage, [column.record(part).sha256 for part in parts]] for column in self.columns
        ]
        return [payload.split, outfits, columns, asdict(self.framing)]

    def build(self, payload: PlannedShard, *, path: Path) -> PartOutput:
        """Write the shard."""
        write_tar(path, members=self._members(payload))
        counts = {
            f"images_{payload.split}": sum(len(planned.outfit.images) for planned in payload.outfits),
            f"pairs_{payload.split}": sum(len(planned.pairs) for planned in payload.outfits),
        }
        return PartOutput(num_items=len(payload.outfits), counts=counts)

    def _members(self, shard: PlannedShard) -> Iterator[tuple[str, bytes]]:
        held_part, items = -1, dict[str, dict[str, bytes]]()
        for planned in shard.outfits:
            part = planned.outfit.images[0].part
            if part != held_part:  # outfits are in part order, so each part is read once
                held_part, items = part, self._join(part)
            images = planned.outfit.images
            iuvs = {image.view: decode_iuv(items[image.key][IUV_MEMBER]) for image in images}
            views = {image.view: self._view(image, items=items, iuv=iuvs[image.view]) for image in images}
            yield from sample_members(
                planned.outfit.key,
                split=shard.split,
                views=views,
                members=self.members,
                face_found=[read_facts(view).face_found for view in views.values()],
                image_hw=[(iuv.shape[0], iuv.shape[1]) for iuv in iuvs.values()],
                pairs=planned.pairs,
            )

    def _join(self, part: int) -> dict[str, dict[str, bytes]]:
        """Members of every column, by image key."""
        joined: dict[str, dict[str, bytes]] = {}
        for column in self.columns:
            for key, members in column.read_part(part).items():
                joined.setdefault(key, {}).update(members)
        return joined

    def _view(
        self, image: ImageRecord, *, items: dict[str, dict[str, bytes]], iuv: np.ndarray
    ) -> dict[str, bytes]:
        return {
            "image.jpg": read_image_bytes(image, root_dir=self.image_dir),
            "pose.webp": encode_pose(self.framing.iuv(iuv, resize=POSE_RESIZE)),
            **items[image.key],
        }


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/shards: train-00000.tar…, test-00000.tar…, the table of samples and the manifest."""
    started = time.monotonic()
    out_dir = workspace.stage_dir(STAGE)
    index = read_index(workspace.stage_dir("dataset"))
    latents = Column.open(workspace.stage_dir("latents"))
    columns, view_members = _open_columns(latents, workspace=workspace)
    outfits, counts = plan_outfits(index, columns=columns)
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings=params.shards.model_dump(mode="json"),
        format_version=FORMAT_VERSION,
        plans=_plans(outfits, columns=columns, section=params.shards),
        work=ShardWork(
            image_dir=images_dir(params.dataset, workspace=workspace),
            columns=columns,
            members=view_members,
            framing=_framing_of(latents),
        ),
        mapper=mapper,
    )
    samples = [sample for record in manifest.parts for sample in index_shard(out_dir / record.path)]
    files = {SAMPLES_NAME: write_samples(out_dir, samples=samples), **_copy_blank(latents, out_dir=out_dir)}
    faults.passing(f"{STAGE}:samples_written")
    made_from = {
        stage: sha256_of_file(workspace.stage_dir(stage) / MANIFEST_NAME) for stage in ("dataset", *COLUMNS)
    }
    manifest = replace(
        manifest,
        settings={**manifest.settings, "latents": _settings_of(latents), "made_from": made_from},
        counts={**manifest.counts, **counts},
        files=files,
    )
    finish(manifest, out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def _open_columns(latents: Column, *, workspace: Workspace) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns that hold something, and what every view then has: latents may be left to be made later."""
    others = tuple(Column.open(workspace.stage_dir(stage)) for stage in COLUMNS if stage != "latents")
    if not _are_kept(latents):
        return others, CONDITION_MEMBERS
    return (*others, latents), CONDITION_MEMBERS + LATENT_MEMBERS


def _are_kept(latents: Column) -> bool:
    cache = latents.manifest.settings.get("cache")
    if not isinstance(cache, bool):
        raise DataError(
            f"{latents.directory / MANIFEST_NAME}: does not say whether latents are kept; "
            "run the stage 'latents' again"
        )
    return cache


def _settings_of(latents: Column) -> dict[str, object]:
    """The latents' settings alone, which whoever reads the shards goes by."""
    return {name: value for name, value in latents.manifest.settings.items() if name != "made_from"}


def _framing_of(latents: Column) -> Framing:
    """How pictures were brought to the model's size: poses go with them."""
    try:
        params = LatentsParams.model_validate(_settings_of(latents))
    except ValidationError as error:
        raise DataError(
            f"{latents.directory / MANIFEST_NAME}: its settings are not of this version; "
            "run the stage 'latents' again"
        ) from error
    return Framing(height_px=params.height_px, width_px=params.width_px, fit=params.fit)


def _copy_blank(latents: Column, *, out_dir: Path) -> dict[str, str]:
    """The blank image's embedding lies where the latents do; returns its sha256 by name."""
    if not _are_kept(latents):
        (out_dir / BLANK_NAME).unlink(missing_ok=True)
        return {}
    data = latents.read_file(BLANK_NAME)
    write_bytes(out_dir / BLANK_NAME, data=data)
    return {BLANK_NAME: sha256_of_bytes(data)}


def plan_outfits(
    index: DatasetIndex, *, columns: Sequence[Column]
) -> tuple[list[PlannedOutfit], dict[str, int]]:
    """Outfits with what every column can serve, in part order; and what was lost, counted by reason."""
    lost = _lost_images(columns)
    lost_pairs: Counter[str] = Counter()
    pairs_of: dict[str, list[tuple[str, str]]] = {}
    for pair in index.pairs:
        reasons = {lost[key] for key in (pair.source, pair.target) if key in lost}
        if reasons:
            lost_pairs[f"pairs_lost: {min(reasons)}"] += 1
        else:
            pairs_of.setdefault(pair.source.rpartition("/")[0], []).append((pair.source, pair.target))
    kept = group_outfits(image for image in index.images if image.key not in lost)
    planned = [_planned(outfit, pairs=pairs_of[outfit.key]) for outfit in kept if outfit.key in pairs_of]
    lost_images = Counter(f"images_lost: {lost[image.key]}" for image in index.images if image.key in lost)
    no_pairs = Counter({"outfits_without_pairs": len(kept) - len(planned)})
    return planned, dict(sorted({**lost_images, **lost_pairs, **no_pairs}.items()))


def _lost_images(columns: Sequence[Column]) -> dict[str, str]:
    """Key to `column: reason`, of the first column that leaves the image out."""
    lost: dict[str, str] = {}
    for column in columns:
        for key, reason in column.excluded().items():
            lost.setdefault(key, f"{column.manifest.stage}: {reason}")
    return lost


def _planned(outfit: Outfit, *, pairs: Iterable[tuple[str, str]]) -> PlannedOutfit:
    position = {image.key: number for number, image in enumerate(outfit.images)}
    return PlannedOutfit(
        outfit=outfit, pairs=tuple((position[source], position[target]) for source, target in pairs)
    )


def _plans(
    outfits: Sequence[PlannedOutfit], *, columns: Sequence[Column], section: ShardsParams
) -> list[PartPlan[PlannedShard]]:
    plans: list[PartPlan[PlannedShard]] = []
    for split in SPLITS:
        chosen = [planned for planned in outfits if planned.outfit.split == split]
        sizes = [_estimated_bytes(planned.outfit, columns=columns) for planned in chosen]
        min_shards = section.min_shards if split == "train" else min(1, len(chosen))
        for number, (start, end) in enumerate(
            cut(sizes, target_bytes=section.shard_bytes, min_shards=min_shards)
        ):
            shard = PlannedShard(split=split, outfits=tuple(chosen[start:end]))
            plans.append(PartPlan(index=len(plans), name=f"{split}-{number:05d}", payload=shard))
    return plans


def cut(sizes: Sequence[int], *, target_bytes: int, min_shards: int) -> list[tuple[int, int]]:
    """Cut consecutive outfits of the given sizes into shards of about equal bytes; returns (start, end)
    positions.

    Raises DataError when there are fewer outfits than shards asked for.
    """
    if len(sizes) < min_shards:
        raise DataError(
            f"{STAGE}: {len(sizes)} outfits with pairs cannot fill {min_shards} shards; "
            "lower shards.min_shards, or look at what was excluded"
        )
    total = sum(sizes)
    num_shards = min(len(sizes), max(min_shards, -(-total // target_bytes)))
    ends: list[int] = []
    filled = 0
    for position, size in enumerate(sizes, start=1):
        filled += size
        shards_left = num_shards - len(ends) - 1
        is_full = filled * num_shards >= total * (len(ends) + 1)
        if len(sizes) - position == shards_left or (is_full and len(sizes) - position > shards_left):
            ends.append(position)
        if len(ends) == num_shards:
            break
    return list(zip([0, *ends[:-1]], [*ends[:-1], len(sizes)], strict=True)) if ends else []


def _estimated_bytes(outfit: Outfit, *, columns: Sequence[Column]) -> int:
    """By the columns' averages in the outfit's part: near enough to cut by, and nothing need be read."""
    records = [column.record(outfit.images[0].part) for column in columns]
    per_view = sum(record.num_bytes // max(1, record.num_items) for record in records)
    return sum(image.num_bytes + per_view for image in outfit.images)
