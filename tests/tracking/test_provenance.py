"""A run says which code, machine and data it is of; a data digest is DVC's only if DVC means this content."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from mcld.storage import sha256_of_file
from mcld.tracking import (
    FLOW_RUN_PAGE_VARIABLE,
    FLOW_RUN_VARIABLE,
    code_state,
    code_tags,
    flatten,
    folder_digest,
    machine_tags,
)

DIGEST = "0123456789abcdef0123456789abcdef.dir"


def test_nested_params_are_flattened_with_dots() -> None:
    assert flatten({"train": {"steps": 3, "loss": {"gamma": 5.0}}, "seed": 1}) == {
        "train.steps": 3,
        "train.loss.gamma": 5.0,
        "seed": 1,
    }


def test_code_tags_say_commit_and_whether_the_tree_differs(tmp_path: Path) -> None:
    assert code_tags(tmp_path) == {}
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    tags = code_tags(tmp_path)
    assert len(tags["git.commit"]) == 40
    assert tags["git.dirty"] == "false"
    assert tags["dvc.lock.sha256"] == sha256_of_file(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text("stages: {a: b}\n")  # a result, which every run changes
    assert code_tags(tmp_path)["git.dirty"] == "false"
    (tmp_path / "mcld").mkdir()
    (tmp_path / "mcld" / "new.py").touch()  # unknown to git, and yet it runs
    (tmp_path / "beside").mkdir()
    for root in (tmp_path, tmp_path / "beside"):  # a workspace beside is of the same code
        tags = code_tags(root)
        assert (tags["git.dirty"], tags["git.changed"]) == ("true", "mcld/new.py")


def test_the_code_differs_by_files_and_not_by_results(tmp_path: Path) -> None:
    assert code_state(tmp_path) is None
    (tmp_path / "metrics").mkdir()
    for name in ("dvc.lock", "metrics/train.json", "params.yaml"):
        (tmp_path / name).write_text("one\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    for name in ("dvc.lock", "metrics/train.json"):
        (tmp_path / name).write_text("two\n")
    clean = code_state(tmp_path)
    assert clean is not None
    assert (len(clean.commit), clean.changed) == (40, ())
    (tmp_path / "params.yaml").write_text("two\n")
    changed = code_state(tmp_path)
    assert changed is not None
    assert changed.changed == ("params.yaml",)


def test_the_flow_run_is_named_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PREFECT__FLOW_RUN_ID", FLOW_RUN_VARIABLE, FLOW_RUN_PAGE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert not [tag for tag in machine_tags() if tag.startswith("prefect.")]
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "11")
    monkeypatch.setenv(FLOW_RUN_PAGE_VARIABLE, "http://127.0.0.1:4200/runs/11")
    assert machine_tags()["prefect.flow_run_id"] == "11"
    assert machine_tags()["prefect.flow_run_url"] == "http://127.0.0.1:4200/runs/11"
    assert {"host", "version.python", "version.torch", "version.mcld"} <= set(machine_tags())


def _workspace(root: Path) -> Path:
    folder = root / "artifacts" / "shards"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (root / "dvc.lock").write_text(
        f"stages:\n  shards:\n    outs:\n    - path: artifacts/shards\n      md5: {DIGEST}\n"
    )
    listed = root / ".dvc" / "cache" / "files" / "md5" / DIGEST[:2] / DIGEST[2:]
    listed.parent.mkdir(parents=True)
    md5 = hashlib.md5(b"{}", usedforsecurity=False).hexdigest()
    listed.write_text(json.dumps([{"md5": md5, "relpath": "manifest.json"}]))
    return folder


def _digest(root: Path, folder: Path) -> str:
    return folder_digest(folder, stage="shards", root=root, index_name="manifest.json")


def test_a_folder_that_dvc_recorded_has_dvcs_digest(tmp_path: Path) -> None:
    folder = _workspace(tmp_path)
    assert _digest(tmp_path, folder) == DIGEST
    assert len(DIGEST) == 36  # as much as MLflow keeps


def test_a_folder_that_changed_since_or_was_never_recorded_has_its_own(tmp_path: Path) -> None:
    folder = _workspace(tmp_path)
    (folder / "manifest.json").write_text("{ }")
    assert _digest(tmp_path, folder) == sha256_of_file(folder / "manifest.json")[:36]
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    assert _digest(tmp_path, folder) == sha256_of_file(folder / "manifest.json")[:36]
