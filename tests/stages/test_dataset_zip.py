"""The dataset stage from an encrypted zip: the same images, nothing unpacked, nothing given away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcld.data.index import DatasetIndex, read_index
from mcld.data.manifest import read_manifest
from mcld.data.zip_images import list_images
from mcld.errors import ConfigError, DataError
from mcld.stages import run_stage
from mcld.stages.columns import images_dir, read_image_bytes
from mcld.stages.dataset_parts import PASSWORD_VARIABLE
from mcld.stages.mapper import LocalMapper
from mcld.types import Exclusion
from mcld.workspace import Workspace
from tests.data.zip_writer import PASSWORD, ZipEntry, write_zip, zip_folder
from tests.stages.deepfashion_folder import (
    jpeg,
    names,
    params_for,
    password_set,
    picture,
    run,
    write_copy,
    write_folder,
)
from tests.workspaces import CHECKOUT

FIRST = names("train")[0]
CHAIN = ("dataset", "densepose", "face", "texture")


@pytest.fixture
def root_dir(tmp_path: Path) -> Path:
    """A copy with `img_highres.zip` in place of the folder."""
    root_dir = write_folder(tmp_path / "fashion")
    zip_folder(root_dir / "img_highres.zip", folder=root_dir / "img_highres")
    shutil.rmtree(root_dir / "img_highres")
    return root_dir


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path / "run")


@pytest.fixture
def password() -> Iterator[None]:
    with password_set(PASSWORD):
        yield


def index_of(workspace: Workspace) -> DatasetIndex:
    return read_index(workspace.stage_dir("dataset"))


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def rewrite(root_dir: Path, *, changed: dict[str, bytes | None]) -> None:
    """The zip anew, with other bytes for some names; None leaves one out."""
    images = {name.path: jpeg(picture(name.key)) for split in ("train", "test") for name in names(split)}
    entries = [
        ZipEntry(name=name, data=data) for name, data in {**images, **changed}.items() if data is not None
    ]
    write_zip(root_dir / "img_highres.zip", entries=entries)


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("check", ["decode", "headers"])
def test_zip_and_folder_give_the_same_images_and_the_same_columns(
    finished_workspace: Workspace, tmp_path: Path, check: str
) -> None:
    runs = {}
    for kind in ("folder", "zip"):
        root_dir = write_copy(tmp_path / kind, people=finished_workspace, as_zip=kind == "zip")
        runs[kind] = Workspace(root=tmp_path / f"run_{kind}")
        params = params_for(root_dir, check=check)
        for stage in CHAIN if check == "decode" else CHAIN[:1]:
            run(stage, params=params, workspace=runs[kind])
    folder, zipped = (index_of(runs[kind]) for kind in ("folder", "zip"))
    assert folder.pairs == zipped.pairs
    assert folder.exclusions == zipped.exclusions
    reasons = {exclusion.reason for exclusion in folder.exclusions}
    assert reasons == {"truncated or damaged image"} | ({"blank image"} if check == "decode" else set())
    moved = [
        replace(image, path=other.path, offset=0)
        for image, other in zip(zipped.images, folder.images, strict=True)
    ]
    assert tuple(moved) == folder.images
    for stage in CHAIN[1:] if check == "decode" else ():
        assert files_of(runs["zip"].stage_dir(stage)) == files_of(runs["folder"].stage_dir(stage))


@pytest.mark.usefixtures("password")
def test_images_lie_in_one_tar_a_part_and_are_read_from_there(root_dir: Path, workspace: Workspace) -> None:
    params = params_for(root_dir)
    run("dataset", params=params, workspace=workspace)
    directory = workspace.stage_dir("dataset")
    assert images_dir(params.dataset, workspace=workspace) == directory
    assert sorted(path.name for path in directory.glob("*.tar")) == [
        "part-00000.images.tar", "part-00001.images.tar",
    ]  # fmt: skip
    for image in index_of(workspace).images:
        assert read_image_bytes(image, root_dir=directory) == jpeg(picture(image.key))
    assert not list(directory.rglob("*.jpg"))


@pytest.mark.usefixtures("password")
def test_repeated_run_reuses_all_parts_and_puts_a_damaged_tar_right(
    root_dir: Path, workspace: Workspace
) -> None:
    params = params_for(root_dir)
    run("dataset", params=params, workspace=workspace)
    whole = files_of(workspace.stage_dir("dataset"))
    assert run("dataset", params=params, workspace=workspace).num_reused == 2
    tar = workspace.stage_dir("dataset") / "part-00001.images.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"\1")
    assert run("dataset", params=params, workspace=workspace).num_reused == 1
    assert files_of(workspace.stage_dir("dataset")) == whole


@pytest.mark.usefixtures("password")
def test_an_image_that_changed_in_the_zip_is_indexed_again(root_dir: Path, workspace: Workspace) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    rewrite(root_dir, changed={FIRST.path: jpeg(picture("another"))})
    assert run("dataset", params=params_for(root_dir), workspace=workspace).num_reused == 1
    image = next(image for image in index_of(workspace).images if image.key == FIRST.key)
    assert read_image_bytes(image, root_dir=workspace.stage_dir("dataset")) == jpeg(picture("another"))


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero-byte file"),
        (jpeg(picture("x"))[:200], "truncated or damaged image"),
        (b"<html>not found</html>", "not an image"),
        (None, "file not found"),
    ],
)
def test_bad_image_is_an_exclusion_with_its_reason(
    root_dir: Path, workspace: Workspace, data: bytes | None, reason: str
) -> None:
    rewrite(root_dir, changed={FIRST.path: data})
    run("dataset", params=params_for(root_dir, missing="drop"), workspace=workspace)
    assert index_of(workspace).exclusions == (Exclusion(key=FIRST.key, reason=reason, stage="dataset"),)


@pytest.mark.usefixtures("password")
def test_a_damaged_member_is_an_exclusion(root_dir: Path, workspace: Workspace) -> None:
    path = root_dir / "img_highres.zip"
    data = bytearray(path.read_bytes())
    data[list_images(path)[FIRST.path].offset + 300] ^= 1
    path.write_bytes(data)
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.num_excluded) == (8, 1)
    (exclusion,) = index_of(workspace).exclusions
    assert exclusion.reason == "damaged in the zip (its checksum does not fit)"


@pytest.mark.usefixtures("password")
def test_two_processes_write_what_one_does(root_dir: Path, workspace: Workspace, tmp_path: Path) -> None:
    params = params_for(root_dir)
    run("dataset", params=params, workspace=workspace)
    other = Workspace(root=tmp_path / "other")
    run_stage("dataset", params, workspace=other, mapper=LocalMapper(num_workers=2, device_ids=()))
    assert files_of(other.stage_dir("dataset")) == files_of(workspace.stage_dir("dataset"))


def test_a_missing_password_is_asked_for_by_its_variable_before_any_part_is_begun(
    root_dir: Path, workspace: Workspace
) -> None:
    with password_set(None), pytest.raises(ConfigError, match=rf"is encrypted; set .*{PASSWORD_VARIABLE} to"):
        run("dataset", params=params_for(root_dir), workspace=workspace)
    assert files_of(workspace.stage_dir("dataset")) == {}


def test_a_wrong_password_is_told_before_any_part_is_begun(root_dir: Path, workspace: Workspace) -> None:
    with password_set("open sesame"), pytest.raises(DataError) as raised:
        run("dataset", params=params_for(root_dir), workspace=workspace)
    assert "img_highres.zip: the password does not open it" in str(raised.value)
    assert "open sesame" not in str(raised.value)
    assert files_of(workspace.stage_dir("dataset")) == {}


def test_a_zip_without_encryption_needs_no_password(root_dir: Path, workspace: Workspace) -> None:
    entry = ZipEntry(name=FIRST.path, data=jpeg(picture(FIRST.key)), password=None)
    write_zip(root_dir / "img_highres.zip", entries=[entry])
    with password_set(None):
        report = run(
            "dataset", params=params_for(root_dir, pairs="all-views", limit=0.9), workspace=workspace
        )
    assert (report.num_items, report.num_excluded) == (1, 8)


@pytest.mark.usefixtures("password")
def test_the_password_is_written_nowhere(root_dir: Path, workspace: Workspace) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    assert all(PASSWORD.encode() not in data for data in files_of(workspace.root).values())


@pytest.mark.usefixtures("password")
def test_a_folder_wins_over_the_zip_which_is_said_and_its_tars_are_removed(
    root_dir: Path, workspace: Workspace
) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    write_folder(root_dir)
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.num_reused, report.details["images"]) == (0, "img_highres")
    assert report.details["remarks"] == "img_highres.zip is not read, for there is img_highres"
    assert not list(workspace.stage_dir("dataset").glob("*.tar"))
    assert images_dir(params_for(root_dir).dataset, workspace=workspace) == root_dir


@pytest.mark.usefixtures("password")
def test_the_makers_folders_and_their_official_list_are_read(root_dir: Path, workspace: Workspace) -> None:
    for folder, name in (("Img", "img_highres.zip"), ("Eval", "fasion-pairs-test.csv")):
        (root_dir / folder).mkdir()
        (root_dir / name).rename(root_dir / folder / name)
    rows = [
        (name, status) for split, status in (("train", "train"), ("test", "query")) for name in names(split)
    ]
    lines = [f"{name.path} id_{name.identity} {status}" for name, status in rows]
    (root_dir / "Eval" / "list_eval_partition.txt").write_text(
        "\n".join(["9", "image_name item_id evaluation_status", *lines])
    )
    for split in ("train", "test"):
        (root_dir / f"{split}.lst").unlink()
    report = run("dataset", params=params_for(root_dir), workspace=workspace)
    assert (report.num_items, report.details["pairs_test"]) == (9, 2)
    settings = read_manifest(workspace.stage_dir("dataset")).settings
    assert {key: settings[key] for key in ("images", "lists", "pair_lists")} == {
        "images": "Img/img_highres.zip",
        "lists": "Eval/list_eval_partition.txt",
        "pair_lists": "Eval/fasion-pairs-test.csv, fasion-pairs-train.csv",
    }


def test_a_full_disk_is_told_in_one_sentence_and_leaves_no_half_tar(
    root_dir: Path, workspace: Workspace
) -> None:
    code = (
        "import resource, signal; from pathlib import Path\n"
        "from mcld.errors import DataError; from mcld.workspace import Workspace\n"
        "from tests.stages.deepfashion_folder import params_for, run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"root = Path({str(root_dir)!r}); workspace = Workspace(root=Path({str(workspace.root)!r}))\n"
        "try:\n    run('dataset', params=params_for(root), workspace=workspace)\n"
        "except DataError as error:\n    print(error)\n"
    )
    environment = {**os.environ, PASSWORD_VARIABLE: PASSWORD}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "part-00000.images.tar: cannot be written (File too large); free some space" in done.stdout, done
    assert files_of(workspace.stage_dir("dataset")) == {}


@pytest.mark.usefixtures("password")
def test_a_part_names_its_tar_and_its_images_places_in_it(root_dir: Path, workspace: Workspace) -> None:
    run("dataset", params=params_for(root_dir), workspace=workspace)
    directory = workspace.stage_dir("dataset")
    part = json.loads((directory / "part-00000.images.json").read_text())
    assert list(part["files"]) == ["part-00000.images.tar"]
    tar = (directory / "part-00000.images.tar").read_bytes()
    for image in part["images"]:
        assert image["path"] == "part-00000.images.tar"
        assert tar[image["offset"] :].startswith(b"\xff\xd8\xff")
