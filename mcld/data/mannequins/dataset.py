"""Mannequins in DeepFashion's files: pictures, conditions as published, and bad items on purpose."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mcld.data.codec import encode_npy
from mcld.data.deepfashion import ImageName
from mcld.data.mannequins.people import FACE_DIM, Mannequin, face_embedding, identity_group
from mcld.data.mannequins.render import render_view
from mcld.storage import write_bytes

JPEG_QUALITY = 95
DAMAGE_KINDS = ("truncated", "blank", "no_face_file_nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class MannequinFiles:
    """Where one view lives, relative to the data set's root, in DeepFashion's folders and flattened names."""

    image_path: Path
    iuv_path: Path
    face_path: Path
    flat_name: str


def view_files(mannequin: Mannequin, *, view: str, split: str) -> MannequinFiles:
    """Where a view's files go."""
    name = ImageName(
        gender=mannequin.gender,
        category=mannequin.category,
        identity=f"{mannequin.identity_id:08d}",
        variant=f"{mannequin.variant:02d}",
        view=view,
    )
    return MannequinFiles(
        image_path=Path(name.path),
        iuv_path=Path(f"{split}_densepose", f"{name.flat}.png"),
        face_path=Path(f"{split}_face", f"{name.flat}.npy"),
        flat_name=name.flat,
    )


def write_outfit(
    root_dir: Path, *, mannequin: Mannequin, split: str, height_px: int, width_px: int
) -> list[Path]:
    """Render and write every view; returns the paths written. Where no face shows there is no face file."""
    _check_split(split)
    written: list[Path] = []
    face = face_embedding(mannequin)
    for view in mannequin.views:
        rendered = render_view(mannequin, view=view, height_px=height_px, width_px=width_px)
        files = view_files(mannequin, view=view, split=split)
        written.append(_replace(root_dir / files.image_path, content=_jpeg(rendered.image)))
        written.append(_replace(root_dir / files.iuv_path, content=_iuv_png(rendered.iuv)))
        if rendered.face_visible:
            written.append(_replace(root_dir / files.face_path, content=encode_npy(face)))
    return written


def split_of(index: int, *, num_outfits: int, num_test_outfits: int) -> str:
    """ "test" for the last outfits, "train" for the rest.

    A person whose two outfits lie on either side of the border goes to "test" whole, so the test split may
    be one outfit larger than asked for; identities never straddle.
    """
    if not 0 <= index < num_outfits:
        raise ValueError(f"index must lie in 0..{num_outfits - 1}, not {index}")
    if not 0 <= num_test_outfits <= num_outfits:
        raise ValueError(f"num_test_outfits must lie in 0..{num_outfits}, not {num_test_outfits}")
    first_test = num_outfits - num_test_outfits
    first_index, _ = identity_group(index)
    shares = index + 1 < num_outfits and identity_group(index + 1)[0] == first_index
    last_index = index + 1 if shares else index
    return "test" if last_index >= first_test else "train"


def damage(root_dir: Path, *, mannequin: Mannequin, split: str, kind: str) -> Path:
    """Spoil one file of a written outfit, to see exclusions at work; returns the spoilt file's path."""
    _check_split(split)
    if kind not in DAMAGE_KINDS:
        raise ValueError(f"kind must be one of {', '.join(DAMAGE_KINDS)}, not {kind!r}")
    files = view_files(mannequin, view=mannequin.views[0], split=split)
    if kind == "no_face_file_nan":
        no_face = np.full(FACE_DIM, np.nan, dtype=np.float32)
        return _replace(root_dir / files.face_path, content=encode_npy(no_face))
    image_path = root_dir / files.image_path
    if kind == "truncated":
        content = image_path.read_bytes()
        return _replace(image_path, content=content[: len(content) // 2])
    with Image.open(image_path) as picture:
        width_px, height_px = picture.size
    _replace(root_dir / files.iuv_path, content=_iuv_png(np.zeros((height_px, width_px, 3), dtype=np.uint8)))
    return _replace(image_path, content=_jpeg(np.full((height_px, width_px, 3), 255, dtype=np.uint8)))


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _iuv_png(iuv: np.ndarray) -> bytes:
    """OpenCV reads (I, U, V) as its B, G, R; Pillow, which thinks in RGB, must be given (V, U, I)."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(iuv[..., ::-1])).save(buffer, format="PNG")
    return buffer.getvalue()


def _replace(path: Path, *, content: bytes) -> Path:
    write_bytes(path, data=content)
    return path
