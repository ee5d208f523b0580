"""What an evaluation fixes: resize, truncation to 8 bits, and the list of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.data.codec import encode_png
from mcld.errors import DataError
from mcld.evaluation.protocols import (
    GeneratedPair,
    check_images_exist,
    read_generated,
    read_pairs,
    resize,
    resize_iuv,
    to_8_bit,
)
from mcld.storage import write_bytes, write_json


def noise_image(*, height_px: int, width_px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)


def entry(pair_id: str) -> dict[str, str]:
    return {"id": pair_id, "source": "a/1", "target": "a/2", "wrong_source": "b/1", "wrong_pose": "b/2"}


def test_resize_is_antialiased_bicubic_clamped_and_truncated() -> None:
    image = noise_image(height_px=60, width_px=40)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    expected = torch.nn.functional.interpolate(pixels, size=(32, 24), mode="bicubic", antialias=True).clamp(
        0, 1
    )
    found = resize(image, height_px=32, width_px=24)
    assert found.dtype == np.uint8
    assert np.array_equal(found, (expected[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy())


def test_resize_to_the_same_size_changes_nothing() -> None:
    image = noise_image(height_px=60, width_px=40)
    assert np.array_equal(resize(image, height_px=60, width_px=40), image)


def test_8_bits_are_truncated_not_rounded() -> None:
    assert to_8_bit(np.array([-1.0, 0.0, 0.9999, 1.0, 2.0, 1.9 / 255])).tolist() == [0, 0, 254, 255, 255, 1]


def test_iuv_labels_are_never_mixed() -> None:
    iuv = np.zeros((20, 20, 3), np.uint8)
    iuv[5:15, 5:15] = (24, 10, 200)
    smaller = resize_iuv(iuv, height_px=13, width_px=11)
    assert smaller.shape == (13, 11, 3)
    assert {tuple(pixel) for pixel in smaller.reshape(-1, 3).tolist()} == {(0, 0, 0), (24, 10, 200)}


def test_pairs_are_read_as_written(tmp_path: Path) -> None:
    write_json(tmp_path / "pairs.json", value=[entry("000000"), entry("000001")])
    first, second = read_pairs(tmp_path)
    assert first == GeneratedPair(
        id="000000", source="a/1", target="a/2", wrong_source="b/1", wrong_pose="b/2"
    )
    assert second.id == "000001"


@pytest.mark.parametrize("num_pairs", [0, 1])
def test_fewer_than_two_pairs_are_refused(tmp_path: Path, num_pairs: int) -> None:
    write_json(tmp_path / "pairs.json", value=[entry("000000")][:num_pairs])
    with pytest.raises(DataError, match=f"lists {num_pairs} pairs.*generate.num_pairs"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("value", [{"id": 1}, [{"id": "000000"}], ["000000"], 7])
def test_a_list_of_something_else_is_refused(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "pairs.json", value=value)
    with pytest.raises(DataError, match="not a list of pairs"):
        read_pairs(tmp_path)


def test_missing_images_are_named_before_any_work(tmp_path: Path) -> None:
    write_json(tmp_path / "pairs.json", value=[entry("000000"), entry("000001")])
    with pytest.raises(DataError, match=r"8 of 8 images are missing \(generated/000000.png"):
        check_images_exist(tmp_path, pairs=read_pairs(tmp_path))


def test_an_image_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x.png", data=encode_png(noise_image(height_px=20, width_px=10)))
    with pytest.raises(DataError, match="10 x 20 px, expected 12 x 20"):
        read_generated(tmp_path / "x.png", height_px=20, width_px=12)


def test_damaged_and_missing_images_are_refused(tmp_path: Path) -> None:
    data = encode_png(noise_image(height_px=20, width_px=10))
    write_bytes(tmp_path / "x.png", data=data[: len(data) // 2])
    for name in ("x.png", "absent.png"):
        with pytest.raises(DataError, match=f"{name}.*mcld run generate"):
            read_generated(tmp_path / name, height_px=20, width_px=10)
