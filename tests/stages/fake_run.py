"""A small workspace as it stands before `evaluate`: real people, stand-ins for what a model would make."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from mcld.config import DatasetParams, GenerateParams, Params, ReportParams, TextureParams
from mcld.data.codec import decode_image, encode_png
from mcld.data.columns import Column
from mcld.data.index import DatasetIndex, read_index
from mcld.data.manifest import write_manifest
from mcld.evaluation.protocols import resize
from mcld.inference.test_pairs import choose_test_pairs
from mcld.stages import dataset, densepose, texture
from mcld.stages.columns import images_dir
from mcld.stages.mapper import SerialMapper
from mcld.storage import write_bytes, write_json
from mcld.types import Exclusion, Manifest, PartRecord
from mcld.workspace import Workspace

HEIGHT_PX, WIDTH_PX = 128, 96
NUM_PAIRS = 6
PARAMS = Params(
    dataset=DatasetParams(num_outfits=6, num_test_outfits=3, height_px=HEIGHT_PX, width_px=WIDTH_PX),
    texture=TextureParams(part_size_px=32, fill_margin_px=4),
    generate=GenerateParams(height_px=HEIGHT_PX, width_px=WIDTH_PX),
    report=ReportParams(num_rows=4),
)


def make_run(root: Path, *, params: Params = PARAMS, num_pairs: int = NUM_PAIRS) -> Workspace:
    """Run the data stages for real, then write what train and generate would."""
    workspace = Workspace(root=root)
    for stage in (dataset, densepose, texture):
        stage.run(params, workspace=workspace, mapper=SerialMapper())
    _write_train(workspace)
    _write_column_stage(workspace, stage="face")
    _write_column_stage(workspace, stage="latents")
    _write_column_stage(workspace, stage="shards")
    write_generated(workspace, params=params, num_pairs=num_pairs)
    _write_probe(workspace)
    return workspace


def write_generated(workspace: Workspace, *, params: Params, num_pairs: int) -> None:
    """Stand-in for a decent model: blurred images of the right key, and of the wrong key for wrong inputs."""
    index = read_index(workspace.stage_dir("dataset"))
    absent = Column.open(workspace.stage_dir("densepose")).excluded()
    usable = [
        p for p in index.pairs if p.split == "test" and p.source not in absent and p.target not in absent
    ]
    pairs = choose_test_pairs(usable, num_pairs=num_pairs)
    out_dir = workspace.stage_dir("generate")
    for pair in pairs:
        rows = {
            "generated": pair.target,
            "wrong_source": pair.wrong_source,
            "wrong_pose": pair.wrong_pose,
            "vae_reconstruction": pair.target,
        }
        for row, key in rows.items():
            image = _image(key, index=index, workspace=workspace, params=params)
            blurred = cv2.GaussianBlur(image, (0, 0), 0.7 if row == "vae_reconstruction" else 1.2)
            write_bytes(out_dir / row / f"{pair.id}.png", data=encode_png(blurred))
    write_json(out_dir / "pairs.json", value=[pair.as_dict() for pair in pairs])
    write_manifest(out_dir, manifest=_manifest("generate"))


def _image(key: str, *, index: DatasetIndex, workspace: Workspace, params: Params) -> np.ndarray:
    record = next(image for image in index.images if image.key == key)
    path = images_dir(params.dataset, workspace=workspace) / record.path
    image = decode_image(path.read_bytes())
    return resize(image, height_px=params.generate.height_px, width_px=params.generate.width_px)


def _write_train(workspace: Workspace) -> None:
    lines = ["step,loss"] + [f"{step},{0.02 + 0.3 * math.exp(-step / 60):.6f}" for step in range(1, 301)]
    write_bytes(workspace.metrics_dir / "loss.csv", data=("\n".join(lines) + "\n").encode())
    grid = np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    for step in (150, 300):
        write_bytes(workspace.stage_dir("train") / "samples" / f"step-{step:06d}.png", data=encode_png(grid))
    write_manifest(workspace.stage_dir("train"), manifest=_manifest("train", counts={"steps": 300}))


def _write_probe(workspace: Workspace) -> None:
    figure = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    write_bytes(workspace.stage_dir("probe") / "figure.png", data=encode_png(figure))
    numbers = {"num_images": 3, "deviation": 0.2, "reconstruction.ssim": 0.93, "deviated.ssim": 0.8125}
    write_json(workspace.metrics_dir / "probe.json", value=numbers)
    write_manifest(workspace.stage_dir("probe"), manifest=_manifest("probe"))


def _write_column_stage(workspace: Workspace, *, stage: str) -> None:
    left_out = (
        Exclusion(key="WOMEN-Dresses-id_00000001-01/1_front", reason="array holds NaN or Inf", stage=stage),
    )
    part = PartRecord(
        index=0,
        path="part-00000.tar",
        sha256="0" * 64,
        num_bytes=1,
        num_items=9,
        fingerprint="0" * 64,
        exclusions=left_out,
    )
    counts = {"face_found": 7, "face_missing": 2} if stage == "face" else {}
    write_manifest(workspace.stage_dir(stage), manifest=_manifest(stage, parts=(part,), counts=counts))


def _manifest(
    stage: str, *, parts: tuple[PartRecord, ...] = (), counts: dict[str, int] | None = None
) -> Manifest:
    return Manifest(stage=stage, format_version=1, settings={}, parts=parts, counts=counts or {})
