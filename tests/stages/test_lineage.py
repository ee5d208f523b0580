"""A model's chain: what its run recorded, then the files that made it where they are here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcld.data.manifest import write_manifest
from mcld.errors import DataError
from mcld.stages.lineage import UNKNOWN, Link, lineage
from mcld.storage import sha256_of_file
from mcld.tracking import RunRecord
from mcld.types import Manifest, PartRecord
from mcld.workspace import Workspace

RUN = RunRecord(
    run_id="abc",
    name="full seed 0",
    experiment_id="1",
    experiment="mcld",
    identity="identity of the model",
    parent_id=None,
    params={"train.steps": "4"},
    metrics={},
    tags={"git.commit": "f00d", "git.dirty": "false", "version.torch": "2.13.0", "mcld.shards": "5eed"},
)


def finish(workspace: Workspace, stage: str, *, path: str, settings: dict[str, object]) -> None:
    part = PartRecord(
        index=0,
        path=path,
        sha256="1" * 64,
        num_bytes=1,
        num_items=7,
        fingerprint="identity of the model",
    )
    workspace.stage_dir(stage).mkdir(parents=True)
    manifest = Manifest(stage=stage, format_version=1, settings=settings, parts=(part,))
    write_manifest(workspace.stage_dir(stage), manifest=manifest)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path)
    finish(workspace, "weights", path="unet/model.safetensors", settings={})
    finish(workspace, "face", path="part-00000.tar", settings={"recogniser_sha256": "2" * 64})
    finish(workspace, "train", path="model/a", settings={})
    finish(workspace, "evaluate", path="part-00000.json", settings={})
    return workspace


def facts(links: tuple[Link, ...]) -> dict[str, dict[str, str]]:
    return {link.title: dict(link.facts) for link in links}


def test_the_chain_goes_from_the_code_to_the_files_of_the_model(workspace: Workspace) -> None:
    found = facts(lineage(RUN, workspace=workspace))
    assert found["code"] == {
        "git commit": "f00d",
        "uncommitted changes": "false",
        "changed files": UNKNOWN,
    }
    assert found["environment"]["version of torch"] == "2.13.0"
    assert found["data"]["training shards, fingerprint"] == "5eed"
    assert found["run"]["MLflow run"] == "abc (full seed 0, experiment mcld)"
    assert found["artifacts/weights"]["unet/model.safetensors"] == "1" * 64
    assert found["artifacts/face"]["recogniser, sha256"] == "2" * 64
    manifest_path = workspace.stage_dir("train") / "manifest.json"
    assert found["artifacts/train"]["manifest, sha256"] == sha256_of_file(manifest_path)
    assert list(found)[-1] == "artifacts/train"  # what comes after the model did not make it


def test_what_nobody_recorded_is_said_to_be_so(workspace: Workspace) -> None:
    found = facts(lineage(RUN, workspace=workspace))
    assert found["run"]["Prefect flow run"] == UNKNOWN
    assert found["artifacts/dataset"] == {"manifest": "not in this workspace"}


def test_files_of_another_model_are_not_taken_for_its_own(workspace: Workspace) -> None:
    found = facts(lineage(replace(RUN, identity="someone else"), workspace=workspace))
    assert found["model in this workspace"] == {"identity": "another, identity of the model"}
    assert "artifacts/train" not in found


def test_of_a_model_that_was_made_elsewhere_the_record_speaks(workspace: Workspace) -> None:
    made_from = {
        "dvc_lock": {"stages": {"dataset": {"outs": [{"path": "artifacts/dataset", "md5": "3.dir"}]}}},
        "manifests": {"dataset": "4" * 64, "weights": "5" * 64},
        "weights": {"unet/model.safetensors": "6" * 64},
    }
    found = facts(lineage(replace(RUN, identity="elsewhere"), workspace=workspace, made_from=made_from))
    assert found["artifacts/dataset, as recorded"] == {
        "manifest, sha256": "4" * 64,
        "md5 by DVC": "3.dir",
    }
    assert found["artifacts/weights, as recorded"]["unet/model.safetensors"] == "6" * 64


def test_without_a_run_the_files_speak_alone_and_without_both_nothing_does(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert next(iter(facts(lineage(None, workspace=workspace)))) == "artifacts/dataset"
    with pytest.raises(DataError, match=r"no model here; run `dvc repro train`"):
        lineage(None, workspace=Workspace(root=tmp_path / "empty"))
