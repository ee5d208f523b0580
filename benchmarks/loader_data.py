"""What the loader's benchmark reads: rendered people at DeepFashion's size, as shards and as separate files.

All is written by the real stages, but for the latents: seeded noise of the sizes of the profile
deepfashion-512, so that neither a VAE nor CLIP need run. What is made is kept: a repeated run starts fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mcld.config import DatasetParams, LatentsParams, Params, RuntimeParams, ShardsParams, TextureParams
from mcld.data.codec import encode_npy
from mcld.data.columns import Column, write_part
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.data.shards import BLANK_NAME
from mcld.stages import run_stage
from mcld.stages.columns import Images, column_plans, images_dir
from mcld.stages.mapper import SerialMapper, local_mapper
from mcld.stages.parts import PartOutput, PartWork, finish, run_parts
from mcld.stages.texture import TEXTURE_MEMBER
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.types import ImageRecord, Pair
from mcld.workspace import Workspace

HEIGHT_PX, WIDTH_PX = 1101, 750
NUM_TEST_OUTFITS = 1
MIN_SHARDS = 4
EMBEDDING_DIM = 768
CHANNELS, CELL_PX = 8, 8  # of moments: means and log variances of 4 latent channels; pixels a latent cell
LATENTS = LatentsParams(height_px=512, width_px=512, texture_height_px=768, texture_width_px=512)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFiles:
    """The five files that the authors open for a pair. `face` is None where no face was found."""

    source: Path
    target: Path
    pose: Path
    texture: Path
    face: Path | None

    @property
    def num_bytes(self) -> int:
        """Of all of them."""
        paths = (self.source, self.target, self.pose, self.texture, self.face)
        return sum(path.stat().st_size for path in paths if path is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLatents(PartWork[Images]):
    """Moments and embeddings drawn from a seed that is the image's key."""

    texture: Column

    def inputs(self, payload: Images) -> object:
        """The part of textures, and the images."""
        return [self.texture.record(payload[0].part).sha256, [image.key for image in payload]]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part."""
        present = self.texture.read_part(payload[0].part)
        keys = [image.key for image in payload if image.key in present]
        return PartOutput(num_items=write_part(path, items=((key, _noise(key)) for key in keys)))


def params_of(*, num_outfits: int) -> Params:
    """Sizes as in the profile deepfashion-512."""
    return Params(
        dataset=DatasetParams(
            num_outfits=num_outfits + NUM_TEST_OUTFITS,
            num_test_outfits=NUM_TEST_OUTFITS,
            height_px=HEIGHT_PX,
            width_px=WIDTH_PX,
            outfits_per_part=2,
            damaged_items=False,
        ),
        texture=TextureParams(part_size_px=128, fill_margin_px=16),
        latents=LATENTS,
        shards=ShardsParams(min_shards=MIN_SHARDS),
        runtime=RuntimeParams(device="cpu"),
    )


def make_shards(workspace: Workspace, *, params: Params) -> Path:
    """Run the data stages; returns the shards' folder."""
    for stage in ("dataset", "densepose", "face", "texture"):
        run_stage(stage, params, workspace=workspace, mapper=local_mapper(params.runtime))
    _make_latents(workspace, params=params)
    return run_stage("shards", params, workspace=workspace, mapper=SerialMapper()).output


def pair_files(workspace: Workspace, *, params: Params, pairs: tuple[Pair, ...]) -> list[PairFiles]:
    """The separate files of these pairs, as the authors publish them; textures are put beside the others."""
    root_dir = images_dir(params.dataset, workspace=workspace)
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    textures = _write_textures(workspace, root_dir=root_dir, images=tuple(images.values()))
    return [
        PairFiles(
            source=root_dir / images[pair.source].path,
            target=root_dir / images[pair.target].path,
            pose=_condition(root_dir, key=pair.target, split=pair.split, kind="densepose", suffix=".png"),
            texture=textures[pair.source],
            face=_face(root_dir, pair=pair),
        )
        for pair in pairs
    ]


def _face(root_dir: Path, *, pair: Pair) -> Path | None:
    path = _condition(root_dir, key=pair.source, split=pair.split, kind="face", suffix=".npy")
    return path if path.is_file() else None


def _write_textures(
    workspace: Workspace, *, root_dir: Path, images: tuple[ImageRecord, ...]
) -> dict[str, Path]:
    column = Column.open(workspace.stage_dir("texture"))
    paths: dict[str, Path] = {}
    for plan in column_plans(images):
        items = column.read_part(plan.index)
        for image in plan.payload:
            if image.key not in items:  # shows no person
                continue
            path = _condition(root_dir, key=image.key, split=image.split, kind="texture", suffix=".png")
            write_bytes(path, data=items[image.key][TEXTURE_MEMBER])
            paths[image.key] = path
    return paths


def _condition(root_dir: Path, *, key: str, split: str, kind: str, suffix: str) -> Path:
    return root_dir / f"{split}_{kind}" / f"{parse_name(key).flat}{suffix}"


def _make_latents(workspace: Workspace, *, params: Params) -> None:
    out_dir = workspace.stage_dir("latents")
    manifest, _ = run_parts(
        "latents",
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


def _noise(key: str) -> dict[str, bytes]:
    rng = np.random.default_rng(int(sha256_of_bytes(key.encode())[:8], 16))
    image, texture = (
        (CHANNELS, height_px // CELL_PX, width_px // CELL_PX)
        for height_px, width_px in (
            (LATENTS.height_px, LATENTS.width_px),
            (LATENTS.texture_height_px, LATENTS.texture_width_px),
        )
    )
    return {
        "image_moments.npy": encode_npy(rng.normal(size=image).astype(np.float16)),
        "texture_moments.npy": encode_npy(rng.normal(size=texture).astype(np.float16)),
        "embeddings.npy": encode_npy(rng.normal(size=(2, EMBEDDING_DIM)).astype(np.float32)),
    }
