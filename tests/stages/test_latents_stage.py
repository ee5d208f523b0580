"""The stage `latents`: the same bytes from any number of processes; what cannot be encoded is left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.conditions.encoders import load_image_encoder
from mcld.conditions.latents import embed_blank
from mcld.config import num_workers
from mcld.data.codec import decode_npy, encode_png
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.data.shards import BLANK_NAME
from mcld.errors import DataError
from mcld.stages.columns import column_plans, images_dir
from mcld.stages.latents import LatentsWork
from mcld.stages.mapper import LocalMapper
from mcld.stages.pixels import encoder_source
from mcld.storage import sha256_of_bytes
from mcld.types import ImageRecord
from mcld.workspace import Workspace
from tests.stages.kill_sweep import contents
from tests.stages.tiny_latents import CACHED, RUNTIME, copy_of, loader_of, run, with_overflowing_vae
from tests.stages.tiny_weights import params_with


@pytest.fixture
def workspace(textured: Workspace, tmp_path: Path) -> Workspace:
    return copy_of(textured, tmp_path / "run")


def work_of(workspace: Workspace, *, root_dir: Path | None = None) -> LatentsWork:
    return LatentsWork(
        params=CACHED.latents,
        root_dir=root_dir or images_dir(CACHED.dataset, workspace=workspace),
        texture=Column.open(workspace.stage_dir("texture")),
        encoders=encoder_source(RUNTIME, weights_dir=workspace.stage_dir("weights")),
        num_threads=num_workers(RUNTIME),
    )


def first_part(workspace: Workspace) -> tuple[ImageRecord, ...]:
    return column_plans(read_index(workspace.stage_dir("dataset")).images)[0].payload


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(cached: Workspace, workspace: Workspace) -> None:
    mapper = LocalMapper(num_workers=2, device_ids=("0", "1"))
    report = run("latents", params=CACHED, workspace=workspace, mapper=mapper)
    assert len(read_manifest(report.output).parts) > 2
    assert contents(report.output) == contents(cached.stage_dir("latents"))


def test_its_work_travels_as_paths_and_values_and_asks_for_a_device(cached: Workspace) -> None:
    work = work_of(cached)
    assert work.uses_device
    assert "Autoencoder" not in repr(work)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda data: data[: len(data) // 2], "truncated or damaged image"), (lambda _: b"", "zero-byte file")],
)
def test_an_image_that_cannot_be_decoded_is_left_out_with_the_reason(
    textured: Workspace, tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    root_dir = Path(shutil.copytree(images_dir(CACHED.dataset, workspace=textured), tmp_path / "images"))
    images = first_part(textured)
    kept = [image for image in images if image.key in Column.open(textured.stage_dir("texture")).read_part(0)]
    bad = kept[1]
    data = damage((root_dir / bad.path).read_bytes())
    (root_dir / bad.path).write_bytes(data)
    # As an index knows it that was made without decoding: the bytes are the indexed ones, and no picture.
    damaged = replace(bad, sha256=sha256_of_bytes(data), num_bytes=len(data))
    indexed = tuple(damaged if image is bad else image for image in images)
    output = work_of(textured, root_dir=root_dir).build(indexed, path=tmp_path / "part-00000.tar")
    assert [(item.key, item.reason, item.stage) for item in output.exclusions] == [
        (bad.key, reason, "latents")
    ]
    assert output.num_items == len(kept) - 1


def test_an_image_that_changed_since_it_was_indexed_is_an_error(textured: Workspace, tmp_path: Path) -> None:
    images = first_part(textured)
    root_dir = Path(shutil.copytree(images_dir(CACHED.dataset, workspace=textured), tmp_path / "images"))
    kept = next(
        image for image in images if image.key in Column.open(textured.stage_dir("texture")).read_part(0)
    )
    (root_dir / kept.path).write_bytes(encode_png(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(DataError, match=rf"{kept.path}: changed since the index was made"):
        work_of(textured, root_dir=root_dir).build(images, path=tmp_path / "part-00000.tar")
    assert not (tmp_path / "part-00000.tar").exists()


def test_moments_beyond_float16_are_left_out_and_too_many_of_them_are_an_error(workspace: Workspace) -> None:
    with_overflowing_vae(workspace)
    reason = "VAE moments of the image: too large for float16"
    with pytest.raises(DataError, match=rf"latents\.max_excluded_fraction = 0\.25 allows: \d+ x {reason}"):
        run("latents", params=CACHED, workspace=workspace)
    lenient = params_with(CACHED, section="latents", max_excluded_fraction=1.0)
    report = run("latents", params=lenient, workspace=workspace)
    assert (report.num_items, report.num_excluded) == (0, len(set(excluded(workspace))))
    assert set(excluded(workspace).values()) == {reason}


def excluded(workspace: Workspace) -> dict[str, str]:
    return Column.open(workspace.stage_dir("latents")).excluded()


def test_a_share_of_exclusions_that_is_allowed_changes_no_byte(workspace: Workspace) -> None:
    first = run("latents", params=CACHED, workspace=workspace)
    before = contents(first.output)
    stricter = params_with(CACHED, section="latents", max_excluded_fraction=0.5)
    again = run("latents", params=stricter, workspace=workspace)
    assert again.num_reused == len(read_manifest(first.output).parts)
    assert contents(again.output) == before


def test_the_stage_without_weights_names_the_one_to_run(workspace: Workspace) -> None:
    (workspace.stage_dir("weights") / "manifest.json").unlink()
    with pytest.raises(DataError, match="the stage 'weights' has not finished here: run it first"):
        run("latents", params=CACHED, workspace=workspace)


def test_the_blank_image_is_embedded_once_and_travels_with_the_shards(cached: Workspace) -> None:
    expected = embed_blank(load_image_encoder(cached.stage_dir("weights") / "image_encoder")).numpy()
    column = Column.open(cached.stage_dir("latents"))
    assert np.array_equal(decode_npy(column.read_file(BLANK_NAME)), expected)
    assert np.array_equal(loader_of(cached).blank_embedding(), expected)


def test_a_blank_embedding_is_kept_while_it_is_right_and_made_again_when_it_is_not(
    workspace: Workspace,
) -> None:
    blank = run("latents", params=CACHED, workspace=workspace).output / BLANK_NAME
    first = blank.read_bytes()
    blank.write_bytes(first[:-4] + np.float32(1).tobytes())  # damaged
    run("latents", params=CACHED, workspace=workspace)
    assert blank.read_bytes() == first
    encoder = load_image_encoder(workspace.root / "base" / "image_encoder")
    torch.nn.init.normal_(encoder.visual_projection.weight)
    encoder.save_pretrained(workspace.root / "base" / "image_encoder")
    for stage in ("weights", "latents"):
        run(stage, params=CACHED, workspace=workspace)
    other = embed_blank(load_image_encoder(workspace.stage_dir("weights") / "image_encoder")).numpy()
    assert np.array_equal(decode_npy(blank.read_bytes()), other)
    assert blank.read_bytes() != first


def test_a_damaged_blank_embedding_in_the_shards_is_told(cached: Workspace, tmp_path: Path) -> None:
    copy = copy_of(cached, tmp_path / "run")
    (copy.stage_dir("shards") / BLANK_NAME).write_bytes(b"other")
    with pytest.raises(DataError, match=r"blank\.npy: damaged"):
        loader_of(copy).blank_embedding()
