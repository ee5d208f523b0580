"""Tiny face models on disk, written once; and both recognisers on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcld.conditions.face import FaceModels, FaceRecogniser, load_recogniser, opencv_models, pack_models
from tests.face_pack import write_opencv, write_pack

SIZE_PX = 320


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("insightface")
    write_pack(root / "models" / "antelopev2")
    return root


@pytest.fixture(scope="session")
def pack(models_dir: Path) -> FaceModels:
    return pack_models(models_dir, pack="antelopev2", expected_sha256={}, det_size_px=SIZE_PX, min_score=0.5)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> FaceModels:
    detector_path, recogniser_path = write_opencv(tmp_path_factory.mktemp("opencv"))
    return opencv_models(
        detector_path,
        recogniser_path=recogniser_path,
        expected_sha256={},
        det_size_px=SIZE_PX,
        min_score=0.5,
    )


@pytest.fixture(params=["insightface", "opencv"])
def recogniser(
    request: pytest.FixtureRequest, pack: FaceModels, pair: FaceModels
) -> Iterator[FaceRecogniser]:
    yield load_recogniser(pack if request.param == "insightface" else pair)
    load_recogniser.cache_clear()
