"""The dataset stage: the embedded people, a DeepFashion folder, and all that can be wrong with one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.stages.columns import read_image_bytes
from mcld.storage import sha256_of_file
from mcld.types import Exclusion
from mcld.workspace import Workspace
from tests.data.zip_writer import ZipEntry, write_zip
from tests.stages.deepfashion_folder import (
    jpeg,
    names,
    params_for,
    picture,
    run,
    write_bytes_at,
    write_folder,
    write_lists,
)
from tests.stages.tiny_pipeline import PARAMS, run_data_stage

FIRST = names("train")[0]


@pytest.fixture
def root_dir(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "fashion")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path / "run")


def exclusions(workspace: Workspace) -> tuple[Exclusion, ...]:
    return read_index(workspace.stage_dir("dataset")).exclusions


def test_folder_is_indexed_with_its_listed_pairs(root_dir: Path, workspace: Workspace) -> None:
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    index = read_index(workspace.stage_dir("dataset"))
    assert (report.num_items, report.num_excluded) == (9, 0)
    assert {image.key for image in index.images} == {
        n.key for split in ("train", "test") for n in names(split)
    }
    assert [pair.split for pair in index.pairs] == ["test"] * 2 + ["train"] * 4
    assert [outfit.split for outfit in index.outfits()].count("test") == 1
    image = next(image for image in index.images if image.key == FIRST.key)
    assert image.sha256 == sha256_of_file(root_dir / image.path)
    assert (image.height_px, image.width_px) == (24, 16)
    assert all(len({image.part for image in outfit.images}) == 1 for outfit in index.outfits())


def test_all_views_pairs_every_view_with_every_other(root_dir: Path, workspace: Workspace) -> None:
    run("dataset", params=params_for(root_dir, pairs="all-views"), workspace=workspace)
    assert len(read_index(workspace.stage_dir("dataset")).pairs) == 3 * 6


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero-byte file"),
        (jpeg(picture("x"))[:200], "truncated or damaged image"),
        (b"<html>not found</html>", "not an image"),
        (jpeg(Image.new("RGB", (16, 24), (250, 250, 250))), "blank image"),
        (None, "file not found"),
    ],
)
def test_bad_image_is_an_exclusion_with_its_reason(
    root_dir: Path, workspace: Workspace, data: bytes | None, reason: str
) -> None:
    path = root_dir / FIRST.path
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    report = run("dataset", params=params_for(root_dir, missing="drop"), workspace=workspace)
    assert exclusions(workspace) == (Exclusion(key=FIRST.key, reason=reason, stage="dataset"),)
    lost = "pairs_naming_missing_images" if data is None else "pairs_of_excluded_images"
    assert (report.num_excluded, report.details[lost], report.details["pairs_train"]) == (1, 1, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero-byte file"),
        (jpeg(picture("x"))[:200], "truncated or damaged image"),
        (jpeg(picture("x"))[:-2] + b"\0\0", None),  # its pixels are whole, and so it is
        (jpeg(picture("x"))[:600] + jpeg(picture("x"))[700:], None),  # pixels are left to later stages
        (b"<html>not found</html>", "not an image"),
    ],
)
def test_headers_alone_show_what_is_cut_or_no_image(
    root_dir: Path, workspace: Workspace, data: bytes, reason: str | None
) -> None:
    (root_dir / FIRST.path).write_bytes(data)
    run("dataset", params=params_for(root_dir, check="headers"), workspace=workspace)
    assert [exclusion.reason for exclusion in exclusions(workspace)] == ([reason] if reason else [])


@pytest.mark.parametrize("check", ["decode", "headers"])
@pytest.mark.parametrize(("width_px", "height_px"), [(10, 40), (40, 10), (15, 15)])
def test_a_small_image_is_an_exclusion_that_names_its_size(
    root_dir: Path, workspace: Workspace, check: str, width_px: int, height_px: int
) -> None:
    (root_dir / FIRST.path).write_bytes(jpeg(picture("x").resize((width_px, height_px))))
    run("dataset", params=params_for(root_dir, check=check), workspace=workspace)
    reason = f"image of {width_px} x {height_px} pixels, smaller than dataset.min_side_px = 16"
    assert [exclusion.reason for exclusion in exclusions(workspace)] == [reason]


@pytest.mark.parametrize("check", ["decode", "headers"])
def test_portrait_landscape_and_40_megapixels_keep_their_sizes(
    root_dir: Path, workspace: Workspace, check: str
) -> None:
    sizes = [(16, 64), (64, 16), (5000, 8000)]
    for name, size in zip(names("train"), sizes, strict=False):
        (root_dir / name.path).write_bytes(jpeg(picture(name.key).resize(size)))
    run("dataset", params=params_for(root_dir, check=check), workspace=workspace)
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    found = [(images[name.key].width_px, images[name.key].height_px) for name in names("train")[:3]]
    assert found == sizes


@pytest.mark.parametrize("check", ["decode", "headers"])
def test_other_kinds_of_image_are_converted_and_counted(
    root_dir: Path, workspace: Workspace, check: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(FIRST.key).save(root_dir / FIRST.path, "JPEG", exif=exif)
    picture("b").convert("CMYK").save(root_dir / names("train")[1].path, "JPEG")
    picture("c").convert("L").save(root_dir / names("train")[2].path, "JPEG")
    deep = Image.fromarray(np.asarray(picture("d"))[..., 0].astype(np.uint16) * 257)
    deep.save(root_dir / names("train")[3].path, "PNG")
    picture("e").convert("RGBA").save(root_dir / names("train")[4].path, "PNG")
    run("dataset", params=params_for(root_dir, check=check), workspace=workspace)
    manifest = read_manifest(workspace.stage_dir("dataset"))
    converted = {name: count for name, count in manifest.counts.items() if name.startswith("converted")}
    assert converted == {
        "converted_16-bit": 1, "converted_CMYK": 1, "converted_EXIF-rotated": 1, "converted_alpha": 1,
        "converted_grey": 1,
    }  # fmt: skip
    turned = next(i for i in read_index(workspace.stage_dir("dataset")).images if i.key == FIRST.key)
    assert (turned.height_px, turned.width_px) == (16, 24)


def test_too_many_bad_images_fail_with_counts_by_reason(root_dir: Path, workspace: Workspace) -> None:
    for name in names("train"):
        (root_dir / name.path).write_bytes(b"")
    with pytest.raises(DataError, match=r"dataset: 6 of 9 items excluded.*6 x zero-byte file"):
        run("dataset", params=params_for(root_dir), workspace=workspace)


def test_two_files_for_one_image_are_an_error_naming_both(root_dir: Path, workspace: Workspace) -> None:
    write_bytes_at((root_dir / FIRST.path).with_suffix(".PNG"), data=jpeg(picture("x")))
    with pytest.raises(DataError, match=r"01_1_front\.PNG and 01_1_front\.jpg are two files for one image"):
        run("dataset", params=params_for(root_dir), workspace=workspace)


def test_pair_of_an_absent_image_is_an_error_listing_it_or_dropped(
    root_dir: Path, workspace: Workspace
) -> None:
    with (root_dir / "fasion-pairs-train.csv").open("a") as file:
        file.write(f"{FIRST.flat}.jpg,fashionWOMENDressesid0000000101_4full.jpg\n")
    with pytest.raises(
        DataError, match=r"pairs-train\.csv: pairs name 1 images that are not there: WOMEN.*4_full;"
    ):
        run("dataset", params=params_for(root_dir), workspace=workspace)
    report = run("dataset", params=params_for(root_dir, missing="drop"), workspace=workspace)
    assert report.details["pairs_naming_missing_images"] == 1


def test_pair_of_two_outfits_or_of_the_other_split_is_an_error(root_dir: Path, workspace: Workspace) -> None:
    path = root_dir / "fasion-pairs-train.csv"
    whole = path.read_text()
    path.write_text(f"{whole}{names('train')[0].flat}.jpg,{names('train')[3].flat}.jpg\n")
    with pytest.raises(DataError, match="are of two outfits"):
        run("dataset", params=params_for(root_dir), workspace=workspace)
    path.write_text(f"{whole}{names('test')[0].flat}.jpg,{names('test')[1].flat}.jpg\n")
    with pytest.raises(DataError, match="are of split test"):
        run("dataset", params=params_for(root_dir), workspace=workspace)


def test_pair_listed_twice_is_kept_once_and_counted(root_dir: Path, workspace: Workspace) -> None:
    path = root_dir / "fasion-pairs-test.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.details["pairs_listed_twice"], report.details["pairs_test"]) == (1, 2)


def test_overlap_of_train_and_test_is_an_error(root_dir: Path, workspace: Workspace) -> None:
    write_lists(root_dir, split="test", listed=[*names("test"), FIRST])
    with pytest.raises(DataError, match=r"id_00000001-01/1_front is listed twice, for train and for test"):
        run("dataset", params=params_for(root_dir), workspace=workspace)


def test_missing_folder_and_missing_lists_say_what_to_put_where(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(
        DataError, match=r"no such folder, and no img_highres\.zip either; set dataset\.root_dir"
    ):
        run("dataset", params=params_for(tmp_path / "nowhere"), workspace=workspace)
    (tmp_path / "empty" / "img_highres").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no split list; put train\.lst, test\.lst there"):
        run("dataset", params=params_for(tmp_path / "empty"), workspace=workspace)
    root_dir = write_folder(tmp_path / "fashion")
    (root_dir / "fasion-pairs-test.csv").unlink()
    with pytest.raises(DataError, match=r"no test pair list; put fasion-pairs-test\.csv there, under"):
        run("dataset", params=params_for(root_dir), workspace=workspace)


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_real_test_split_indexes_to_1000_outfits_and_8570_pairs(
    tmp_path: Path, workspace: Workspace, as_zip: bool
) -> None:
    """The published lists over one small picture, linked, or zipped, 4,038 times."""
    from mcld.data.deepfashion import read_split_list
    from tests.golden import golden_dir

    root_dir = tmp_path / "fashion"
    golden = golden_dir("deepfashion")
    image = write_bytes_at(root_dir / "one.jpg", data=jpeg(picture("one")))
    paths = [name.path for name in read_split_list(golden / "test.lst")]
    if as_zip:
        entries = [ZipEntry(name=path, data=image.read_bytes(), password=None) for path in paths]
        write_zip(root_dir / "img_highres.zip", entries=entries)
    for path in [] if as_zip else paths:
        (root_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (root_dir / path).hardlink_to(image)
    for file in ("test.lst", "test.csv"):
        shutil.copy(golden / file, root_dir / file)
    params = params_for(root_dir, outfits_per_part=250, check="headers")
    report = run("dataset", params=params, workspace=workspace)
    assert report.details["remarks"] == "no train.lst: there are no train images"
    assert (report.num_items, report.details["outfits_test"], report.details["pairs_test"]) == (
        4038,
        1000,
        8570,
    )


def test_changed_file_is_indexed_again_and_others_are_reused(root_dir: Path, workspace: Workspace) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    (root_dir / FIRST.path).write_bytes(jpeg(picture("another")))
    assert run("dataset", params=params_for(root_dir), workspace=workspace).num_reused == 1
    assert run("dataset", params=params_for(root_dir), workspace=workspace).num_reused == 2


@pytest.mark.parametrize("data", [jpeg(picture("another")), jpeg(picture(FIRST.key)) + b"\0", b""])
def test_a_file_that_changed_since_is_not_taken_for_the_image(
    root_dir: Path, workspace: Workspace, data: bytes
) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    image = next(i for i in read_index(workspace.stage_dir("dataset")).images if i.key == FIRST.key)
    assert read_image_bytes(image, root_dir=root_dir) == jpeg(picture(FIRST.key))
    (root_dir / FIRST.path).write_bytes(data)
    with pytest.raises(DataError, match=r"01_1_front\.jpg: changed since the index was made"):
        read_image_bytes(image, root_dir=root_dir)


def test_lists_of_their_own_win_over_the_official_one_which_is_said(
    root_dir: Path, workspace: Workspace
) -> None:
    (root_dir / "list_eval_partition.txt").write_text("not even read")
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.details["lists"]) == (9, "train.lst, test.lst")
    assert report.details["remarks"] == "list_eval_partition.txt is not read, for there is train.lst"


def test_one_split_alone_is_indexed_and_the_other_said_to_be_missing(
    root_dir: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    (root_dir / "test.lst").unlink()
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.details["lists"]) == (6, "train.lst")
    assert report.details["remarks"] == "no test.lst: there are no test images"
    assert "no test.lst" in caplog.text


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_embedded_people_show_exclusions_at_work(finished_workspace: Workspace) -> None:
    index = read_index(finished_workspace.stage_dir("dataset"))
    reasons = sorted(exclusion.reason for exclusion in index.exclusions)
    assert reasons == ["blank image", "truncated or damaged image"]
    assert {image.split for image in index.images} == {"train", "test"}


def test_damaged_or_surplus_rendered_files_are_put_right(workspace_copy: Workspace) -> None:
    directory = workspace_copy.stage_dir("dataset")
    whole = files_of(directory)
    images = sorted((directory / "people").rglob("*.jpg"))
    images[0].write_bytes(images[0].read_bytes()[:-1])
    write_bytes_at(directory / "people" / "train_face" / "stranger.npy", data=b"x")
    report = run_data_stage("dataset", workspace=workspace_copy)
    assert report.num_reused == 2
    assert files_of(directory) == whole


def test_fewer_people_keep_finished_parts_and_lose_the_others_files(workspace_copy: Workspace) -> None:
    fewer = PARAMS.dataset.model_copy(update={"num_outfits": 5, "num_test_outfits": 1})
    params = PARAMS.model_copy(update={"dataset": fewer})
    assert run_data_stage("dataset", workspace=workspace_copy, params=params).num_reused == 2
    index = read_index(workspace_copy.stage_dir("dataset"))
    people = workspace_copy.stage_dir("dataset") / "people"
    excluded = {exclusion.key for exclusion in index.exclusions}
    num_images = len(list(people.rglob("*.jpg")))
    assert num_images == len(index.images) + len(excluded)
