"""Measure all condition stages on one machine: images a second, and what is spent beside the models.

    python -m benchmarks.conditions                            a processor, tiny encoders
    python -m benchmarks.conditions --size full                encoders of full size
    python -m benchmarks.conditions --size full --device cuda --precision bfloat16 --images 512 --batch 32

Photographs are of DeepFashion's size, 750 x 1101, as JPEG under its names. DensePose has the recipe's
weights, which find people; `--size full` is Stable Diffusion 1.5's VAE and CLIP ViT-L/14 with random weights;
faces need a pack (`--models-dir`), else a stand-in of about antelopev2's cost, which sees no face. Each stage
makes one part in this process, its models loaded before. `overhead` is the share of a stage's time that its
model alone, on the same batches, does not take: reading, decoding, resizing, painting, encoding, writing. One
JSON line a stage, then what all of DeepFashion (52,712 images) would take: the model stages on this one
device, the others on all cores.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import typer
from PIL import Image

from benchmarks.densepose import photograph, recipe_weights
from benchmarks.encoder_sizes import EncoderSize, write_encoders
from benchmarks.face_stand_in import write_stand_in
from benchmarks.measure import machine, show, wait
from mcld.conditions.densepose import find_people_in_resized, load_densepose, resize
from mcld.config import (
    DatasetParams,
    DenseposeParams,
    FaceParams,
    LatentsParams,
    Params,
    RuntimeParams,
    TextureParams,
)
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import write_manifest
from mcld.devices import dtype_of
from mcld.stages import run_stage
from mcld.stages.columns import Images, images_dir, read_pixels
from mcld.stages.densepose_estimator import estimated_iuv
from mcld.stages.face_recogniser import recognised_faces
from mcld.stages.latents import LatentsWork
from mcld.stages.mapper import SerialMapper
from mcld.stages.parts import PartWork, part_name
from mcld.stages.pixels import encoder_source, view_encoder
from mcld.stages.texture import TextureWork
from mcld.storage import sha256_of_file
from mcld.tensors.files import write_tensors
from mcld.types import ImageRecord, Manifest, PartRecord, Precision
from mcld.workspace import Workspace

DEEPFASHION_IMAGES = 52_712
VIEWS = ("1_front", "2_side", "3_back", "4_full")
NUM_PHOTOGRAPHS = 16  # different ones; more images repeat them
QUALITY = 90
FULL_LATENTS = LatentsParams(height_px=512, width_px=512, texture_height_px=768, texture_width_px=512)
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One stage on all images: seconds in all, and of its model alone where it has one."""

    stage: str
    seconds: float
    model_seconds: float | None
    num_images: int
    on_device: bool  # else one of the machine's cores

    def images_per_s(self) -> float:
        """Of this device, or of this core."""
        return self.num_images / self.seconds


