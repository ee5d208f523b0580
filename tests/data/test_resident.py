"""Outfits stay in memory where they fit, judged by what they take, and maps are opened once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcld.data.codec import decode_iuv, encode_iuv, encode_pose
from mcld.data.iuv_maps import IuvForm, IuvMap, OriginalIuv, PoseIuv
from mcld.data.resident import held_outfits
from mcld.errors import DataError
from mcld.framing import Framing
from tests.data.shard_factory import write_shards
from tests.data.test_loader import STREAMING, loader

FRAMING = Framing(height_px=16, width_px=8)


def test_outfits_are_held_in_what_they_take_and_not_in_less(tmp_path: Path) -> None:
    directory = write_shards(tmp_path / "shards", views_per_outfit=[[2, 3], [4, 2], [3], [2, 2, 2]])
    reader = loader(directory, resident_bytes=STREAMING).reader
    held = held_outfits(reader, resident_bytes=1 << 30)
    assert held is not None
    assert set(held) == {sample.outfit for sample in reader.samples}
    num_bytes = sum(outfit.num_bytes for outfit in held.values())
    assert held_outfits(reader, resident_bytes=2 * num_bytes) is not None
    assert held_outfits(reader, resident_bytes=num_bytes // 2) is None
    assert held_outfits(reader, resident_bytes=0) is None


def test_an_iuv_map_is_the_same_each_time_it_is_opened() -> None:
    iuv = np.random.default_rng(0).integers(0, 25, (40, 30, 3), np.uint8)
    original = IuvMap(encode_iuv(iuv), form=OriginalIuv(framing=FRAMING, resize="nearest"), place="here")
    form = PoseIuv(framing=FRAMING, image_hw=(40, 30))
    pose = IuvMap(encode_pose(FRAMING.iuv(iuv)), form=form, place="here")
    for held in (original, pose):
        for _ in range(3):
            opened = held.open()
            assert np.array_equal(opened.pixels, FRAMING.iuv(iuv))
            assert opened.image_hw == (40, 30)


def test_what_is_no_iuv_map_is_an_error_with_its_place() -> None:
    original = OriginalIuv(framing=FRAMING, resize="nearest")
    pose = PoseIuv(framing=FRAMING, image_hw=(40, 30))
    cases: list[tuple[bytes, IuvForm, str]] = [
        (b"no picture", original, "not a whole PNG"),
        (b"no picture", pose, "not a whole WebP"),
        (encode_pose(np.zeros((8, 8, 3), np.uint8)), pose, r"shape \(8, 8, 3\); expected"),
    ]
    for data, form, fault in cases:
        held = IuvMap(data, form=form, place="train-0.tar: sample a: x.iuv.png")
        with pytest.raises(DataError, match=rf"train-0\.tar: sample a: x\.iuv\.png: .*{fault}"):
            held.open()
    with pytest.raises(DataError):
        decode_iuv(b"no picture")
