"""Where a flow runs: a checkout that DVC knows, and the commit that its results will be told by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo
from prefect import get_run_logger
from prefect.artifacts import create_table_artifact

from mcld.errors import ConfigError
from mcld.tracking import code_state

if TYPE_CHECKING:
    from mcld.tracking import CodeState
    from mcld.workspace import Workspace

PIPELINE_NAME = "dvc.yaml"
MAX_NAMED = 5


def check_checkout(workspace: Workspace, *, require_clean: bool) -> None:
    """Record on Prefect's page which commit is checked out here, and what differs from it.

    Raises as `code_here`.
    """
    state, folder = code_here(workspace, require_clean=require_clean), str(workspace.root.resolve())
    if state is None:
        get_run_logger().warning("%s: no git commit here, so none is recorded", folder)
        return
    if state.changed:
        get_run_logger().warning("differs from commit %s: %s", state.commit[:10], _named(state))
    create_table_artifact(
        key="code",
        table=[{"commit": state.commit, "differing files": ", ".join(state.changed), "folder": folder}],
        description="What is checked out, and what differs from it",
    )


def code_here(workspace: Workspace, *, require_clean: bool) -> CodeState | None:
    """The commit that is checked out and what differs from it; None where there is no commit.

    Raises ConfigError outside a DVC checkout; with `require_clean` also when tracked files differ from the
    commit, or when there is none.
    """
    _check_dvc(workspace)
    state, folder = code_state(workspace.root), workspace.root.resolve()
    if not require_clean:
        return state
    if state is None:
        raise ConfigError(
            f"{folder}: no git commit to hold to; clone the project, or leave `require_clean` out"
        )
    if state.changed:
        raise ConfigError(
            f"{folder}: {len(state.changed)} tracked files differ from commit {state.commit[:10]}: "
            f"{_named(state)}; commit or undo them, or leave `require_clean` out"
        )
    return state


def _named(state: CodeState) -> str:
    return ", ".join(state.changed[:MAX_NAMED]) + (" …" if len(state.changed) > MAX_NAMED else "")


def _check_dvc(workspace: Workspace) -> None:
    folder = workspace.root.resolve()
    try:
        Repo.find_root(str(folder))
    except NotDvcRepoError as error:
        raise ConfigError(
            f"{folder}: no DVC checkout; start the worker in a clone of the project, or set `working_dir` in "
            "prefect.yaml and `prefect deploy --all`"
        ) from error
    if not (folder / PIPELINE_NAME).is_file():
        raise ConfigError(f"{folder}: no {PIPELINE_NAME}; start the worker in the top folder of a clone")
