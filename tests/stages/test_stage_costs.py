"""The ledger of what stages took: told of the output that lies there, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.stages.report_cost import cost
from mcld.stages.stage_costs import LEDGER_NAME, note_run, stage_costs
from mcld.storage import write_json
from mcld.types import Report
from mcld.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path)


def run(workspace: Workspace, *, output: str, seconds: float, num_reused: int = 0) -> None:
    """A run of the stage `face` that ends with an output."""
    write_json(workspace.stage_dir("face") / "manifest.json", value=output)
    report = Report(
        stage="face",
        num_items=100,
        num_excluded=0,
        num_reused=num_reused,
        seconds=seconds,
        output=workspace.stage_dir("face"),
    )
    note_run(report, workspace=workspace)


def test_a_run_from_nothing_is_the_cost_whatever_came_before(workspace: Workspace) -> None:
    run(workspace, output="old", seconds=70.0)
    run(workspace, output="new", seconds=50.0)
    found = stage_costs(workspace)["face"]
    assert (found.seconds, found.num_items, found.is_whole) == (50.0, 100, True)


def test_runs_that_went_on_add_up_and_those_that_made_nothing_do_not(workspace: Workspace) -> None:
    run(workspace, output="old", seconds=50.0)
    run(workspace, output="grown", seconds=20.0, num_reused=3)
    run(workspace, output="grown", seconds=1.0, num_reused=4)
    found = stage_costs(workspace)["face"]
    assert (found.seconds, found.is_whole) == (70.0, True)


def test_parts_of_a_killed_run_make_the_cost_a_bound(workspace: Workspace) -> None:
    run(workspace, output="rest", seconds=20.0, num_reused=3)
    assert not stage_costs(workspace)["face"].is_whole
    (face, densepose, total) = cost(
        ("face", "densepose"), costs=stage_costs(workspace), training=None
    ).stages.rows
    assert face[:3] == ("face", "at least 20.0 s", "–")
    assert densepose[1] == "unknown"
    assert total[1] == "at least 20.0 s"


def test_an_output_from_elsewhere_has_no_cost(workspace: Workspace) -> None:
    run(workspace, output="mine", seconds=50.0)
    write_json(workspace.stage_dir("face") / "manifest.json", value="theirs")
    assert stage_costs(workspace) == {}


def test_a_torn_line_costs_only_itself(workspace: Workspace) -> None:
    run(workspace, output="one", seconds=50.0)
    path = workspace.state_dir / LEDGER_NAME
    path.write_text(path.read_text() + '{"stage": "fa')
    run(workspace, output="two", seconds=40.0)
    assert stage_costs(workspace)["face"].seconds == 40.0


def test_without_a_ledger_nothing_is_known(workspace: Workspace) -> None:
    assert stage_costs(workspace) == {}
    assert cost(("face",), costs={}, training=None).stages.rows[-1][1] == "unknown"
