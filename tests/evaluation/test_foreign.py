"""Image folders are understood by their files' names, or refused with examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.errors import DataError
from mcld.evaluation.foreign import CONVENTIONS, find_images, read_image_folder
from mcld.storage import write_json

SOURCE, TARGET = "fashionWOMENTees_Tanksid0000069202_2side", "fashionWOMENTees_Tanksid0000069202_3back"
SOURCE_KEY, TARGET_KEY = "WOMEN-Tees_Tanks-id_00000692-02/2_side", "WOMEN-Tees_Tanks-id_00000692-02/3_back"


def folder(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch()
    return directory


@pytest.mark.parametrize(
    ("name", "convention"),
    [
        (f"{SOURCE}_2_{TARGET}.png", "mcld"),
        (f"deep{SOURCE}_2_deep{TARGET}.jpg", "mcld"),
        ("WOMEN-Tees_Tanks-id_00000692-02_2_side_2_WOMEN-Tees_Tanks-id_00000692-02_3_back.png", "mcld"),
        (f"{SOURCE}_2_{TARGET}_vis.png", "pidm"),
        (f"{SOURCE}.jpg___{TARGET}.jpg_vis.jpg", "adgan"),
        (f"{SOURCE}___{TARGET}_vis.jpg", "adgan"),
        (f"{SOURCE}_to_{TARGET}.png", "to"),
    ],
)
def test_a_name_tells_source_target_and_convention(tmp_path: Path, name: str, convention: str) -> None:
    found = read_image_folder(folder(tmp_path, name))
    (image,) = found.images
    assert (image.source, image.target) == (SOURCE_KEY, TARGET_KEY)
    assert found.convention.name == convention


def test_the_examples_shown_to_users_are_names_that_are_read(tmp_path: Path) -> None:
    for convention in CONVENTIONS:
        found = read_image_folder(folder(tmp_path / convention.name, convention.example))
        assert found.convention is convention


def test_a_picture_named_otherwise_is_excluded_and_other_files_are_ignored(tmp_path: Path) -> None:
    found = read_image_folder(folder(tmp_path, f"{SOURCE}_2_{TARGET}.png", "grid.png", "log.txt", "._x.png"))
    assert len(found.images) == 1
    (exclusion,) = found.exclusions
    assert exclusion.key == "grid.png"
    assert "not named as the others are" in exclusion.reason


def test_unknown_names_are_refused_with_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(0\.png, 1\.png\).*known are: fashion.*_2_fashion"):
        read_image_folder(folder(tmp_path, "0.png", "1.png"))


def test_images_named_as_the_data_sets_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="named after one image each, as the data set's own are"):
        read_image_folder(folder(tmp_path, f"{TARGET}.jpg"))


def test_two_images_of_one_pair_are_refused_by_name(tmp_path: Path) -> None:
    names = (f"{SOURCE}_2_{TARGET}.jpg", f"{SOURCE}_2_{TARGET}.png")
    with pytest.raises(DataError, match=rf"{names[0]} and {names[1]} show the same pair"):
        read_image_folder(folder(tmp_path, *names))


def test_what_our_generate_stage_made_is_read_with_its_list_of_pairs(tmp_path: Path) -> None:
    pair = {"source": SOURCE_KEY, "target": TARGET_KEY, "wrong_source": "x/1_front", "wrong_pose": "x/2_side"}
    write_json(tmp_path / "pairs.json", value=[pair | {"id": "000000"}, pair | {"id": "000001"}])
    folder(tmp_path / "generated", "000000.png", "000007.png")
    folder(tmp_path / "wrong_pose", "000000.png")
    found = read_image_folder(find_images(tmp_path, height_px=256))
    assert [(image.source, image.target) for image in found.images] == [(SOURCE_KEY, TARGET_KEY)]
    assert [exclusion.key for exclusion in found.exclusions] == ["000007.png"]
    other_row = read_image_folder(tmp_path / "wrong_pose")
    assert [(image.source, image.target) for image in other_row.images] == [(SOURCE_KEY, TARGET_KEY)]


def test_of_two_sizes_the_folder_of_that_height_is_taken(tmp_path: Path) -> None:
    for size in ("256", "512"):
        folder(tmp_path / "mcld" / size, "x.png")
    assert find_images(tmp_path, height_px=512) == tmp_path / "mcld" / "512"
    with pytest.raises(DataError, match=r"2 folders \(256, 512\), none named 128"):
        find_images(tmp_path, height_px=128)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        find_images(folder(tmp_path / "empty", "readme.txt"), height_px=256)
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "nowhere", height_px=256)
    with pytest.raises(DataError, match="is a file; unpack it"):
        find_images(tmp_path / "empty" / "readme.txt", height_px=256)
