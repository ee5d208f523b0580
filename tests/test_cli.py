"""The command line: a user's mistake is one sentence and exit code 2; two runs at once are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcld.cli.profiles import use_profile
from mcld.cli.reports import describe, read_report, report_path, summary
from mcld.cli.status import changes, judge
from mcld.errors import DataError, WorkspaceBusyError
from mcld.stages import STAGES
from mcld.types import Report
from mcld.workspace import Workspace
from tests.workspaces import change_params, environment, make_checkout, run_python

NUM_PRESSES = 4
TIMEOUT_S = 60


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def fails(*arguments: str, cwd: Path) -> str:
    """Run a command that must end with exit code 2 and no traceback; returns what it said."""
    done = run_python("-m", "mcld", *arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def succeeds(*arguments: str, cwd: Path) -> str:
    done = run_python("-m", "mcld", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_help_lists_the_commands(checkout: Path) -> None:
    text = succeeds("--help", cwd=checkout)
    assert all(command in text for command in ("run", "params", "status", "summary", "profile"))


def test_an_unknown_stage_is_answered_with_the_nearest(checkout: Path) -> None:
    assert "unknown stage 'trian'; did you mean 'train'?" in fails("run", "trian", cwd=checkout)


def test_an_unknown_parameter_is_answered_with_the_nearest(checkout: Path) -> None:
    change_params(checkout, changes={"shards": {"shards_byte": 1}})
    message = fails("run", "dataset", cwd=checkout)
    assert "params.yaml: unknown key 'shards.shards_byte'; did you mean 'shard_bytes'?" in message
    assert not (checkout / "artifacts").exists()


def test_a_parameter_out_of_range_is_answered_with_the_bound(checkout: Path) -> None:
    change_params(checkout, changes={"train": {"batch_size": 0}})
    assert "train.batch_size: 0 is not allowed: input should be greater than or equal to 1" in fails(
        "params", cwd=checkout
    )


def test_a_folder_without_params_is_told(tmp_path: Path) -> None:
    assert "params.yaml: not found" in fails("params", cwd=tmp_path)
    assert "no profiles here" in fails("profile", "list", cwd=tmp_path)


def test_params_are_shown_resolved(checkout: Path) -> None:
    assert "train.steps = 4" in succeeds("params", cwd=checkout)
    assert json.loads(succeeds("params", "--json", cwd=checkout))["train"]["steps"] == 4


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    text = succeeds("run", "face", "--dry-run", cwd=checkout)
    assert "MISSING: run dataset first" in text
    assert "face.dim = 512" in text
    assert [path for path in sorted(checkout.rglob("*")) if "__pycache__" not in str(path)] == before


def test_a_run_reports_in_one_line_and_in_the_summary(checkout: Path) -> None:
    line = succeeds("run", "dataset", cwd=checkout).strip()
    assert line.startswith("dataset")
    assert "artifacts/dataset" in line
    report = read_report("dataset", workspace=Workspace(root=checkout))
    assert report is not None
    assert report.num_items > 0
    lines = succeeds("summary", cwd=checkout).splitlines()
    assert lines[0] == line
    assert lines[1].endswith("not run yet")


@contextmanager
def holding(checkout: Path) -> Iterator[int]:
    """Another process that holds the workspace; yields its id."""
    code = (
        "import time; from pathlib import Path; from mcld.workspace import Workspace\n"
        "with Workspace(root=Path()).locked():\n    print('held', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=checkout, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_second_run_is_refused_and_told_who_holds_the_workspace(checkout: Path) -> None:
    with holding(checkout) as pid:
        assert f"process {pid} is running a stage here" in fails("run", "dataset", cwd=checkout)


def test_the_lock_of_a_dead_process_is_taken_over(checkout: Path) -> None:
    workspace = Workspace(root=checkout)
    with holding(checkout) as pid:
        with pytest.raises(WorkspaceBusyError, match=str(pid)), workspace.locked():
            pass
        os.kill(pid, signal.SIGKILL)
    with workspace.locked():
        assert (workspace.state_dir / "run.lock").read_text() == str(os.getpid())


def test_an_interrupted_run_says_how_to_resume(checkout: Path) -> None:
    change_params(checkout, changes={"dataset": {"num_outfits": 5000}})
    with subprocess.Popen(
        [sys.executable, "-m", "mcld", "run", "dataset"],
        cwd=checkout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        _wait_until_exists(checkout / "artifacts" / "dataset" / "part-00000.json")
        stderr = _interrupt(process)
    assert process.returncode == 130
    assert "interrupted; repeat the command to resume" in stderr
    assert "Traceback" not in stderr


def _interrupt(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, again if nothing happens: Python drops one that falls into a destructor."""
    try:
        for _ in range(NUM_PRESSES):
            process.send_signal(signal.SIGINT)
            try:
                return process.communicate(timeout=TIMEOUT_S / NUM_PRESSES)[1]
            except subprocess.TimeoutExpired:
                continue
        pytest.fail(f"still running after {NUM_PRESSES} interrupts")
    finally:
        process.kill()  # else leaving the `with` would wait for ever