def main(
    images: Annotated[int, typer.Option(min=1, help="How many.")] = 4,
    size: Annotated[EncoderSize, typer.Option(help="Of VAE and CLIP.")] = "tiny",
    device: Annotated[Device, typer.Option()] = "auto",
    precision: Annotated[Precision, typer.Option(help="Of DensePose, VAE and CLIP.")] = "float32",
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    models_dir: Annotated[Path | None, typer.Option(help="A folder with models/antelopev2/.")] = None,
) -> None:
    """Run the stages one after the other and print what each took."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(root=Path(folder))
        params = _params(
            workspace, size=size, device=device, precision=precision, batch_size=batch, models_dir=models_dir
        )
        _write_photographs(workspace.root / "deepfashion", count=images)
        run_stage("dataset", params, workspace=workspace, mapper=SerialMapper())
        index = read_index(workspace.stage_dir("dataset")).images
        place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        timed = [
            time_densepose(params, workspace=workspace, images=index, device=place),
            time_faces(params, workspace=workspace, images=index),
            time_textures(params, workspace=workspace, images=index),
            time_latents(params, workspace=workspace, images=index, device=place),
        ]
    for stage in timed:
        show(_line(stage, size=size, precision=precision, batch=batch, device=place))
    show(_extrapolated(timed))


def time_densepose(params: Params, *, workspace: Workspace, images: Images, device: torch.device) -> Timed:
    """Estimate IUV maps, then run the network alone on what was resized before."""
    root_dir = images_dir(params.dataset, workspace=workspace)
    work = estimated_iuv(
        params.densepose,
        workspace=workspace,
        root_dir=root_dir,
        device=params.runtime.device,
        num_threads=os.cpu_count() or 1,
    )
    seconds = _time_part(work, images=images, workspace=workspace, stage="densepose")
    work.release()
    network = load_densepose(work.weights_path, device=device, dtype=dtype_of(params.densepose.precision))
    resized = [resize(_pixels(image, root_dir=root_dir)) for image in images]
    image_hw = (images[0].height_px, images[0].width_px)
    batches = _batches(resized, size=params.densepose.batch_size)
    find = partial(find_people_in_resized, network, image_hw=image_hw, person=params.densepose.person)
    for first in {len(batch): batch for batch in batches}.values():
        find(resized=first)
    model_seconds = _seconds(lambda: [find(resized=batch) for batch in batches], device=device)
    return Timed(
        stage="densepose",
        seconds=seconds,
        model_seconds=model_seconds,
        num_images=len(images),
        on_device=True,
    )


def time_faces(params: Params, *, workspace: Workspace, images: Images) -> Timed:
    """Find and recognise faces, on a GPU where ONNX Runtime can use it, else on one thread."""
    root_dir = images_dir(params.dataset, workspace=workspace)
    # `device: cuda` would refuse an ONNX Runtime that knows no GPU.
    runtime = params.runtime if params.runtime.device == "cpu" else RuntimeParams()
    work = recognised_faces(params.face, runtime=runtime, root=workspace.root, image_dir=root_dir)
    seconds = _time_part(work, images=images, workspace=workspace, stage="face")
    work.release()
    return Timed(
        stage="face", seconds=seconds, model_seconds=None, num_images=len(images), on_device=work.uses_device
    )


def time_textures(params: Params, *, workspace: Workspace, images: Images) -> Timed:
    """Unwrap by the IUV maps made before, on one thread."""
    work = TextureWork(
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        params=params.texture,
    )
    cv2.setNumThreads(1)
    seconds = _time_part(work, images=images, workspace=workspace, stage="texture")
    return Timed(
        stage="texture", seconds=seconds, model_seconds=None, num_images=len(images), on_device=False
    )


def time_latents(params: Params, *, workspace: Workspace, images: Images, device: torch.device) -> Timed:
    """Encode images and textures, then run the encoders alone on what was sized before."""
    root_dir = images_dir(params.dataset, workspace=workspace)
    work = LatentsWork(
        params=params.latents,
        root_dir=root_dir,
        texture=Column.open(workspace.stage_dir("texture")),
        encoders=encoder_source(params.runtime, weights_dir=workspace.stage_dir("weights")),
        num_threads=os.cpu_count() or 1,
    )
    seconds = _time_part(work, images=images, workspace=workspace, stage="latents")
    encoder = view_encoder(work.encoders, params=params.latents)
    photographs = [_pixels(image, root_dir=root_dir) for image in images]
    views = [encoder.prepare(pixels, texture=pixels) for pixels in photographs]  # a texture is a picture too
    encoder.encode(views[: params.latents.batch_size] if device.type == "cuda" else views[:1])
    model_seconds = _seconds(lambda: encoder.encode(views), device=device)
    work.release()
    return Timed(
        stage="latents",
        seconds=seconds,
        model_seconds=model_seconds,
        num_images=len(images),
        on_device=True,
    )


def _time_part(work: PartWork[Images], *, images: Images, workspace: Workspace, stage: str) -> float:
    """Seconds of one part of all images, models loaded and warm; it is left as a finished column."""
    directory = workspace.stage_dir(stage)
    path = directory / f"{part_name(0)}.tar"
    directory.mkdir(parents=True, exist_ok=True)
    # A GPU chooses its kernels at the first batch of a size.
    work.build(images if torch.cuda.is_available() else images[:1], path=path)
    started = time.perf_counter()
    output = work.build(images, path=path)
    seconds = time.perf_counter() - started
    record = PartRecord(
        index=0,
        path=path.name,
        sha256=sha256_of_file(path),
        num_bytes=path.stat().st_size,
        num_items=output.num_items,
        fingerprint="",
        exclusions=output.exclusions,
    )
    manifest = Manifest(stage=stage, format_version=0, settings={}, parts=(record,))
    write_manifest(directory, manifest=manifest)
    return seconds


def _seconds(function: Callable[[], object], *, device: torch.device) -> float:
    wait(device)
    started = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - started


def _line(
    timed: Timed, *, size: EncoderSize, precision: Precision, batch: int, device: torch.device
) -> dict[str, object]:
    beside: dict[str, object] = {}
    if timed.model_seconds is not None:
        beside = {
            "model_s": round(timed.model_seconds, 3),
            "overhead": round(1 - timed.model_seconds / timed.seconds, 3),
        }
    return {
        "benchmark": "conditions",
        "stage": timed.stage,
        "num_images": timed.num_images,
        "seconds": round(timed.seconds, 3),
        "images_per_s": round(timed.images_per_s(), 3),
        **beside,
        "of": "the device" if timed.on_device else "one core",
        "encoders": size,
        "precision": precision,
        "batch_size": batch,
        **machine(device),
    }


def _extrapolated(timed: Sequence[Timed]) -> dict[str, object]:
    """Minutes of all of DeepFashion: cores share what is theirs, and wait for the device and it for them."""
    cores = os.cpu_count() or 1
    minutes = {
        stage.stage: DEEPFASHION_IMAGES / stage.images_per_s() / 60 / (1 if stage.on_device else cores)
        for stage in timed
    }
    return {
        "benchmark": "conditions, all of DeepFashion by extrapolation",
        "num_images": DEEPFASHION_IMAGES,
        "minutes": {stage: round(value, 1) for stage, value in minutes.items()},
        "minutes_in_all": round(sum(minutes.values()), 1),
        "cores": cores,
    }


def _params(
    workspace: Workspace,
    *,
    size: EncoderSize,
    device: Device,
    precision: Precision,
    batch_size: int,
    models_dir: Path | None,
) -> Params:
    """The profile deepfashion-512, and the files it needs written into the workspace."""
    weights_path = workspace.root / "densepose.safetensors"
    write_tensors(weights_path, state=recipe_weights())
    write_encoders(workspace.stage_dir("weights"), size=size)
    if models_dir is None:
        models_dir = workspace.root / "insightface"
        write_stand_in(models_dir, pack="antelopev2")
    latents = LatentsParams() if size == "tiny" else FULL_LATENTS
    return Params(
        dataset=DatasetParams(
            source="deepfashion",
            root_dir="deepfashion",
            check="headers",
            outfits_per_part=1_000_000,
            max_excluded_fraction=1.0,
        ),
        densepose=DenseposeParams(
            estimator="densepose", weights_path=str(weights_path), precision=precision, batch_size=batch_size
        ),
        face=FaceParams(recogniser="insightface", models_dir=str(models_dir.resolve())),
        texture=TextureParams(part_size_px=128, fill_margin_px=16),
        latents=latents.model_copy(update={"precision": precision, "batch_size": batch_size}),
        runtime=RuntimeParams(device=device),
    )


def _write_photographs(root_dir: Path, *, count: int) -> None:
    """`count` JPEGs and the list that names them."""
    names = []
    for number in range(count):
        identity, view = number // len(VIEWS), VIEWS[number % len(VIEWS)]
        path = root_dir / "img_highres" / "WOMEN" / "Dresses" / f"id_{identity:08d}" / f"01_{view}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(number % NUM_PHOTOGRAPHS)).save(path, "JPEG", quality=QUALITY)
        names.append(f"fashionWOMENDressesid{identity:08d}01_{view.replace('_', '')}.jpg\n")
    (root_dir / "train.lst").write_text("".join(names))


def _pixels(image: ImageRecord, *, root_dir: Path) -> np.ndarray:
    pixels = read_pixels(image, root_dir=root_dir)
    assert not isinstance(pixels, str)
    return pixels


def _batches(items: Sequence[np.ndarray], *, size: int) -> list[Sequence[np.ndarray]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


if __name__ == "__main__":
    typer.run(main)
