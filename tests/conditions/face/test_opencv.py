"""YuNet and SFace: files that are not theirs are named; both libraries cut the same faces out."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mcld.conditions.face import FaceModels, biggest_face, load_recogniser, opencv_models
from mcld.conditions.face.opencv_recogniser import one_opencv_thread
from mcld.errors import WeightsError
from tests.conditions.face.test_insightface import crowd
from tests.face_pack import SFACE_NAME, YUNET_NAME, write_opencv, write_scrfd


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_opencv(tmp_path)
    return tmp_path


def find(folder: Path, *, expected: dict[str, str] | None = None) -> FaceModels:
    return opencv_models(
        folder / YUNET_NAME,
        recogniser_path=folder / SFACE_NAME,
        expected_sha256=expected or {},
        det_size_px=320,
        min_score=0.5,
    )


def test_sface_gives_128_numbers(folder: Path) -> None:
    assert find(folder).dim == 128


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            YUNET_NAME,
            r"not found, but named in face\.detector_path; take face_detection_yunet_2023mar\.onnx or",
        ),
        (
            SFACE_NAME,
            r"not found, but named in face\.recogniser_path; take face_recognition_sface_2021dec\.onnx",
        ),
    ],
)
def test_a_missing_file_is_told_with_its_origin(folder: Path, name: str, message: str) -> None:
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{folder / name}: {message}"):
        find(folder)


def test_files_of_another_architecture_are_told(folder: Path) -> None:
    shutil.copy(folder / YUNET_NAME, folder / SFACE_NAME)
    with pytest.raises(WeightsError, match=rf"{SFACE_NAME}: takes 1x3x\?x\?, .*; expected a recogniser that"):
        find(folder)
    write_scrfd(folder / YUNET_NAME)
    with pytest.raises(
        WeightsError, match=rf"{YUNET_NAME}: takes .*; expected YuNet, with outputs cls_8, cls_16"
    ):
        find(folder)
    (folder / YUNET_NAME).write_bytes(b"no protobuf")
    with pytest.raises(
        WeightsError, match=rf"{YUNET_NAME}: not a whole ONNX file; take face_detection_yunet"
    ):
        find(folder)
    with pytest.raises(
        WeightsError, match=rf"{YUNET_NAME}: sha256 is .*, expected 0+ by face\.expected_sha256"
    ):
        find(folder, expected={YUNET_NAME: "0" * 64})


def test_both_libraries_cut_the_same_face_out(pack: FaceModels, pair: FaceModels) -> None:
    for seed in range(4):
        crops = [biggest_face(load_recogniser(models), bgr=crowd(seed=seed)) for models in (pack, pair)]
        first, second = crops
        assert first is not None
        assert second is not None
        assert first.box == pytest.approx(second.box, abs=1e-3)
        # The two fit the same template by different arithmetic; pixels are rounded.
        assert np.abs(first.aligned.astype(int) - second.aligned.astype(int)).mean() < 1


def test_one_thread_is_for_a_while() -> None:
    num_threads = cv2.getNumThreads()
    with one_opencv_thread():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == num_threads
