"""Stage `generate`: render the test pairs, and the rows that make their scores readable, as 8-bit PNGs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.conditions.encoders import load_vae
from mcld.config import DiffusionParams, GenerateParams, Params
from mcld.data.codec import encode_png
from mcld.data.loader import Samples
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.devices import pick_device
from mcld.diffusion import Generators, seeded_generators
from mcld.evaluation.protocols import resize, to_8_bit
from mcld.inference.generate import Generator, generator_after, latent_shape, sampling_schedule
from mcld.inference.test_pairs import TestPair, choose_test_pairs, pair_seed
from mcld.models import load_mcld
from mcld.stages.columns import report_of
from mcld.stages.mapper import Mapper, SerialMapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.stages.pixels import encoder_of_shards
from mcld.storage import read_json, sha256_of_bytes, sha256_of_file, write_bytes, write_json
from mcld.types import Report, Sample
from mcld.workspace import Workspace

FORMAT_VERSION = 1
PAIRS_NAME = "pairs.json"
PAIRS_PER_PART = 16
ROWS = ("generated", "wrong_source", "wrong_pose", "vae_reconstruction")
TestPairs = tuple[TestPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateWork(PartWork[TestPairs]):
    """Renders the four images of each pair. A part's file lists its images with their sha256."""

    suffix = ".list"

    params: GenerateParams
    generator: Generator
    samples: Samples
    model_sha256: str
    shards_sha256: str

    def inputs(self, payload: TestPairs) -> object:
        """The pairs, the model and the shards."""
        pairs = [pair.as_dict() for pair in payload]
        return {"pairs": pairs, "model": self.model_sha256, "shards": self.shards_sha256}

    def build(self, payload: TestPairs, *, path: Path) -> PartOutput:
        """Render in batches; write the list of images last."""
        hashes: dict[str, str] = {}
        for start in range(0, len(payload), self.params.batch_size):
            batch = payload[start : start + self.params.batch_size]
            for row in ROWS:
                self._render_row(row, batch=batch, out_dir=path.parent, hashes=hashes)
        write_json(path, value=hashes)
        return PartOutput(num_items=len(payload))

    def is_intact(self, path: Path) -> bool:
        """Whether every listed image is there with its recorded bytes."""
        hashes = read_json(path)
        assert isinstance(hashes, dict)
        images = {path.parent / name: digest for name, digest in hashes.items()}
        return all(image.is_file() and sha256_of_file(image) == digest for image, digest in images.items())

    def _render_row(
        self, row: str, *, batch: Sequence[TestPair], out_dir: Path, hashes: dict[str, str]
    ) -> None:
        samples = [self._sample(row, pair=pair) for pair in batch]
        if row == "vae_reconstruction":
            images = self.generator.reconstruct(samples)
        else:
            # The same noise for all rows of a pair: they differ in what is asked for.
            noise = self._noise(batch, shape_CHW=latent_shape(samples[0]))
            images = self.generator.render(samples, generator=noise, params=self.params)
        pictures = zip(batch, samples, images.permute(0, 2, 3, 1).numpy(), strict=True)
        for pair, sample, image in pictures:
            name = f"{row}/{pair.id}.png"
            size = {"height_px": self.params.height_px, "width_px": self.params.width_px}
            shown = self.samples.framing.cut(to_8_bit(image), image_hw=sample.target_hw)
            data = encode_png(resize(shown, **size))
            write_bytes(out_dir / name, data=data)
            hashes[name] = sha256_of_bytes(data)

    def _noise(self, batch: Sequence[TestPair], *, shape_CHW: tuple[int, int, int]) -> Generators:
        """Where a batch's noise comes from, whatever was rendered before."""
        seed = self.params.seed
        if self.params.noise_stream == "global":
            return generator_after(seed, num_rows=batch[0].number, shape_CHW=shape_CHW)
        return seeded_generators([pair_seed(seed, source=pair.source, target=pair.target) for pair in batch])

    def _sample(self, row: str, *, pair: TestPair) -> Sample:
        source = pair.wrong_source if row == "wrong_source" else pair.source
        target = pair.wrong_pose if row == "wrong_pose" else pair.target
        return self.samples.sample_for(source=source, target=target)


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Render `generate.num_pairs` test pairs with the trained model. Runs here, on all cores."""
    started = time.monotonic()
    out_dir = workspace.stage_dir("generate")
    shards_dir = workspace.stage_dir("shards")
    weights_dir = workspace.stage_dir("weights")
    train_dir = workspace.stage_dir("train")
    device = pick_device(params.runtime.device)
    model = load_mcld(train_dir / "model").eval().to(device)
    samples = Samples.open(
        shards_dir,
        split="test",
        iuv_resize=model.config.iuv_resize,
        encoder=encoder_of_shards(shards_dir, runtime=params.runtime, weights_dir=weights_dir),
    )
    pairs = choose_test_pairs(samples.pairs, num_pairs=params.generate.num_pairs)
    work = GenerateWork(
        params=params.generate,
        generator=Generator(
            model=model,
            vae=load_vae(weights_dir / "vae").to(device),
            schedule=sampling_schedule(params.generate, diffusion=_diffusion(train_dir)),
        ),
        samples=samples,
        model_sha256=sha256_of_file(train_dir / MANIFEST_NAME),
        shards_sha256=sha256_of_file(shards_dir / MANIFEST_NAME),
    )
    manifest, num_reused = run_parts(
        "generate",
        out_dir=out_dir,
        settings=params.generate.model_dump(mode="json"),
        format_version=FORMAT_VERSION,
        plans=_plans(pairs),
        work=work,
        mapper=SerialMapper(),
    )
    _remove_other_images(out_dir, pairs=pairs)
    write_json(out_dir / PAIRS_NAME, value=[pair.as_dict() for pair in pairs])
    finish(manifest, out_dir=out_dir)
    return report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)


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


def _plans(pairs: TestPairs) -> list[PartPlan[TestPairs]]:
    starts = range(0, len(pairs), PAIRS_PER_PART)
    return [
        PartPlan(index=index, name=part_name(index), payload=pairs[start : start + PAIRS_PER_PART])
        for index, start in enumerate(starts)
    ]
