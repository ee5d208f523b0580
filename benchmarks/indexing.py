"""Measure how many images a second one core indexes: by headers and by decoding, from files and from zips.

`python -m benchmarks.indexing`, on a quiet machine. One JSON line a result. Each time is of the whole dataset
stage, in one process: 512 JPEGs of noise, 750 x 1101 as DeepFashion's, just written and so still in the
disk's cache. Zips are made by the program zip and left out where there is none; the last line is the
encryption alone, undone by Python's zipfile.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.measure import machine, measure, show
from mcld.config import DatasetParams, Params
from mcld.data.deepfashion import IMAGE_FOLDER, ImageName
from mcld.data.deepfashion_layout import IMAGE_ZIP
from mcld.stages import run_stage
from mcld.stages.dataset_parts import PASSWORD_VARIABLE
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace

HEIGHT_PX, WIDTH_PX = 1101, 750
NUM_OUTFITS = 128
VIEWS = ("1_front", "2_side", "3_back", "4_full")
NUM_PICTURES = 32  # different ones; the files are many more
JPEG_QUALITY = 75
REPEATS = 3
PASSWORD = "benchmark"  # of a zip that this program makes and removes
CPU = torch.device("cpu")

Check = Literal["headers", "decode"]


def picture(seed: int) -> bytes:
    """A JPEG of noise that is smooth and grainy, as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (HEIGHT_PX // 24, WIDTH_PX // 24, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 6, smooth.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=JPEG_QUALITY
    )
    return buffer.getvalue()


def write_folder(root_dir: Path) -> list[str]:
    """Images and split lists; returns the images' paths."""
    pictures = [picture(seed) for seed in range(NUM_PICTURES)]
    names = [
        ImageName(gender="WOMEN", category="Dresses", identity=f"{number:08d}", variant="01", view=view)
        for number in range(NUM_OUTFITS)
        for view in VIEWS
    ]
    for number, name in enumerate(names):
        path = root_dir / name.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % NUM_PICTURES])
    for split, listed in (("train", names[len(VIEWS) :]), ("test", names[: len(VIEWS)])):
        (root_dir / f"{split}.lst").write_text("".join(f"{name.flat}.jpg\n" for name in listed))
    return [name.path for name in names]


def zip_images(source_dir: Path, *, root_dir: Path, password: str | None) -> None:
    """The same copy with a zip in place of the folder; JPEGs are stored, as deflating gains nothing."""
    root_dir.mkdir()
    for split in ("train", "test"):
        shutil.copy(source_dir / f"{split}.lst", root_dir)
    protection = ["-P", password] if password else []
    command = ["zip", "-q", "-r", "-0", *protection, str(root_dir / IMAGE_ZIP), IMAGE_FOLDER]
    subprocess.run(command, cwd=source_dir, check=True)


def measure_stage(name: str, *, root_dir: Path, check: Check, num_bytes: int) -> None:
    """Index into a new workspace each time, then once more over the finished one."""
    section = DatasetParams(source="deepfashion", root_dir=str(root_dir), check=check, outfits_per_part=64)
    params = Params(dataset=section)
    num_images = NUM_OUTFITS * len(VIEWS)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(root=Path(folder))

        def index() -> None:
            report = run_stage("dataset", params, workspace=workspace, mapper=SerialMapper())
            assert (report.num_items, report.num_excluded) == (num_images, 0), report

        def index_anew() -> None:
            shutil.rmtree(workspace.stage_dir("dataset"), ignore_errors=True)
            index()

        for what, function in (("first run", index_anew), ("repeated run", index)):
            timing = measure(function, repeats=REPEATS, warm_ups=1, device=CPU)
            rates = {
                "images_per_s": round(num_images / timing.median_s),
                "megabytes_per_s": round(num_bytes / timing.median_s / 1e6, 1),
            }
            details: dict[str, object] = {"origin": name, "check": check, "run": what, "images": num_images}
            show({"benchmark": "indexing", **details, **timing.rounded(), **rates, **machine(CPU)})


def measure_zipfile(path: Path) -> None:
    """Python's own reader of the same zip, on fewer members."""
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()][:NUM_PICTURES]
        num_bytes = sum(info.file_size for info in infos)

        def read() -> None:
            for info in infos:
                archive.read(info, pwd=PASSWORD.encode())

        timing = measure(read, repeats=REPEATS, warm_ups=0, device=CPU)
    rates = {"megabytes_per_s": round(num_bytes / timing.median_s / 1e6, 1)}
    show(
        {
            "benchmark": "zipfile, one by one",
            "images": len(infos),
            **timing.rounded(),
            **rates,
            **machine(CPU),
        }
    )


def main() -> None:
    """Print every result."""
    torch.set_num_threads(1)
    os.environ[PASSWORD_VARIABLE] = PASSWORD
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = write_folder(root / "files")
        num_bytes = sum((root / "files" / path).stat().st_size for path in paths)
        show({"benchmark": "indexing", "kilobytes_an_image": round(num_bytes / len(paths) / 1e3)})
        origins = ["files"]
        if shutil.which("zip"):
            zip_images(root / "files", root_dir=root / "zip", password=None)
            zip_images(root / "files", root_dir=root / "encrypted zip", password=PASSWORD)
            origins += ["zip", "encrypted zip"]
        else:
            show({"benchmark": "indexing", "left_out": "zips: the program zip is not installed"})
        for origin in origins:
            for check in ("headers", "decode"):
                measure_stage(origin, root_dir=root / origin, check=check, num_bytes=num_bytes)
        if len(origins) > 1:
            measure_zipfile(root / "encrypted zip" / IMAGE_ZIP)


if __name__ == "__main__":
    main()
