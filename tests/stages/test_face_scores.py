"""Faces of known people, in pictures that show them, others or nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from mcld.conditions.face import load_recogniser, opencv_models, pack_models
from mcld.data.codec import encode_png
from mcld.errors import DataError
from mcld.evaluation.judge import cosine
from mcld.stages.face_scores import FaceScores, face_scores
from mcld.stages.face_sets import FaceSetWork
from mcld.stages.mapper import LocalMapper, Mapper, SerialMapper
from mcld.stages.set_images import JudgedPair, SetReader
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.types import ImageRecord
from tests.face_pack import embedding_of, paint_face, write_opencv, write_pack

SIZE_PX = 320
PEOPLE: dict[str, int | None] = {"anna": 1, "berta": 2, "nobody": None}
# Generated, target, source.
PAIRS = [
    ("anna", "anna", "berta"),
    ("berta", "anna", "nobody"),
    ("nobody", "anna", "berta"),
    ("anna", "nobody", "nobody"),
]


def picture(name: str) -> np.ndarray:
    """(H, W, 3) uint8 BGR: grey, with that person's face."""
    bgr = np.full((SIZE_PX, SIZE_PX, 3), 60, np.uint8)
    seed = PEOPLE[name]
    if seed is not None:
        paint_face(bgr, column=6, row=5, stride=16, seed=seed)
    return bgr


def aligned(name: str) -> np.ndarray:
    """The face alone, (112, 112, 3) uint8 BGR: aligning is scaling its box."""
    return np.asarray(cv2.resize(picture(name)[48:128, 64:144], (112, 112)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("face-scores")
    write_pack(root / "models" / "antelopev2")
    write_opencv(root)
    for name in PEOPLE:
        rgb = np.ascontiguousarray(picture(name)[..., ::-1])
        write_bytes(root / f"{name}.png", data=encode_png(rgb))
    return root


@pytest.fixture(autouse=True)
def forget_models() -> Iterator[None]:
    yield
    load_recogniser.cache_clear()


def record(root: Path, *, name: str) -> ImageRecord:
    data = (root / f"{name}.png").read_bytes()
    return ImageRecord(
        key=f"WOMEN-Dresses-id_00000001-01/{name}",
        outfit_key="WOMEN-Dresses-id_00000001-01",
        view=name,
        gender="WOMEN",
        category="Dresses",
        split="test",
        path=f"{name}.png",
        sha256=sha256_of_bytes(data),
        num_bytes=len(data),
        height_px=SIZE_PX,
        width_px=SIZE_PX,
        part=0,
    )


def work(root: Path, *, library: Literal["insightface", "opencv"] = "insightface") -> FaceSetWork:
    if library == "insightface":
        models = pack_models(root, pack="antelopev2", expected_sha256={}, det_size_px=SIZE_PX, min_score=0.5)
    else:
        models = opencv_models(
            root / "face_detection_yunet_2023mar.onnx",
            recogniser_path=root / "face_recognition_sface_2021dec.onnx",
            expected_sha256={},
            det_size_px=SIZE_PX,
            min_score=0.5,
        )
    reader = SetReader(image_dir=root, height_px=SIZE_PX, width_px=SIZE_PX, resizes=False)
    return FaceSetWork(models=models, reader=reader, batch_size=3, num_threads=1, uses_device=False)


def compare(
    root: Path,
    *,
    directory: Path,
    work: FaceSetWork,
    mapper: Mapper | None = None,
    repeats: int = 1,
) -> FaceScores:
    pairs = [
        JudgedPair(source=record(root, name=source), target=record(root, name=target))
        for _, target, source in PAIRS * repeats
    ]
    return face_scores(
        pairs,
        files={"generated": [root / f"{name}.png" for name, _, _ in PAIRS * repeats]},
        targets_row="ground_truth",
        work=work,
        directory=directory,
        mapper=mapper or SerialMapper(),
    )


def test_cosines_are_those_of_the_embeddings_and_missing_faces_are_counted_by_place(
    root: Path, tmp_path: Path
) -> None:
    found = compare(root, directory=tmp_path, work=work(root))
    anna, berta = (embedding_of(aligned(name), dim=512) for name in ("anna", "berta"))
    different = pytest.approx(cosine(anna, berta), abs=0.02)
    assert cosine(anna, berta) < 0.9
    assert found.per_pair["generated"] == {
        "face_cosine_target": [pytest.approx(1.0), different, None, None],
        "face_cosine_source": [different, None, None, None],
    }
    assert found.skipped["generated"] == {
        "face_cosine_target": {
            "no face found in the picture": 1,
            "no face found in the target": 1,
        },
        "face_cosine_source": {
            "no face found in the picture": 1,
            "no face found in the source": 2,
        },
    }
    assert found.per_pair["ground_truth"]["face_cosine_target"] == [pytest.approx(1.0)] * 3 + [None]
    assert found.skipped["ground_truth"]["face_cosine_target"] == {"no face found in the picture": 1}


def test_any_number_of_workers_gives_the_same_scores(root: Path, tmp_path: Path) -> None:
    faces = work(root, library="opencv")  # whose recogniser serves one thread at a time
    alone = compare(root, directory=tmp_path / "one", work=faces, repeats=70)
    together = compare(
        root,
        directory=tmp_path / "two",
        work=faces,
        mapper=LocalMapper(num_workers=2, device_ids=()),
        repeats=70,
    )
    assert together == alone
    assert alone.per_pair["generated"]["face_cosine_target"][0] == pytest.approx(1.0)


def test_an_embedding_that_is_no_number_is_no_face(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = work(root)
    recogniser = load_recogniser(faces.models)
    monkeypatch.setattr(
        recogniser, "embed", lambda crops: np.full((len(crops), faces.models.dim), np.nan, np.float32)
    )
    found = compare(root, directory=tmp_path, work=faces)
    assert found.per_pair["generated"]["face_cosine_target"] == [None] * len(PAIRS)


def test_a_picture_that_cannot_be_read_is_named(root: Path, tmp_path: Path) -> None:
    pair = JudgedPair(source=record(root, name="anna"), target=record(root, name="berta"))
    with pytest.raises(DataError, match=r"nothing\.png: cannot be read \(No such file"):
        face_scores(
            [pair],
            files={"generated": [tmp_path / "nothing.png"]},
            targets_row="ground_truth",
            work=work(root),
            directory=tmp_path / "parts",
            mapper=SerialMapper(),
        )
