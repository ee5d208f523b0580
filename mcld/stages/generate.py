"""Stage `generate`: render the test pairs, and the rows that make their scores readable, as 8-bit PNGs.

In parts of one batch each, one process a GPU. A pair's noise comes from (seed, pair) alone, and a batch
always has the same pairs: at an equal number of threads the bytes are the same on any number of processes,
and after any interruption. With another batch size, other threads or another GPU sums are added in another
order, which moves a level by one here and there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mcld.conditions.encoders import load_vae
from mcld.config import DiffusionParams, GenerateParams, Params, RuntimeParams
from mcld.data.codec import encode_png
from mcld.data.loader import Samples, pairs_of
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.data.shards import ShardSet
from mcld.devices import fitting_in_memory, pick_device
from mcld.diffusion import Generators, seeded_generators
from mcld.evaluation.protocols import Row, generated_path, resize, to_8_bit
from mcld.inference.generate import Generator, generator_after, latent_shape, sampling_schedule
from mcld.inference.test_pairs import TestPair, choose_test_pairs, pair_seed
from mcld.models import load_mcld
from mcld.stages.columns import report_of
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.stages.pixels import encoder_of_shards
from mcld.storage import read_json, sha256_of_bytes, sha256_of_file, write_bytes, write_json
from mcld.types import Report, Sample
from mcld.workspace import Workspace

FORMAT_VERSION = 2
PAIRS_NAME = "pairs.json"
ROWS: tuple[Row, ...] = ("generated", "wrong_source", "wrong_pose", "vae_reconstruction")
SPLIT = "test"
TestPairs = tuple[TestPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererSource:
    """What renders, and where it lies: plain values, which travel to workers. Hashes are of manifests."""

    train_dir: Path
    weights_dir: Path
    shards_dir: Path
    params: GenerateParams
    runtime: RuntimeParams
    model_sha256: str
    shards_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """A process's model, and the test split that it renders."""

    generator: Generator
    samples: Samples


