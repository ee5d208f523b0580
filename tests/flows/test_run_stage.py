"""What a stage's task refuses, and what it repeats."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed

from flows.freshness import commit, inputs_fingerprint
from flows.run_stage import is_worth_repeating, run_stage
from mcld.errors import ConfigError, DataError, WorkerError
from mcld.workspace import Workspace
from tests.workspaces import change_params, make_checkout


def test_a_changed_parameter_changes_the_fingerprint_of_its_stage_alone(tmp_path: Path) -> None:
    workspace = Workspace(root=make_checkout(tmp_path / "checkout"))
    face, densepose = (inputs_fingerprint(name, workspace=workspace) for name in ("face", "densepose"))
    change_params(workspace.root, changes={"face": {"dim": 128}})
    assert inputs_fingerprint("face", workspace=workspace) != face
    assert inputs_fingerprint("densepose", workspace=workspace) == densepose


def test_an_output_is_not_recorded_when_its_inputs_changed_under_it(tmp_path: Path) -> None:
    workspace = Workspace(root=make_checkout(tmp_path / "checkout"))
    made_from = inputs_fingerprint("face", workspace=workspace)
    change_params(workspace.root, changes={"face": {"dim": 128}})
    with pytest.raises(ConfigError, match=r"face: .* run it again"):
        commit("face", workspace=workspace, made_from=made_from)
    assert not (workspace.root / "dvc.lock").exists()


@pytest.mark.parametrize(
    ("error", "expected"), [(WorkerError("a worker died"), True), (DataError("damaged"), False)]
)
def test_only_a_lost_worker_is_worth_repeating(error: Exception, expected: bool) -> None:
    state: State[object] = Failed(data=error)
    task_run = TaskRun(task_key="run_stage", dynamic_key="0", flow_run_id=None)
    assert is_worth_repeating(run_stage, task_run, state) is expected
