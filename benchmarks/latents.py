"""Measure the stage `latents`, and what training from pixels costs beside training from its cache.

    python -m benchmarks.latents                                    the shipped encoders, a processor
    python -m benchmarks.latents --size full --device cuda --precision bfloat16 --batch 32

`--size full` is Stable Diffusion 1.5's VAE and CLIP ViT-L/14 with random weights, on people rendered at
750 x 1101 and a model of 512 x 512. A view counts as two pictures: its image and its UV texture. Each step is
timed alone on one batch (decoding, resizing and writing on one thread), then the stage's own work on all
images, which decodes ahead. A training step is forward and backward, eager; shards are read anew in every
pass. One JSON line a result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from benchmarks.encoder_sizes import EncoderSize, model_for, write_encoders
from benchmarks.measure import machine, measure, show
from mcld.conditions.encoders import input_size_px
from mcld.conditions.latents import clip_batch, embed_images, encode_moments, image_batch
from mcld.conditions.view_encoder import SizedView, ViewEncoder
from mcld.config import (
    DatasetParams,
    DiffusionParams,
    LatentsParams,
    Params,
    RuntimeParams,
    TextureParams,
    TrainParams,
    num_workers,
)
from mcld.data.codec import decode_image, encode_npy
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.data.loader import Loader
from mcld.diffusion import NoiseSchedule
from mcld.models import MCLD
from mcld.models.acceleration import fast_attention
from mcld.stages import run_stage
from mcld.stages.columns import column_plans, images_dir, read_image_bytes
from mcld.stages.latents import LatentsWork
from mcld.stages.mapper import SerialMapper, local_mapper
from mcld.stages.pixels import encoder_of_shards, encoder_source, view_encoder
from mcld.stages.texture import TEXTURE_MEMBER
from mcld.training.step import EmbeddingFacts, draw_step, training_loss
from mcld.types import Batch, Latents, Precision
from mcld.workspace import Workspace

BEFORE_LATENTS = ("dataset", "densepose", "face", "texture")
NUM_TEST_OUTFITS = 1
TRAIN, DIFFUSION, SCALING_FACTOR = TrainParams(), DiffusionParams(), 0.18215
CPU = torch.device("cpu")
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is timed and where; every line says it."""

    size: EncoderSize
    params: Params
    device: torch.device
    repeats: int

    def report(
        self, part: str, *, function: Callable[[], object], count: int, of: str, device: torch.device
    ) -> None:
        """Time a call that does `count` things `of` a kind; print its line. Out of memory is a result too."""
        described: dict[str, object] = {
            "benchmark": f"latents, {part}",
            "size": self.size,
            "precision": self.params.latents.precision,
            "batch_size": self.params.latents.batch_size,
            of: count,
        }
        try:
            timing = measure(function, repeats=self.repeats, warm_ups=1, device=device)
        except torch.cuda.OutOfMemoryError:
            show({**described, "error": "out of memory", **machine(self.device)})
            return
        rate = {f"{of}_per_s": round(count / timing.median_s, 2)}
        show({**described, **timing.rounded(), **rate, **machine(self.device)})


def main(
    size: Annotated[EncoderSize, typer.Option(help="Of encoders, pictures and model.")] = "tiny",
    device: Annotated[Device, typer.Option()] = "auto",
    precision: Annotated[Precision, typer.Option(help="Of the encoders.")] = "float32",
    batch: Annotated[int, typer.Option(min=1, help="Views at once, and rows of a training step.")] = 16,
    outfits: Annotated[int, typer.Option(min=2, help="Rendered; one of them is not trained on.")] = 12,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
    training: Annotated[bool, typer.Option(help="Time training as well.")] = True,
) -> None:
    """Render people, make their latents, train on them; print what each part took."""
    params = params_of(size, device=device, precision=precision, batch_size=batch, num_outfits=outfits)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(root=Path(folder) / "kept")
        write_encoders(workspace.stage_dir("weights"), size=size)
        for stage in BEFORE_LATENTS:
            run_stage(stage, params, workspace=workspace, mapper=local_mapper(params.runtime))
        work = work_of(params, workspace=workspace)
        setting = Setting(
            size=size, params=params, device=torch.device(work.encoders.device), repeats=repeats
        )
        time_parts(setting, work=work, workspace=workspace)
        time_stage(setting, work=work, workspace=workspace)
        work.release()
        if training:
            time_training(setting, workspace=workspace, other=Workspace(root=Path(folder) / "pixels"))


