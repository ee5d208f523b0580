"""The shards stage joins the columns, drops what a column lacks and counts it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcld.data.columns import Column
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.data.loader import Loader, Samples
from mcld.data.manifest import read_manifest
from mcld.data.shards import CONDITION_MEMBERS, LATENT_MEMBERS, ShardSet, verify_shards
from mcld.errors import DataError
from mcld.stages.shards import cut
from mcld.storage import sha256_of_file
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import MODEL_HEIGHT_PX, MODEL_WIDTH_PX, PARAMS, run_data_stage


def test_shards_hold_every_pair_that_all_columns_serve(finished_workspace: Workspace) -> None:
    index = read_index(finished_workspace.stage_dir("dataset"))
    lost = set()
    for stage in ("densepose", "face", "texture", "latents"):
        lost |= set(Column.open(finished_workspace.stage_dir(stage)).excluded())
    served = {pair for pair in index.pairs if not {pair.source, pair.target} & lost}
    shards = ShardSet.open(finished_workspace.stage_dir("shards"))
    packed = [sample.pair(n) for sample in shards.samples for n in range(len(sample.pairs))]
    assert set(packed) == served
    assert len(packed) == len(served) < len(index.pairs)
    counts = shards.manifest.counts
    lost_pairs = {name: count for name, count in counts.items() if name.startswith("pairs_lost")}
    assert sum(lost_pairs.values()) == len(index.pairs) - len(packed)
    assert set(lost_pairs) == {
        "pairs_lost: densepose: no person detected",
        "pairs_lost: face: face embedding: array holds NaN or Inf",
    }


def test_splits_lie_in_shards_of_their_own_and_verify(finished_workspace: Workspace) -> None:
    shards = ShardSet.open(finished_workspace.stage_dir("shards"))
    assert verify_shards(shards, deep=True) == len(shards.samples)
    assert all(sample.shard.startswith(f"{sample.split}-") for sample in shards.samples)
    num_train = len({sample.shard for sample in shards.of_split("train")})
    assert num_train >= PARAMS.shards.min_shards


def test_manifest_says_what_it_was_made_from(finished_workspace: Workspace) -> None:
    manifest = read_manifest(finished_workspace.stage_dir("shards"))
    assert manifest.settings["made_from"] == {
        stage: sha256_of_file(finished_workspace.stage_dir(stage) / "manifest.json")
        for stage in ("dataset", "densepose", "face", "texture", "latents")
    }


def test_facts_of_the_columns_stay_out_of_the_shards(finished_workspace: Workspace) -> None:
    shards = ShardSet.open(finished_workspace.stage_dir("shards"))
    for sample in shards.samples:
        members = {name.partition(".")[2] for name in shards.read_sample(sample) if name != "json"}
        assert members == {*CONDITION_MEMBERS, *LATENT_MEMBERS}


def test_a_sample_says_of_every_view_what_the_face_column_says(finished_workspace: Workspace) -> None:
    column = Column.open(finished_workspace.stage_dir("face"))
    parts = [column.read_part(record.index) for record in column.manifest.parts]
    facts = {key: json.loads(item["face.json"]) for part in parts for key, item in part.items()}
    shards = ShardSet.open(finished_workspace.stage_dir("shards"))
    said = {
        sample.key(number): found
        for sample in shards.samples
        for number, found in enumerate(sample.face_found)
    }
    assert said == {key: facts[key]["face_found"] for key in said}
    assert set(said.values()) == {True, False}


def test_loader_reads_real_shards(finished_workspace: Workspace) -> None:
    directory = finished_workspace.stage_dir("shards")
    loader = Loader.open(
        directory,
        split="train",
        batch_size=4,
        seed=0,
        pairs_per_visit=2,
        shuffle_outfits=2,
    )
    batch = next(loader.batches(start_step=0))
    assert batch.target_iuv.shape == (4, 3, MODEL_HEIGHT_PX, MODEL_WIDTH_PX)
    assert batch.face_embedding.shape == (4, 512)
    samples = Samples.open(directory, split="test")
    assert {pair.split for pair in samples.pairs} == {"test"}


def test_a_changed_column_part_remakes_only_the_shards_it_is_in(workspace_copy: Workspace) -> None:
    sample = ShardSet.open(workspace_copy.stage_dir("shards")).of_split("test")[0]
    name = parse_name(sample.key(sample.face_found.index(True))).flat
    face = workspace_copy.stage_dir("dataset") / "people" / "test_face" / f"{name}.npy"
    face.write_bytes(face.read_bytes()[:-4] + np.float32(1).tobytes())
    run_data_stage("face", workspace=workspace_copy)
    before = read_manifest(workspace_copy.stage_dir("shards"))
    report = run_data_stage("shards", workspace=workspace_copy)
    assert 0 < report.num_reused < len(before.parts)
    after = read_manifest(workspace_copy.stage_dir("shards"))
    changed = {
        new.path for old, new in zip(before.parts, after.parts, strict=True) if old.sha256 != new.sha256
    }
    assert {path[:4] for path in changed} == {"test"}


def test_missing_column_names_the_stage_to_run(workspace_copy: Workspace) -> None:
    (workspace_copy.stage_dir("latents") / "manifest.json").unlink()
    with pytest.raises(DataError, match="the stage 'latents' has not finished here: run it first"):
        run_data_stage("shards", workspace=workspace_copy)


def test_latents_of_an_earlier_version_are_an_error_naming_the_stage_to_run(
    workspace_copy: Workspace,
) -> None:
    path = workspace_copy.stage_dir("latents") / "manifest.json"
    path.write_text(path.read_text().replace('"cache": true,', ""))
    with pytest.raises(
        DataError, match=r"latents/manifest\.json: does not say .*run the stage 'latents' again"
    ):
        run_data_stage("shards", workspace=workspace_copy)


def test_damaged_column_part_is_an_error_naming_it(workspace_copy: Workspace) -> None:
    path = workspace_copy.stage_dir("texture") / "part-00000.tar"
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(bytes(data))
    (workspace_copy.stage_dir("shards") / "train-00000.tar").unlink()
    with pytest.raises(DataError, match=r"texture/part-00000\.tar: damaged"):
        run_data_stage("shards", workspace=workspace_copy)


def test_fewer_outfits_than_shards_is_an_error_with_the_counts(workspace_copy: Workspace) -> None:
    params = PARAMS.model_copy(update={"shards": PARAMS.shards.model_copy(update={"min_shards": 9})})
    with pytest.raises(
        DataError, match=r"4 outfits with pairs cannot fill 9 shards; lower shards\.min_shards"
    ):
        run_data_stage("shards", workspace=workspace_copy, params=params)


@given(
    sizes=st.lists(st.integers(1, 1000), max_size=40),
    target_bytes=st.integers(1, 3000),
    min_shards=st.integers(0, 8),
)
def test_cut_covers_all_outfits_with_at_least_the_asked_number_of_shards(
    sizes: list[int], target_bytes: int, min_shards: int
) -> None:
    if len(sizes) < min_shards:
        with pytest.raises(DataError):
            cut(sizes, target_bytes=target_bytes, min_shards=min_shards)
        return
    pieces = cut(sizes, target_bytes=target_bytes, min_shards=min_shards)
    assert [i for start, end in pieces for i in range(start, end)] == list(range(len(sizes)))
    assert all(start < end for start, end in pieces)
    assert len(pieces) >= min(min_shards, len(sizes))
    assert len(pieces) == min(len(sizes), max(min_shards, -(-sum(sizes) // target_bytes)))
