"""The door says what is missing, by flag; and takes no recogniser but the training's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mcld.config import Params
from mcld.errors import ConfigError, WeightsError
from mcld.inference.photos.choose import FinderSources, _face_finder, finders_for
from mcld.inference.photos.face_finder import RecognisedFace
from mcld.inference.photos.mannequin_finder import MannequinFace, MannequinFinder
from mcld.inference.photos.preparation import Preparation, preparation_of
from mcld.storage import sha256_of_file
from tests.face_pack import RECOGNISER_NAME, write_opencv, write_pack

CPU = torch.device("cpu")


def prepared(**changes: object) -> Preparation:
    """How a model trained on photographs was prepared, with changes."""
    values = preparation_of(Params()).model_dump() | {"people": "photographs"}
    return Preparation.model_validate(values | {"det_size_px": 320} | changes)


@pytest.fixture(scope="module")
def face_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("insightface")
    write_pack(root / "models" / "antelopev2")
    return root


@pytest.fixture(scope="module")
def opencv_paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_opencv(tmp_path_factory.mktemp("opencv"))


def test_photographs_need_densepose_and_the_flag_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--densepose FILE, or set MCLD_DENSEPOSE"):
        finders_for(FinderSources(device=CPU))(prepared())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("densepose_path", "--densepose: .*no such file"),
        ("face_dir", "--face-dir: .*no such folder"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, says: str) -> None:
    paths = {"densepose_path": Path(__file__)} | {name: tmp_path / "absent"}
    with pytest.raises(ConfigError, match=says):
        finders_for(FinderSources(device=CPU, **paths))(prepared())  # type: ignore[arg-type]


def test_half_a_pair_of_face_models_or_two_kinds_of_them_are_refused(
    face_dir: Path, opencv_paths: tuple[Path, Path]
) -> None:
    yunet, sface = opencv_paths
    here = Path(__file__)
    for sources, says in (
        (FinderSources(device=CPU, densepose_path=here, yunet_path=yunet), "give --sface FILE"),
        (FinderSources(device=CPU, densepose_path=here, sface_path=sface), "give --yunet FILE"),
        (
            FinderSources(
                device=CPU, densepose_path=here, face_dir=face_dir, yunet_path=yunet, sface_path=sface
            ),
            "the ones that the model was trained with",
        ),
    ):
        with pytest.raises(ConfigError, match=says):
            finders_for(sources)(prepared())


def test_densepose_weights_that_are_none_are_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "densepose.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"densepose\.safetensors"):
        finders_for(FinderSources(device=CPU, densepose_path=path))(prepared())


def test_the_recogniser_of_the_training_is_taken_and_another_is_not(face_dir: Path) -> None:
    sources = FinderSources(device=CPU, face_dir=face_dir)
    digest = sha256_of_file(face_dir / "models" / "antelopev2" / RECOGNISER_NAME)
    same = _face_finder(sources, preparation=prepared(recogniser="insightface", recogniser_sha256=digest))
    assert isinstance(same, RecognisedFace)
    with pytest.raises(ConfigError, match=f"sha256 is {digest}, but this model was trained"):
        _face_finder(sources, preparation=prepared(recogniser="insightface", recogniser_sha256="0" * 64))


def test_vectors_of_another_length_are_refused_and_of_unknown_origin_any_of_the_length_are_taken(
    face_dir: Path, opencv_paths: tuple[Path, Path]
) -> None:
    yunet, sface = opencv_paths
    opencv = FinderSources(device=CPU, yunet_path=yunet, sface_path=sface)
    with pytest.raises(
        ConfigError, match="gives 128 numbers for a face, but this model was trained with 512"
    ):
        _face_finder(opencv, preparation=prepared())
    assert isinstance(_face_finder(opencv, preparation=prepared(face_dim=128)), RecognisedFace)
    insightface = FinderSources(device=CPU, face_dir=face_dir)
    assert isinstance(_face_finder(insightface, preparation=prepared()), RecognisedFace)


def test_photographs_without_a_face_model_have_no_face_finder() -> None:
    assert _face_finder(FinderSources(device=CPU), preparation=prepared()) is None


def test_mannequins_are_found_by_what_ships_and_by_densepose_where_it_is_given(tmp_path: Path) -> None:
    mannequins = preparation_of(Params())
    person_finder, face_finder = finders_for(FinderSources(device=CPU))(mannequins)
    assert isinstance(person_finder, MannequinFinder)
    assert isinstance(face_finder, MannequinFace)
    path = tmp_path / "densepose.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"densepose\.safetensors"):  # and so it was asked for
        finders_for(FinderSources(device=CPU, densepose_path=path))(mannequins)


def test_mannequins_whose_faces_a_recogniser_saw_have_no_shipped_face_finder() -> None:
    recognised = prepared(people="mannequins", recogniser="insightface", recogniser_sha256="0" * 64)
    assert _face_finder(FinderSources(device=CPU), preparation=recognised) is None