def params_of(
    size: EncoderSize, *, device: Device, precision: Precision, batch_size: int, num_outfits: int
) -> Params:
    """The demo's sizes, or DeepFashion's as in the profile deepfashion-512."""
    height_px, width_px = (256, 176) if size == "tiny" else (1101, 750)
    full = LatentsParams(height_px=512, width_px=512, texture_height_px=768, texture_width_px=512)
    latents = LatentsParams() if size == "tiny" else full
    return Params(
        dataset=DatasetParams(
            num_outfits=num_outfits,
            num_test_outfits=NUM_TEST_OUTFITS,
            damaged_items=False,
            height_px=height_px,
            width_px=width_px,
        ),
        texture=TextureParams() if size == "tiny" else TextureParams(part_size_px=128, fill_margin_px=16),
        latents=latents.model_copy(update={"precision": precision, "batch_size": batch_size}),
        runtime=RuntimeParams(device=device),
    )


def work_of(params: Params, *, workspace: Workspace) -> LatentsWork:
    """As the stage makes it."""
    return LatentsWork(
        params=params.latents,
        root_dir=images_dir(params.dataset, workspace=workspace),
        texture=Column.open(workspace.stage_dir("texture")),
        encoders=encoder_source(params.runtime, weights_dir=workspace.stage_dir("weights")),
        num_threads=num_workers(params.runtime),
    )


def time_parts(setting: Setting, *, work: LatentsWork, workspace: Workspace) -> None:
    """One batch of views: decode, resize, VAE, CLIP, encode and write."""
    count = setting.params.latents.batch_size
    files = list(islice(cycle(encoded_views(work, workspace=workspace)), count))
    encoder = view_encoder(work.encoders, params=work.params)
    decoded = [(decode_image(image), decode_image(texture)) for image, texture in files]
    views = [encoder.prepare(image, texture=texture) for image, texture in decoded]
    latents = encoder.encode(views)
    path = workspace.root / "part.tar"
    on_processor: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode_image(data) for pair in files for data in pair],
        "resize": lambda: [encoder.prepare(image, texture=texture) for image, texture in decoded],
        "encode and tar": lambda: write_part(path, items=items_of(latents)),
    }
    on_device: dict[str, Callable[[], object]] = {
        "VAE": lambda: run_vae(encoder, views=views),
        "CLIP": lambda: run_clip(encoder, views=views),
    }
    for device, parts in ((CPU, on_processor), (setting.device, on_device)):
        for part, function in parts.items():
            setting.report(part, function=function, count=2 * count, of="pictures", device=device)


def encoded_views(work: LatentsWork, *, workspace: Workspace) -> Iterator[tuple[bytes, bytes]]:
    """The files of every view: image and UV texture."""
    for plan in column_plans(read_index(workspace.stage_dir("dataset")).images):
        textures = work.texture.read_part(plan.index)
        for image in plan.payload:
            if image.key in textures:
                data = read_image_bytes(image, root_dir=work.root_dir)
                yield data, textures[image.key][TEXTURE_MEMBER]


def run_vae(encoder: ViewEncoder, *, views: list[SizedView]) -> None:
    """Moments of images, then of textures."""
    for framed in ([view.image.framed for view in views], [view.texture.framed for view in views]):
        encode_moments(encoder.vae, images=image_batch(framed, device=encoder.vae.device))


def run_clip(encoder: ViewEncoder, *, views: list[SizedView]) -> None:
    """Embeddings of images, then of textures."""
    clip = encoder.image_encoder
    for squares in ([view.image.square for view in views], [view.texture.square for view in views]):
        pixels = clip_batch(squares, clip_size_px=input_size_px(clip), device=clip.device)
        embed_images(clip, pixels=pixels)


