"""A flow knows where it runs, and holds to a commit when it is told to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.checkout import code_here
from mcld.errors import ConfigError
from mcld.workspace import Workspace
from tests.workspaces import commit_all, make_checkout


def test_outside_a_dvc_checkout_it_says_where_to_start_the_worker(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no DVC checkout; start the worker in a clone"):
        code_here(Workspace(root=tmp_path), require_clean=False)
    checkout = make_checkout(tmp_path / "checkout")
    with pytest.raises(ConfigError, match=r"no dvc\.yaml; start the worker in the top folder"):
        code_here(Workspace(root=checkout / "mcld"), require_clean=False)


def test_a_dirty_tree_is_recorded_and_refused_by_option(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    workspace = Workspace(root=checkout)
    assert code_here(workspace, require_clean=False) is None
    with pytest.raises(ConfigError, match="no git commit to hold to"):
        code_here(workspace, require_clean=True)
    commit_all(checkout)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()
    clean = code_here(workspace, require_clean=True)
    assert clean is not None
    assert (clean.commit, clean.changed) == (commit, ())
    with (checkout / "params.yaml").open("a") as file:
        file.write("# changed\n")
    dirty = code_here(workspace, require_clean=False)
    assert dirty is not None
    assert dirty.changed == ("params.yaml",)
    with pytest.raises(
        ConfigError, match=r"1 tracked files differ from commit \w+: params\.yaml; commit or undo"
    ):
        code_here(workspace, require_clean=True)
