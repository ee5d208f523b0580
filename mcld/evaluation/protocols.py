"""What an evaluation fixes before any metric runs: size, resize, 8 bits, and what is compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import cv2
import numpy as np

from mcld.data.codec import decode_image
from mcld.errors import DataError
from mcld.storage import read_json

Row = Literal["generated", "ground_truth", "vae_reconstruction", "wrong_source", "wrong_pose"]
ROWS: tuple[Row, ...] = get_args(Row)
MIN_PAIRS = 2  # a mean over one pair is an anecdote

ROW_MEANINGS: dict[Row, str] = {
    "generated": "the model's images",
    "ground_truth": "the targets themselves, scored as if generated: the best that each metric can show",
    "vae_reconstruction": "the targets through the VAE and back: what the latent space alone costs",
    "wrong_source": "generated from another person's appearance: clothes and faces should be wrong",
    "wrong_pose": "generated in another image's pose, scored against the true target: shapes should be wrong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedPair:
    """One test pair as the generate stage lists it; all but `id` are image keys."""

    id: str
    source: str
    target: str
    wrong_source: str
    wrong_pose: str


def read_pairs(generate_dir: Path) -> tuple[GeneratedPair, ...]:
    """Read the generate stage's `pairs.json`.

    Raises DataError when it is damaged or lists fewer than two pairs.
    """
    path = generate_dir / "pairs.json"
    listed = read_json(path)
    try:
        entries = cast("list[dict[str, str]]", listed)
        pairs = tuple(
            GeneratedPair(
                id=entry["id"],
                source=entry["source"],
                target=entry["target"],
                wrong_source=entry["wrong_source"],
                wrong_pose=entry["wrong_pose"],
            )
            for entry in entries
        )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a list of pairs ({error!r}); delete it and run `mcld run generate`"
        ) from error
    if len(pairs) < MIN_PAIRS:
        raise DataError(
            f"{path}: lists {len(pairs)} pairs, evaluation needs at least {MIN_PAIRS}; raise "
            "generate.num_pairs"
        )
    return pairs


def check_images_exist(generate_dir: Path, *, pairs: Sequence[GeneratedPair]) -> None:
    """Raise DataError naming the first missing images, before any work."""
    wanted = [
        generated_path(generate_dir, row=row, pair_id=pair.id)
        for row in ROWS
        if row != "ground_truth"
        for pair in pairs
    ]
    missing = [str(path.relative_to(generate_dir)) for path in wanted if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise DataError(
            f"{generate_dir}: {len(missing)} of {len(wanted)} images are missing ({shown}); run `mcld "
            "run generate`"
        )


def generated_path(generate_dir: Path, *, row: Row, pair_id: str) -> Path:
    """Return where the generate stage keeps one image.

    Ground truth has none: it is read from the data set.
    """
    assert row != "ground_truth"
    return generate_dir / row / f"{pair_id}.png"


def read_generated(path: Path, *, height_px: int, width_px: int) -> np.ndarray:
    """Read one 8-bit RGB PNG of exactly that size, (H, W, 3) uint8.

    Raises DataError naming file, size and remedy.
    """
    try:
        image = decode_image(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run `mcld run generate`") from error
    except DataError as error:
        raise DataError(f"{path}: {error}; delete it and run `mcld run generate`") from error
    if image.shape != (height_px, width_px, 3):
        raise DataError(
            f"{path}: {image.shape[1]} x {image.shape[0]} px, expected {width_px} x {height_px}; "
            "run `mcld run generate` again or change generate.height_px and generate.width_px"
        )
    return image


def resize(image: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """Return (H, W, 3) uint8 resized as the authors do: antialiased bicubic on [0, 1], clamp, truncate.

    An image that has the size already is returned as it is, as torchvision's Resize does.
    """
    if image.shape[:2] == (height_px, width_px):
        return image
    import torch  # only here: scoring processes that never resize start without it

    pixels_1CHW = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255.0
    resized = torch.nn.functional.interpolate(
        pixels_1CHW, size=(height_px, width_px), mode="bicubic", antialias=True
    )
    return to_8_bit(resized[0].permute(1, 2, 0).numpy())


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Return float pixels in [0, 1] as uint8 by the authors' rule: clamp, times 255, truncate."""
    levels: np.ndarray = (np.clip(pixels, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels


def resize_iuv(iuv: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """Return an IUV map, (H, W, 3) uint8, at another size. Nearest: part ids are labels, not intensities."""
    if iuv.shape[:2] == (height_px, width_px):
        return iuv
    resized: np.ndarray = cv2.resize(iuv, (width_px, height_px), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