def items_of(latents: Latents) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Column items, as the stage writes them."""
    arrays = {
        "image_moments.npy": latents.image_moments,
        "texture_moments.npy": latents.texture_moments,
        "embeddings.npy": latents.embeddings,
    }
    for index in range(len(latents.embeddings)):
        yield f"outfit/{index}", {name: encode_npy(array[index]) for name, array in arrays.items()}


def time_stage(setting: Setting, *, work: LatentsWork, workspace: Workspace) -> None:
    """All parts, one after the other in this process, as the stage makes them; models are loaded before."""
    plans = column_plans(read_index(workspace.stage_dir("dataset")).images)
    path = workspace.root / "part.tar"

    def build_all() -> int:
        return sum(work.build(plan.payload, path=path).num_items for plan in plans)

    setting.report(
        "stage, one process", function=build_all, count=2 * build_all(), of="pictures", device=setting.device
    )


def time_training(setting: Setting, *, workspace: Workspace, other: Workspace) -> None:
    """An epoch read and trained on, with latents from the shards and made from pixels."""
    other.stage_dir("").mkdir(parents=True)
    for stage in ("weights", *BEFORE_LATENTS):
        other.stage_dir(stage).symlink_to(workspace.stage_dir(stage))
    uncached = setting.params.latents.model_copy(update={"cache": False})
    without = setting.params.model_copy(update={"latents": uncached})
    model = model_for(setting.size, device=setting.device)
    for name, place, params in (("cache", workspace, setting.params), ("pixels", other, without)):
        for stage in ("latents", "shards"):
            run_stage(stage, params, workspace=place, mapper=SerialMapper())
        time_source(setting, name=name, loader=loader_of(params, workspace=place), model=model)


def time_source(setting: Setting, *, name: str, loader: Loader, model: MCLD) -> None:
    """Reading alone, a step alone, and both through an epoch."""
    facts = EmbeddingFacts(image_spread=torch.from_numpy(loader.image_spread()), blank=None)
    first = next(loader.batches(start_step=0))

    def epoch() -> Iterator[Batch]:
        return islice(loader.batches(start_step=0), -(-loader.num_pairs // loader.batch_size))

    def read() -> None:
        for _ in epoch():
            pass

    def train() -> None:
        for batch in epoch():
            step(model, batch=batch, facts=facts, setting=setting)

    parts: dict[str, tuple[Callable[[], None], int]] = {
        "reading an epoch": (read, loader.num_pairs),
        "training an epoch": (train, loader.num_pairs),
        "training step alone": (
            lambda: step(model, batch=first, facts=facts, setting=setting),
            len(first.pairs),
        ),
    }
    for part, (function, count) in parts.items():
        setting.report(
            f"{part}, from {name}", function=function, count=count, of="rows", device=setting.device
        )


def loader_of(params: Params, *, workspace: Workspace) -> Loader:
    """Shards that are read anew in every pass, as a large data set's are."""
    shards_dir = workspace.stage_dir("shards")
    return Loader.open(
        shards_dir,
        split="train",
        batch_size=params.latents.batch_size,
        seed=0,
        pairs_per_visit=TRAIN.pairs_per_visit,
        shuffle_outfits=TRAIN.shuffle_outfits,
        encoder=encoder_of_shards(
            shards_dir, runtime=params.runtime, weights_dir=workspace.stage_dir("weights")
        ),
        resident_bytes=0,
    )


def step(model: MCLD, *, batch: Batch, facts: EmbeddingFacts, setting: Setting) -> None:
    """Forward and backward; half precision as on the encoders, where that is bfloat16."""
    schedule = NoiseSchedule()
    draws = draw_step(batch, train=TRAIN, diffusion=DIFFUSION, num_timesteps=schedule.num_timesteps)
    half = setting.params.latents.precision == "bfloat16"
    model.zero_grad(set_to_none=True)
    with fast_attention(setting.device):
        with torch.autocast(setting.device.type, dtype=torch.bfloat16, enabled=half):
            loss = training_loss(
                model,
                batch=batch,
                draws=draws,
                schedule=schedule,
                scaling_factor=SCALING_FACTOR,
                facts=facts,
                train=TRAIN,
                diffusion=DIFFUSION,
            ).total
        torch.autograd.backward(loss)


if __name__ == "__main__":
    typer.run(main)
