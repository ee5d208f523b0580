"""Frames to films, read back by the libraries that show them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from mcld.errors import ConfigError
from mcld.inference.film import write_film


def _frames() -> list[np.ndarray]:
    """Three plain ones, red, green and blue; the last is smaller."""
    sizes = ((64, 48), (64, 48), (41, 31))
    return [
        np.full((*size, 3), np.eye(3, dtype=np.uint8)[index] * 200, np.uint8)
        for index, size in enumerate(sizes)
    ]


def _middle(frame: np.ndarray) -> list[int]:
    return [int(value) for value in frame[frame.shape[0] // 2, frame.shape[1] // 2]]


def test_a_gif_shows_the_frames_in_order_at_the_rate_asked_for(tmp_path: Path) -> None:
    write_film(tmp_path / "f.gif", frames=_frames(), frames_a_second=5)
    with Image.open(tmp_path / "f.gif") as film:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
        assert film.info["duration"] == 200
    assert [int(np.argmax(_middle(frame))) for frame in frames] == [0, 1, 2]


def test_an_mp4_shows_the_frames_in_order_at_the_rate_asked_for(tmp_path: Path) -> None:
    write_film(tmp_path / "f.mp4", frames=_frames(), frames_a_second=5)
    film = cv2.VideoCapture(str(tmp_path / "f.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1][..., ::-1])
    assert [frame.shape for frame in frames] == [(64, 48, 3)] * 3
    assert [int(np.argmax(_middle(frame))) for frame in frames] == [0, 1, 2]


def test_a_smaller_frame_lies_in_the_middle_on_white(tmp_path: Path) -> None:
    write_film(tmp_path / "f.gif", frames=_frames(), frames_a_second=5)
    with Image.open(tmp_path / "f.gif") as film:
        film.seek(2)
        assert np.asarray(film.convert("RGB"))[0, 0].min() > 240


@pytest.mark.parametrize(("name", "rate"), [("f.avi", 5), ("f.gif", 0), ("f.mp4", 99)])
def test_a_film_that_cannot_be_made_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, name: str, rate: float
) -> None:
    with pytest.raises(ConfigError, match="film: "):
        write_film(tmp_path / name, frames=_frames(), frames_a_second=rate)
    assert list(tmp_path.iterdir()) == []
