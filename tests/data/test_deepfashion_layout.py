"""Copies of DeepFashion as they lie about: where images and lists are found, and which win."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.data.deepfashion_layout import PAIR_LISTS, find_images, find_list
from mcld.errors import DataError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_images_are_found_as_folder_or_zip_and_in_the_makers_subfolder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"img_highres: no such folder, and no img_highres\.zip either; set"):
        find_images(tmp_path)
    deep_zip = touch(tmp_path / "Img" / "img_highres.zip")
    assert (find_images(tmp_path).path, find_images(tmp_path).is_zip) == (deep_zip, True)
    flat_zip = touch(tmp_path / "img_highres.zip")
    assert find_images(tmp_path).path == flat_zip


def test_a_folder_wins_over_a_zip_and_the_zip_is_named(tmp_path: Path) -> None:
    lone_zip = touch(tmp_path / "img_highres.zip")
    folder = tmp_path / "Img" / "img_highres"
    folder.mkdir(parents=True)
    place = find_images(tmp_path)
    assert (place.path, place.is_zip, place.passed_over) == (folder, False, lone_zip)


@pytest.mark.parametrize("name", PAIR_LISTS["test"])
@pytest.mark.parametrize("place", ["", "Eval", "Anno"])
def test_lists_are_found_by_any_name_in_circulation(tmp_path: Path, place: str, name: str) -> None:
    path = touch(tmp_path / place / name)
    assert find_list(tmp_path, names=PAIR_LISTS["test"]) == path
    assert find_list(tmp_path, names=PAIR_LISTS["train"]) is None


def test_the_published_name_wins_over_others_and_the_folder_over_its_subfolders(tmp_path: Path) -> None:
    touch(tmp_path / "test.csv")
    touch(tmp_path / "Eval" / "fasion-pairs-test.csv")
    published = touch(tmp_path / "fasion-pairs-test.csv")
    assert find_list(tmp_path, names=PAIR_LISTS["test"]) == published
