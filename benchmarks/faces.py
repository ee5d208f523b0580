"""Measure what one image costs on its way to a face embedding: decode, detect, align, embed.

    python -m benchmarks.faces                                    a stand-in for antelopev2, random weights
    python -m benchmarks.faces --models-dir bases/insightface     your pack: the folder with models/<pack>/
    python -m benchmarks.faces --detector yunet.onnx --recogniser sface.onnx        OpenCV's pair

The processor is used on one thread, which is what a worker has; `--device cuda` needs onnxruntime-gpu. Faces
are embedded one by one and in batches in the same run, and the numbers compared. Aligning and embedding take
points that are given: they are timed whether or not a face is seen. One JSON line a result.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from benchmarks.face_stand_in import write_stand_in
from benchmarks.measure import machine, measure, show
from mcld.conditions.face import FaceModels, FaceRecogniser, load_recogniser, opencv_models, pack_models
from mcld.data.codec import decode_image
from mcld.parity.densepose_recipe import recipe_image

DET_SIZE_PX, MIN_SCORE = 640, 0.5
FACE_SIZE_PX = 120  # of the face that the given points belong to
PACKAGES = ("insightface", "onnxruntime", "onnxruntime-gpu", "opencv-python")
CPU = torch.device("cpu")
ONE_BY_ONE, TOGETHER = "embed, one by one", "embed, in a batch"


class Device(StrEnum):
    """Where insightface computes."""

    cpu = "cpu"
    cuda = "cuda"


def main(
    models_dir: Annotated[Path | None, typer.Option(help="The folder that holds models/<pack>/.")] = None,
    pack: Annotated[str, typer.Option()] = "antelopev2",
    detector: Annotated[Path | None, typer.Option(help="YuNet, instead of a pack.")] = None,
    recogniser: Annotated[Path | None, typer.Option(help="SFace, instead of a pack.")] = None,
    device: Annotated[Device, typer.Option()] = Device.cpu,
    batch: Annotated[
        list[int] | None, typer.Option(help="Faces at once; may be given several times.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Time every step and print what it took, and what an image takes in all."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with TemporaryDirectory() as temporary:
        if detector and recogniser:
            what, models = "YuNet and SFace", _opencv(detector, recogniser)
        elif models_dir:
            what, models = pack, _pack(models_dir, pack=pack, device=device)
        else:
            show(
                {
                    "benchmark": "faces",
                    "left_out": "no pack was given; a stand-in with random weights is measured",
                }
            )
            write_stand_in(Path(temporary), pack=pack)
            what, models = f"a stand-in for {pack}", _pack(Path(temporary), pack=pack, device=device)
        loaded = load_recogniser(models)
        for num_faces in batch or [16]:
            _show_steps(loaded, num_faces=num_faces, repeats=repeats, about=_about(loaded, what=what))


def _pack(models_dir: Path, *, pack: str, device: Device) -> FaceModels:
    return pack_models(
        models_dir,
        pack=pack,
        expected_sha256={},
        det_size_px=DET_SIZE_PX,
        min_score=MIN_SCORE,
        device="cuda" if device is Device.cuda else "cpu",
        must_use_device=device is Device.cuda,
    )


def _opencv(detector_path: Path, recogniser_path: Path) -> FaceModels:
    return opencv_models(
        detector_path,
        recogniser_path=recogniser_path,
        expected_sha256={},
        det_size_px=DET_SIZE_PX,
        min_score=MIN_SCORE,
    )


def _about(recogniser: FaceRecogniser, *, what: str) -> dict[str, object]:
    installed = {dist.name: dist.version for dist in importlib.metadata.distributions()}
    return {
        "models": what,
        "uses_gpu": recogniser.uses_gpu,
        **machine(torch.device("cuda") if recogniser.uses_gpu else CPU),
        "face_versions": {package: installed[package] for package in PACKAGES if package in installed},
    }


def _show_steps(
    recogniser: FaceRecogniser, *, num_faces: int, repeats: int, about: dict[str, object]
) -> None:
    """One line a step, and one for an image with each way of embedding."""
    bgr = np.ascontiguousarray(recipe_image(0)[..., ::-1])
    jpeg = cv2.imencode(".jpg", bgr)[1].tobytes()
    crops = [recogniser.align(bgr, points=_points(bgr) + shift_px) for shift_px in range(num_faces)]
    steps: dict[str, tuple[int, Callable[[], object]]] = {  # images a call, and the call
        "decode": (1, lambda: decode_image(jpeg)),
        "detect": (1, lambda: recogniser.detect(bgr)),
        "align": (1, lambda: recogniser.align(bgr, points=_points(bgr))),
        ONE_BY_ONE: (num_faces, lambda: [recogniser.embed([crop]) for crop in crops]),
        TOGETHER: (num_faces, lambda: recogniser.embed(crops)),
    }
    per_image_s = {}
    for step, (num_images, call) in steps.items():
        timing = measure(
            call, repeats=repeats, warm_ups=1, device=CPU
        )  # the results are back when it returns
        per_image_s[step] = timing.median_s / num_images
        numbers = {"images": num_images, "s_per_image": round(per_image_s[step], 5)}
        show({"benchmark": "faces, a step", "step": step, **numbers, **timing.rounded(), **about})
    shared_s = sum(per_image_s[step] for step in ("decode", "detect", "align"))
    images_per_s = {embed: round(1 / (shared_s + per_image_s[embed]), 3) for embed in (ONE_BY_ONE, TOGETHER)}
    difference = {"batch": num_faces, "batch_differs_by": _difference(recogniser, crops=crops)}
    show({"benchmark": "faces, an image with a face", "images_per_s": images_per_s, **difference, **about})


def _difference(recogniser: FaceRecogniser, *, crops: list[np.ndarray]) -> float:
    """Of embeddings in a batch from the same ones alone, as a share of the largest number."""
    alone = np.concatenate([recogniser.embed([crop]) for crop in crops])
    return float(np.abs(recogniser.embed(crops) - alone).max() / np.abs(alone).max())


def _points(bgr: np.ndarray) -> np.ndarray:
    """(5, 2) where a face in the upper middle of an image would have its points."""
    shares = np.array([[0.34, 0.46], [0.66, 0.46], [0.5, 0.64], [0.37, 0.82], [0.63, 0.82]], np.float32)
    corner = np.array([bgr.shape[1] / 2 - FACE_SIZE_PX / 2, 80], np.float32)
    return shares * FACE_SIZE_PX + corner


if __name__ == "__main__":
    typer.run(main)
