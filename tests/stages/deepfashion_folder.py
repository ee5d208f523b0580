"""A DeepFashion folder in miniature: noise under real names, lists and published conditions."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from mcld.config import DatasetParams, DenseposeParams, FaceParams, Params, TextureParams
from mcld.data.codec import encode_iuv, encode_npy
from mcld.data.deepfashion import IMAGE_FOLDER, ImageName, parse_name
from mcld.data.deepfashion_layout import IMAGE_ZIP
from mcld.data.index import read_index
from mcld.stages import run_stage
from mcld.stages.columns import PEOPLE_FOLDER
from mcld.stages.dataset_parts import PASSWORD_VARIABLE
from mcld.stages.mapper import SerialMapper
from mcld.types import Report
from mcld.workspace import Workspace
from tests.data.zip_writer import zip_folder

HEIGHT_PX, WIDTH_PX = 24, 16
OUTFITS = {
    "train": ("WOMEN-Dresses-id_00000001-01", "MEN-Denim-id_00000002-01"),
    "test": ("MEN-Suiting-id_00000003-04",),
}
VIEWS = ("1_front", "2_side", "3_back")


def names(split: str) -> list[ImageName]:
    """The names of a split."""
    return [parse_name(f"{outfit}/{view}") for outfit in OUTFITS[split] for view in VIEWS]


def picture(key: str) -> Image.Image:
    """Noise drawn from the key."""
    rng = np.random.default_rng(list(key.encode()))
    return Image.fromarray(rng.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8))


def jpeg(image: Image.Image) -> bytes:
    """JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def iuv(key: str) -> np.ndarray:
    """A person that fills the middle."""
    rng = np.random.default_rng(list(key.encode()))
    labels = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    labels[6:18, 4:12] = rng.integers(1, 25, (12, 8, 3), np.uint8)
    return labels


def write_bytes_at(path: Path, *, data: bytes) -> Path:
    """Write, making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_folder(root_dir: Path) -> Path:
    """Write pictures, lists, pair lists, IUV maps and faces."""
    for split in OUTFITS:
        for name in names(split):
            write_bytes_at(root_dir / name.path, data=jpeg(picture(name.key)))
            write_bytes_at(
                root_dir / f"{split}_densepose" / f"{name.flat}.png", data=encode_iuv(iuv(name.key))
            )
            face = np.full(512, len(name.key), np.float32)
            write_bytes_at(root_dir / f"{split}_face" / f"{name.flat}.npy", data=encode_npy(face))
        write_lists(root_dir, split=split, listed=names(split))
    return root_dir


def write_lists(root_dir: Path, *, split: str, listed: Iterable[ImageName]) -> None:
    """The split list, and a pair list of neighbours within each outfit."""
    listed = list(listed)
    (root_dir / f"{split}.lst").write_text("".join(f"{name.flat}.jpg\n" for name in listed))
    pairs = [(a, b) for a, b in pairwise(listed) if a.outfit_key == b.outfit_key]
    rows = "".join(f"{a.flat}.jpg,{b.flat}.jpg\n" for a, b in pairs)
    (root_dir / f"fasion-pairs-{split}.csv").write_text(f"from,to\n{rows}")


def write_copy(root_dir: Path, *, people: Workspace, as_zip: bool) -> Path:
    """The people that a workspace has rendered, as a copy of DeepFashion: images, conditions and lists."""
    shutil.copytree(people.stage_dir("dataset") / PEOPLE_FOLDER, root_dir)
    splits = {image.outfit_key: image.split for image in read_index(people.stage_dir("dataset")).images}
    listed = [
        parse_name(path.relative_to(root_dir).as_posix())
        for path in sorted((root_dir / IMAGE_FOLDER).rglob("*.jpg"))
    ]
    for split in OUTFITS:
        write_lists(
            root_dir, split=split, listed=[name for name in listed if splits[name.outfit_key] == split]
        )
    if as_zip:
        zip_folder(root_dir / IMAGE_ZIP, folder=root_dir / IMAGE_FOLDER)
        shutil.rmtree(root_dir / IMAGE_FOLDER)
    return root_dir


@contextmanager
def password_set(password: str | None) -> Iterator[None]:
    """The zip's password in this process's environment, or none, for a while."""
    before = os.environ.pop(PASSWORD_VARIABLE, None)
    if password is not None:
        os.environ[PASSWORD_VARIABLE] = password
    try:
        yield
    finally:
        os.environ.pop(PASSWORD_VARIABLE, None)
        if before is not None:
            os.environ[PASSWORD_VARIABLE] = before


def params_for(
    root_dir: Path,
    *,
    pairs: str = "csv",
    missing: str = "error",
    limit: float = 0.5,
    check: str = "decode",
    outfits_per_part: int = 2,
) -> Params:
    """Parameters that read the folder."""
    dataset = DatasetParams.model_validate(
        {
            "source": "deepfashion",
            "root_dir": str(root_dir),
            "pairs": pairs,
            "missing_pair_images": missing,
            "check": check,
            "outfits_per_part": outfits_per_part,
            "max_excluded_fraction": limit,
        }
    )
    return Params(
        dataset=dataset,
        densepose=DenseposeParams(max_excluded_fraction=limit),
        face=FaceParams(max_excluded_fraction=limit),
        texture=TextureParams(part_size_px=16, fill_margin_px=2, max_excluded_fraction=limit),
    )


def run(stage: str, *, params: Params, workspace: Workspace) -> Report:
    """Run one stage in this process."""
    return run_stage(stage, params, workspace=workspace, mapper=SerialMapper())
