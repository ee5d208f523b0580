"""`mcld shards verify` and `show`: damage is named, and a sample becomes a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.data.codec import decode_image
from mcld.data.shards import ShardSet
from mcld.errors import DataError
from mcld.evaluation.pictures import CAPTION_HEIGHT_PX, GUTTER_PX, LABEL_HEIGHT_PX
from mcld.stages.shard_pictures import CELL_HEIGHT_PX, find_sample, picture_of_sample
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import run_data_stages
from tests.workspaces import run_mcld

ROW_HEIGHT_PX = LABEL_HEIGHT_PX + CELL_HEIGHT_PX + CAPTION_HEIGHT_PX + GUTTER_PX


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(root=tmp_path_factory.mktemp("run"))
    run_data_stages(made)
    return made


@pytest.fixture(scope="module")
def shards(workspace: Workspace) -> ShardSet:
    return ShardSet.open(workspace.stage_dir("shards"))


def test_every_view_is_a_row_whatever_names_the_sample(shards: ShardSet) -> None:
    sample = shards.samples[0]
    picture = picture_of_sample(shards, sample=sample)
    assert picture.shape[0] == GUTTER_PX + len(sample.views) * ROW_HEIGHT_PX
    assert find_sample(shards, name=sample.outfit) == sample
    assert find_sample(shards, name=sample.key(0)) == sample


def test_an_unknown_sample_is_an_error_with_its_neighbours(shards: ShardSet) -> None:
    outfit = shards.samples[0].outfit
    with pytest.raises(DataError, match=rf"{outfit}9: no sample of .*; did you mean .*{outfit}"):
        find_sample(shards, name=f"{outfit}9")


def test_whole_shards_verify_and_show_and_damage_is_named(workspace: Workspace, shards: ShardSet) -> None:
    root, sample = workspace.root, shards.samples[0]
    for arguments in ((), ("--deep",)):
        done = run_mcld("shards", "verify", *arguments, cwd=root)
        assert done.returncode == 0, done.stderr
        assert f"{len(shards.samples)} samples" in done.stdout
        assert done.stdout.endswith(": whole\n")
    shown = run_mcld("shards", "show", sample.outfit, cwd=root)
    assert shown.returncode == 0, shown.stderr
    assert sample.shard in shown.stdout
    assert decode_image((root / "sample.png").read_bytes()).any()

    damage(Path(shards.place) / sample.shard, position=sample.offset + 512 + 20)  # in its JSON
    deep = run_mcld("shards", "verify", "--deep", cwd=root)
    assert (deep.returncode, deep.stdout) == (2, "")
    assert f"{sample.shard}: sample {sample.outfit}" in deep.stderr
    plain = run_mcld("shards", "verify", cwd=root)
    assert plain.returncode == 2
    assert f"{sample.shard}: damaged" in plain.stderr


def damage(path: Path, *, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(bytes(data))
