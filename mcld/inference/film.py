"""Frames to a film: an animated GIF or an MP4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mcld.errors import ConfigError
from mcld.storage import atomic_path

SUFFIXES = (".gif", ".mp4")
GIF_TICKS_S = 100  # a GIF counts in hundredths of a second
MAX_GIF_RATE = 50  # beyond it viewers slow down to ten a second


def check_film(path: Path, *, frames_a_second: float) -> None:
    """Raises ConfigError for a kind of film that cannot be written, or a rate that cannot be shown."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"film: '{path}' must end in {' or '.join(SUFFIXES)}")
    if not 0 < frames_a_second <= MAX_GIF_RATE:
        raise ConfigError(f"film: {frames_a_second} frames a second is outside 0..{MAX_GIF_RATE}")


def write_film(path: Path, *, frames: Sequence[np.ndarray], frames_a_second: float) -> None:
    """Write frames (h, w, 3) uint8 RGB, atomically. Smaller ones are laid in the middle of the largest size.

    Raises ConfigError as `check_film`, and for an MP4 where OpenCV has no encoder.
    """
    check_film(path, frames_a_second=frames_a_second)
    assert frames, "a film has frames"
    equal = _of_one_size(frames)
    with atomic_path(path) as temporary:
        if path.suffix == ".gif":
            _write_gif(temporary, frames=equal, frames_a_second=frames_a_second)
        else:
            _write_mp4(temporary, frames=equal, frames_a_second=frames_a_second)


def _write_gif(path: Path, *, frames: Sequence[np.ndarray], frames_a_second: float) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=max(2, round(GIF_TICKS_S / frames_a_second)) * 1000 // GIF_TICKS_S,
        loop=0,
    )


def _write_mp4(path: Path, *, frames: Sequence[np.ndarray], frames_a_second: float) -> None:
    height_px, width_px = frames[0].shape[:2]
    named = path.with_suffix(".mp4")  # OpenCV looks at the name
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(named), fourcc, frames_a_second, (width_px, height_px))
    if not writer.isOpened():
        raise ConfigError("film: this OpenCV cannot write MP4; ask for a .gif")
    try:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
    finally:
        writer.release()
    named.replace(path)


def _of_one_size(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """On canvases of the largest height and width, both even, as encoders want them; white around."""
    height_px, width_px = (max(frame.shape[axis] for frame in frames) for axis in (0, 1))
    canvas_hw = height_px + height_px % 2, width_px + width_px % 2
    return [_centred(frame, canvas_hw=canvas_hw) for frame in frames]


def _centred(frame: np.ndarray, *, canvas_hw: tuple[int, int]) -> np.ndarray:
    canvas = np.full((*canvas_hw, 3), 255, np.uint8)
    top, left = (canvas_hw[0] - frame.shape[0]) // 2, (canvas_hw[1] - frame.shape[1]) // 2
    canvas[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return canvas
