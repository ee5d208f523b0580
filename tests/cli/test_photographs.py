"""`mcld pose`, `edit` and `remake` on photographs of rendered people, with the networks that ship."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner, Result

from mcld.__main__ import app
from mcld.errors import ConfigError, DataError
from tests.embedded_engine import embedded_person, embedded_pipeline, jpeg_of

FEW = ["--steps", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "model"
    embedded_pipeline().save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """me.jpg, friend.jpg, poses/1.jpg and 2.jpg, nobody.jpg, two.jpg, logo.png."""
    directory = tmp_path_factory.mktemp("photos")
    (directory / "poses").mkdir()
    for index, name in enumerate(("me", "friend", "poses/1", "poses/2")):
        (directory / f"{name}.jpg").write_bytes(embedded_person(index).jpeg)
    (directory / "nobody.jpg").write_bytes(jpeg_of(np.full((256, 176, 3), 235, np.uint8)))
    both = [embedded_person(index).rendered.image for index in (0, 1)]
    (directory / "two.jpg").write_bytes(jpeg_of(np.concatenate(both, axis=1)))
    Image.new("RGBA", (30, 30), (200, 0, 0, 255)).save(directory / "logo.png")
    return directory


def _mcld(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())))


def test_a_person_in_a_pose_and_the_same_bytes_again(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result = _mcld("pose", photos / "me.jpg", photos / "friend.jpg", "-o", out, "--model", model, *FEW)
    assert result.exit_code == 0, result.output
    assert "out.json says how to make it again" in result.output
    again = _mcld("remake", tmp_path / "out.json", "-o", tmp_path / "again.png", "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert "the same picture, byte for byte" in again.output
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()


def test_a_recipe_whose_picture_comes_out_otherwise_ends_with_1(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    _mcld("pose", photos / "me.jpg", photos / "friend.jpg", "-o", out, "--model", model, *FEW)
    recipe = json.loads((tmp_path / "out.json").read_text())
    recipe["settings"]["seed"] += 1
    (tmp_path / "out.json").write_text(json.dumps(recipe))
    result = _mcld("remake", tmp_path / "out.json", "--device", "cpu")
    assert result.exit_code == 1
    assert "another picture" in result.output


def test_a_folder_of_poses_is_a_film(model: Path, photos: Path, tmp_path: Path) -> None:
    film = tmp_path / "walk.gif"
    result = _mcld(
        *("pose", photos / "me.jpg", photos / "poses", "-o", tmp_path / "frames"),
        *("--film", film, "--batch", 2, "--model", model, *FEW),
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "frames").glob("*.png")) == ["1.png", "2.png"]
    with Image.open(film) as opened:
        assert len(list(ImageSequence.Iterator(opened))) == 2


def test_pairs_of_a_list_with_one_that_cannot_be_read_are_made_but_for_it(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    pairs = photos / "pairs.csv"
    pairs.write_text("source,target\nme.jpg,friend.jpg\nnobody.jpg,friend.jpg\nfriend.jpg,me.jpg\n")
    result = _mcld("pose", "--pairs", pairs, "-o", tmp_path / "made", "--model", model, *FEW)
    assert result.exit_code == 0, result.output
    assert "2 pictures, 1 left out" in result.output
    assert "no person was found" in result.output
    assert sorted(path.name for path in (tmp_path / "made").glob("*.png")) == ["000000.png", "000002.png"]


def test_the_other_of_two_people_can_be_asked_for(model: Path, photos: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        result = _mcld(
            *("pose", photos / "two.jpg", photos / "friend.jpg", "-o", tmp_path / f"{number}.png"),
            *("--person", number, "--model", model, *FEW),
        )
        assert result.exit_code == 0, result.output
        assert f"person {number} of 2" in result.output
    assert not np.array_equal(_picture(tmp_path / "1.png"), _picture(tmp_path / "2.png"))


def test_changes_are_made_previewed_and_remembered(model: Path, photos: Path, tmp_path: Path) -> None:
    out, preview = tmp_path / "out.png", tmp_path / "seen.png"
    result = _mcld(
        *("edit", photos / "me.jpg", "-o", out, "--clothes-from", photos / "friend.jpg", "--parts", "torso"),
        *("--recolour", "lower=#204060", "--print", photos / "logo.png", "--preview", preview),
        *("--model", model, *FEW),
    )
    assert result.exit_code == 0, result.output
    kinds = [edit["kind"] for edit in json.loads((tmp_path / "out.json").read_text())["edits"]]
    assert kinds == ["clothes", "recolour", "print"]
    assert _picture(preview).ndim == 3
    assert "byte for byte" in _mcld("remake", tmp_path / "out.json", "--device", "cpu").output


def test_edits_of_a_file_are_those_of_the_options(model: Path, photos: Path, tmp_path: Path) -> None:
    edits = photos / "edits.json"
    edits.write_text(json.dumps([{"kind": "clothes", "donor": "friend.jpg", "parts": ["torso"]}]))
    common = ["--model", model, *FEW]
    by_file = _mcld("edit", photos / "me.jpg", "-o", tmp_path / "a.png", "--edits", edits, *common)
    by_option = _mcld(
        *("edit", photos / "me.jpg", "-o", tmp_path / "b.png"),
        *("--clothes-from", photos / "friend.jpg", "--parts", "torso", *common),
    )
    assert by_file.exit_code == by_option.exit_code == 0, by_file.output + by_option.output
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_photograph_of_nobody_is_one_sentence(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result = _mcld("pose", photos / "nobody.jpg", photos / "me.jpg", "-o", out, "--model", model, *FEW)
    assert isinstance(result.exception, DataError)
    assert "nobody.jpg: no person was found" in str(result.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pose", "me.jpg"], "name SOURCE and TARGET"),
        (["pose", "no.jpg", "no.jpg"], "there is no such file or folder"),
        (["edit", "me.jpg"], "nothing is to be changed"),
        (["edit", "me.jpg", "--recolour", "upper"], "not of the form PARTS=#rrggbb"),
        (["edit", "me.jpg", "--recolour", "uper=#102030"], "'upper'"),
        (["edit", "me.jpg", "--edits", "e.json", "--print", "logo.png"], "takes the place"),
    ],
)
def test_what_makes_no_sense_is_said_before_a_model_is_opened(arguments: list[str], words: str) -> None:
    result = _mcld(*arguments, "--model", "nowhere")
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)


def test_without_a_model_and_without_a_training_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MCLD_MODEL", raising=False)
    result = _mcld("pose", photos / "me.jpg", photos / "friend.jpg")
    assert isinstance(result.exception, ConfigError)
    assert "give --model FOLDER" in str(result.exception)
