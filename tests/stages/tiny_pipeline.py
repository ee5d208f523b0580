"""A tiny real run of the data stages, for tests; latents are seeded noise, so that no weights are needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcld.config import DatasetParams, LatentsParams, Params, ShardsParams, TextureParams
from mcld.data.codec import encode_npy
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.data.shards import BLANK_NAME
from mcld.stages import run_stage
from mcld.stages.columns import Images, column_plans, report_of
from mcld.stages.mapper import SerialMapper
from mcld.stages.parts import PartOutput, PartWork, finish, run_parts
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.types import Report
from mcld.workspace import Workspace

DATA_STAGES = ("dataset", "densepose", "face", "texture", "latents", "shards")
MODEL_HEIGHT_PX, MODEL_WIDTH_PX = 32, 24
EMBEDDING_DIM = 8

PARAMS = Params(
    dataset=DatasetParams(
        num_outfits=6,
        num_test_outfits=2,
        height_px=64,
        width_px=48,
        outfits_per_part=2,
        damaged_items=True,
        max_excluded_fraction=0.5,
    ),
    texture=TextureParams(part_size_px=16, fill_margin_px=2),
    latents=LatentsParams(
        height_px=MODEL_HEIGHT_PX, width_px=MODEL_WIDTH_PX, texture_height_px=24, texture_width_px=16
    ),
    shards=ShardsParams(shard_bytes=65_536, min_shards=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLatents(PartWork[Images]):
    """Moments and embeddings drawn from a seed that is the image's key."""

    texture: Column

    def inputs(self, payload: Images) -> object:
        return [self.texture.record(payload[0].part).sha256, [image.key for image in payload]]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        present = self.texture.read_part(payload[0].part)
        return PartOutput(
            num_items=write_part(
                path, items=self._items(image.key for image in payload if image.key in present)
            )
        )

    def _items(self, keys: Iterator[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
        for key in keys:
            rng = np.random.default_rng(int(sha256_of_bytes(key.encode())[:8], 16))
            yield (
                key,
                {
                    "image_moments.npy": encode_npy(rng.normal(size=(8, 4, 3)).astype(np.float16)),
                    "texture_moments.npy": encode_npy(rng.normal(size=(8, 3, 2)).astype(np.float16)),
                    "embeddings.npy": encode_npy(rng.normal(size=(2, EMBEDDING_DIM)).astype(np.float32)),
                },
            )


def run_data_stage(stage: str, *, workspace: Workspace, params: Params = PARAMS) -> Report:
    """Run one stage in this process."""
    if stage != "latents":
        return run_stage(stage, params, workspace=workspace, mapper=SerialMapper())
    out_dir = workspace.stage_dir(stage)
    started = time.monotonic()
    manifest, num_reused = run_parts(
        stage,
        out_dir=out_dir,
        settings=params.latents.model_dump(mode="json"),
        format_version=1,
        plans=column_plans(read_index(workspace.stage_dir("dataset")).images),
        work=NoiseLatents(texture=Column.open(workspace.stage_dir("texture"))),
        mapper=SerialMapper(),
    )
    blank = encode_npy(np.zeros(EMBEDDING_DIM, np.float32))
    write_bytes(out_dir / BLANK_NAME, data=blank)
    finish(replace(manifest, files={BLANK_NAME: sha256_of_bytes(blank)}), out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def run_data_stages(workspace: Workspace, *, params: Params = PARAMS) -> dict[str, Report]:
    """Run all data stages in order."""
    return {stage: run_data_stage(stage, workspace=workspace, params=params) for stage in DATA_STAGES}
