"""Files of the embedded data set: names, channel order, splits, and damage on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from mcld.data.mannequins import damage, render_view, sample_mannequin, split_of, view_files, write_outfit

HEIGHT_PX, WIDTH_PX = 96, 72


def test_names_follow_deepfashion() -> None:
    files = view_files(sample_mannequin(1, index=3), view="3_back", split="train")
    mannequin = sample_mannequin(1, index=3)
    folder = f"img_highres/{mannequin.gender}/{mannequin.category}/id_00000003"
    assert files.image_path.as_posix() == f"{folder}/02_3_back.jpg"
    assert files.flat_name == f"fashion{mannequin.gender}{mannequin.category}id0000000302_3back"
    assert files.iuv_path.as_posix() == f"train_densepose/{files.flat_name}.png"
    assert files.face_path.as_posix() == f"train_face/{files.flat_name}.npy"


def test_written_files_hold_what_was_rendered(tmp_path: Path) -> None:
    mannequin = sample_mannequin(1, index=3)
    written = write_outfit(
        tmp_path, mannequin=mannequin, split="test", height_px=HEIGHT_PX, width_px=WIDTH_PX
    )
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for view in mannequin.views:
        rendered = render_view(mannequin, view=view, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        files = view_files(mannequin, view=view, split="test")
        with Image.open(tmp_path / files.iuv_path) as picture:
            assert np.array_equal(np.asarray(picture)[..., ::-1], rendered.iuv)  # Pillow sees (V, U, I)
        with Image.open(tmp_path / files.image_path) as picture:
            assert np.abs(np.asarray(picture).astype(int) - rendered.image).mean() < 4
        assert (tmp_path / files.face_path).exists() == rendered.face_visible


def test_writing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    arguments = {"mannequin": sample_mannequin(2, index=1), "split": "train", "height_px": 64, "width_px": 48}
    first = [path.read_bytes() for path in write_outfit(tmp_path / "a", **arguments)]  # type: ignore[arg-type]
    again = [path.read_bytes() for path in write_outfit(tmp_path / "b", **arguments)]  # type: ignore[arg-type]
    assert first == again


def test_damage_is_what_it_says(tmp_path: Path) -> None:
    mannequin = sample_mannequin(1, index=0)
    write_outfit(tmp_path, mannequin=mannequin, split="train", height_px=HEIGHT_PX, width_px=WIDTH_PX)
    files = view_files(mannequin, view=mannequin.views[0], split="train")
    face_path = damage(tmp_path, mannequin=mannequin, split="train", kind="no_face_file_nan")
    assert np.isnan(np.load(face_path, allow_pickle=False)).all()
    assert damage(tmp_path, mannequin=mannequin, split="train", kind="blank") == tmp_path / files.image_path
    with Image.open(tmp_path / files.image_path) as picture, Image.open(tmp_path / files.iuv_path) as iuv:
        assert np.asarray(picture).min() == 255
        assert not np.asarray(iuv).any()
    whole = (tmp_path / files.image_path).read_bytes()
    damage(tmp_path, mannequin=mannequin, split="train", kind="truncated")
    assert (tmp_path / files.image_path).read_bytes() == whole[: len(whole) // 2]
    with pytest.raises((OSError, UnidentifiedImageError)), Image.open(tmp_path / files.image_path) as picture:
        picture.load()
    with pytest.raises(ValueError, match="'eaten'"):
        damage(tmp_path, mannequin=mannequin, split="train", kind="eaten")


@pytest.mark.parametrize(
    ("num_outfits", "num_test"), [(60, 12), (61, 51), (60, 57), (4, 1), (20, 0), (11, 11)]
)
def test_identities_never_straddle_the_split(num_outfits: int, num_test: int) -> None:
    split_of_index = [
        split_of(i, num_outfits=num_outfits, num_test_outfits=num_test) for i in range(num_outfits)
    ]
    split_of_identity: dict[int, str] = {}
    for index, split in enumerate(split_of_index):
        identity = sample_mannequin(7, index=index).identity_id
        assert split_of_identity.setdefault(identity, split) == split
    assert split_of_index == sorted(split_of_index, reverse=True)  # "train" first
    assert split_of_index.count("test") - num_test in (0, 1)


def test_variants_are_one_person_in_two_outfits() -> None:
    first, second = sample_mannequin(7, index=2), sample_mannequin(7, index=3)
    assert (first.identity_id, first.variant, second.identity_id, second.variant) == (3, 1, 3, 2)
    assert first.identity == second.identity
    assert first.category == second.category
    assert first.outfit != second.outfit