def _wait_until_exists(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def test_a_profile_replaces_the_params_and_keeps_edits(checkout: Path) -> None:
    edited = (checkout / "params.yaml").read_bytes()
    assert "params.yaml.bak" in succeeds("profile", "use", "mannequins-tiny", cwd=checkout)
    assert (checkout / "params.yaml.bak").read_bytes() == edited
    assert (checkout / "params.yaml").read_bytes() == (
        checkout / "profiles/mannequins-tiny.yaml"
    ).read_bytes()
    assert "* mannequins-tiny" in succeeds("profile", "list", cwd=checkout)


def test_a_profile_unedited_needs_no_backup(checkout: Path) -> None:
    use_profile("mannequins-base", root=checkout)
    (checkout / "params.yaml.bak").unlink()
    assert use_profile("mannequins-tiny", root=checkout) is None
    assert not (checkout / "params.yaml.bak").exists()


def test_an_unusable_profile_changes_nothing(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    (checkout / "profiles" / "broken.yaml").write_text("train: {step: 1}\n")
    assert "did you mean 'steps'?" in fails("profile", "use", "broken", cwd=checkout)
    assert "did you mean 'mannequins-tiny'?" in fails("profile", "use", "mannequins-tin", cwd=checkout)
    assert (checkout / "params.yaml").read_bytes() == before


def test_status_of_a_new_checkout_is_missing(checkout: Path) -> None:
    lines = succeeds("status", cwd=checkout).splitlines()
    assert [line.split() for line in lines] == [[spec.name, "missing"] for spec in STAGES]


def test_what_lies_below_a_stale_stage_is_stale(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    for spec in STAGES:
        workspace.stage_dir(spec.name).mkdir(parents=True)
    changed = {"face": [{"changed deps": {"params.yaml": {"face": "modified"}}}]}
    found = {status.stage: status for status in judge(changed, stages=STAGES, workspace=workspace)}
    assert found["face"].reasons == ("params.yaml: face modified",)
    assert found["shards"].reasons == ("face is stale",)
    assert {name for name, status in found.items() if status.state == "fresh"} == {
        *("dataset", "weights", "densepose", "texture", "latents", "probe")
    }


def test_every_form_of_dvcs_answer_is_put_into_words() -> None:
    outs = {"changed outs": {"artifacts/face": "deleted"}}
    assert changes(["changed command", outs]) == ("changed command", "artifacts/face deleted")
    assert changes([{"changed deps": {"params.yaml": "new"}}, outs]) == ("never recorded",)
    assert changes([]) == ()


def test_a_reports_line_holds_counts_time_and_place() -> None:
    report = Report(
        stage="face",
        num_items=90,
        num_excluded=2,
        num_reused=3,
        seconds=1.25,
        output=Path("artifacts/face"),
        details={"without_face": 7},
    )
    line = describe(report)
    assert line.split() == (
        "face 1.2 s artifacts/face 90 items, 2 excluded, 3 reused, without face 7".split()  # noqa: SIM905
    )


def test_a_damaged_report_is_told(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    path = report_path("face", workspace=workspace)
    path.parent.mkdir(parents=True)
    path.write_text('{"stage": "face"}')
    with pytest.raises(DataError, match=r"face.json: not a stage's report; delete it"):
        summary(workspace=workspace)