@lru_cache(maxsize=1)
def load_renderer(source: RendererSource) -> Renderer:
    """This process's renderer, kept until `load_renderer.cache_clear()`; in a worker on the GPU of its own.

    Raises DataError when the shards are not whole, WeightsError when weights cannot be loaded.
    """
    device = pick_device(source.runtime.device)
    model = load_mcld(source.train_dir / "model").eval().to(device)
    return Renderer(
        generator=Generator(
            model=model,
            vae=load_vae(source.weights_dir / "vae").to(device),
            schedule=sampling_schedule(source.params, diffusion=_diffusion(source.train_dir)),
        ),
        samples=Samples.open(
            source.shards_dir,
            split=SPLIT,
            iuv_resize=model.config.iuv_resize,
            encoder=encoder_of_shards(
                source.shards_dir, runtime=source.runtime, weights_dir=source.weights_dir
            ),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateWork(PartWork[TestPairs]):
    """Renders the four images of each pair. A part's file lists its images with their sha256."""

    suffix = ".list"
    uses_device = True

    source: RendererSource

    def inputs(self, payload: TestPairs) -> object:
        """The pairs, the model and the shards."""
        pairs = [pair.as_dict() for pair in payload]
        return {"pairs": pairs, "model": self.source.model_sha256, "shards": self.source.shards_sha256}

    def build(self, payload: TestPairs, *, path: Path) -> PartOutput:
        """Render one batch, row by row; write the list of images last."""
        renderer, hashes = load_renderer(self.source), dict[str, str]()
        noise = self._noise(payload, samples=renderer.samples)
        for row in ROWS:
            with fitting_in_memory("generate.batch_size", value=self.source.params.batch_size):
                images = self._render(row, batch=payload, renderer=renderer, noise=noise)
            for pair, image in zip(payload, images, strict=True):
                image_path = generated_path(path.parent, row=row, pair_id=pair.id)
                data = encode_png(image)
                write_bytes(image_path, data=data)
                hashes[image_path.relative_to(path.parent).as_posix()] = sha256_of_bytes(data)
        write_json(path, value=hashes)
        return PartOutput(num_items=len(payload))

    def is_intact(self, path: Path) -> bool:
        """Whether every listed image is there with its recorded bytes."""
        hashes = read_json(path)
        assert isinstance(hashes, dict)
        images = {path.parent / name: digest for name, digest in hashes.items()}
        return all(image.is_file() and sha256_of_file(image) == digest for image, digest in images.items())

    def release(self) -> None:
        """Let go of the model."""
        load_renderer.cache_clear()

    def _render(
        self, row: Row, *, batch: Sequence[TestPair], renderer: Renderer, noise: tuple[torch.Generator, ...]
    ) -> list[np.ndarray]:
        """A row's pictures of a batch, each (H, W, 3) uint8 at the size of the evaluation."""
        params = self.source.params
        samples = [_sample(row, pair=pair, samples=renderer.samples) for pair in batch]
        if row == "vae_reconstruction":
            images = renderer.generator.reconstruct(samples)
        else:
            # The same noise for all rows of a pair: they differ in what is asked for.
            images = renderer.generator.render(samples, generator=_begun_anew(noise), params=params)
        framing = renderer.samples.framing
        return [
            resize(
                framing.cut(to_8_bit(image), image_hw=sample.target_hw),
                height_px=params.height_px,
                width_px=params.width_px,
            )
            for sample, image in zip(samples, images.permute(0, 2, 3, 1).numpy(), strict=True)
        ]

    def _noise(self, batch: Sequence[TestPair], *, samples: Samples) -> tuple[torch.Generator, ...]:
        """Where a batch's noise comes from, whatever was rendered before: one stream, or one a pair."""
        seed, numbers = self.source.params.seed, [pair.number for pair in batch]
        if self.source.params.noise_stream == "pair":
            seeds = [pair_seed(seed, source=pair.source, target=pair.target) for pair in batch]
            return tuple(seeded_generators(seeds))
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a stream has no gaps"
        shape = latent_shape(_sample("generated", pair=batch[0], samples=samples))
        return (generator_after(seed, num_rows=numbers[0], shape_CHW=shape),)


def _begun_anew(noise: tuple[torch.Generator, ...]) -> Generators:
    """Generators in the state of these, which stay as they are: finding a place in a long stream is slow."""
    copies = [torch.Generator() for _ in noise]
    for copy, original in zip(copies, noise, strict=True):
        copy.set_state(original.get_state())
    return copies if len(copies) > 1 else copies[0]


def _sample(row: Row, *, pair: TestPair, samples: Samples) -> Sample:
    source = pair.wrong_source if row == "wrong_source" else pair.source
    target = pair.wrong_pose if row == "wrong_pose" else pair.target
    return samples.sample_for(source=source, target=target)


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Render `generate.num_pairs` test pairs with the trained model."""
    started = time.monotonic()
    out_dir = workspace.stage_dir("generate")
    source, pairs = renderer_source(params, workspace=workspace), chosen_pairs(params, workspace=workspace)
    manifest, num_reused = run_parts(
        "generate",
        out_dir=out_dir,
        settings=params.generate.model_dump(mode="json"),
        format_version=FORMAT_VERSION,
        plans=part_plans(pairs, batch_size=params.generate.batch_size),
        work=GenerateWork(source=source),
        mapper=mapper,
    )
    _remove_other_images(out_dir, pairs=pairs)
    write_json(out_dir / PAIRS_NAME, value=[pair.as_dict() for pair in pairs])
    finish(manifest, out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


def chosen_pairs(params: Params, *, workspace: Workspace) -> TestPairs:
    """The pairs to render, of the shards' test split. Raises DataError when it has fewer than two outfits."""
    shards = ShardSet.open(workspace.stage_dir("shards"))
    return choose_test_pairs(pairs_of(shards.of_split(SPLIT)), num_pairs=params.generate.num_pairs)


def renderer_source(params: Params, *, workspace: Workspace) -> RendererSource:
    """What renders in this workspace. Raises DataError when `train` or `shards` has not finished."""
    train_dir, shards_dir = workspace.stage_dir("train"), workspace.stage_dir("shards")
    for directory in (train_dir, shards_dir):
        read_manifest(directory)
    return RendererSource(
        train_dir=train_dir,
        weights_dir=workspace.stage_dir("weights"),
        shards_dir=shards_dir,
        params=params.generate,
        runtime=params.runtime,
        model_sha256=sha256_of_file(train_dir / MANIFEST_NAME),
        shards_sha256=sha256_of_file(shards_dir / MANIFEST_NAME),
    )


def _diffusion(train_dir: Path) -> DiffusionParams:
    """The diffusion settings that the model was trained with."""
    return DiffusionParams.model_validate(read_manifest(train_dir).settings["diffusion"])


def _remove_other_images(out_dir: Path, *, pairs: TestPairs) -> None:
    """Remove images of pairs that an earlier run rendered and this one does not ask for."""
    wanted = {f"{pair.id}.png" for pair in pairs}
    for row in ROWS:
        for path in (out_dir / row).glob("*.png"):
            if path.name not in wanted:
                path.unlink()


def part_plans(pairs: TestPairs, *, batch_size: int) -> list[PartPlan[TestPairs]]:
    """One part a batch: what is made again after an interruption is what was made before."""
    return [
        PartPlan(index=index, name=part_name(index), payload=pairs[start : start + batch_size])
        for index, start in enumerate(range(0, len(pairs), batch_size))
    ]
