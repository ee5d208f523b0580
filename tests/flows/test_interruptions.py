"""What no interruption of a flow run spoils: cancelled, killed, timed out, without worker, without server.

One server serves all tests of this file, in their order. They take minutes: `make test-long`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.flows.prefect_site import PrefectSite, kill_all, prefect_site, wait_until
from tests.workspaces import change_params, run_python

WAIT_S = 240.0
LONG: dict[str, dict[str, object]] = {
    "train": {"steps": 4000, "checkpoint_every_steps": 20, "sample_every_steps": 4000}
}
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    """With everything made that training needs."""
    with prefect_site(tmp_path_factory.mktemp("site")) as site:
        run_id = site.start("mcld/pipeline", until="shards")
        assert site.finished(run_id)[0] == "Completed", site.log(run_id)
        yield site


def start_long_training(site: PrefectSite, **parameters: object) -> str:
    """Begin a run of the train stage that would go on for minutes."""
    change_params(site.checkout, changes=LONG)
    return site.start("stage/train", name="train", **parameters)


def wait_for_log(site: PrefectSite, run_id: str, *, line: str, times: int = 1) -> None:
    """Wait until a run has logged a line so often."""
    wait_until(lambda: site.log(run_id).count(line) >= times, timeout_s=WAIT_S)


def checkpoints(site: PrefectSite) -> set[str]:
    """All that lie there, of any training."""
    return {str(path) for path in (site.checkout / ".mcld" / "checkpoints").glob("*/step-*")}


def test_cancelled_killed_and_left_alone_training_goes_on_from_its_checkpoint(site: PrefectSite) -> None:
    known = checkpoints(site)
    first = start_long_training(site)
    wait_until(lambda: bool(checkpoints(site) - known), timeout_s=WAIT_S)
    [process] = site.processes_of(first)
    state, said = site.finished(site.start("mcld/pipeline", until="train"))
    assert (state, f"process {process.pid} is running a stage here" in said) == ("Failed", True), said
    site.cancel(first)
    assert site.finished(first)[0] == "Cancelled"
    assert site.processes_of(first) == []
    assert "stopped by SIGTERM after step" in site.log(first)

    automate = [sys.executable, "-m", "flows.automations"]
    subprocess.run(automate, cwd=site.checkout, env=site.environment, check=True)
    run_id = start_long_training(site)
    wait_for_log(site, run_id, line="resuming from")
    wait_until(lambda: "progress-train" in site.artifacts(), timeout_s=WAIT_S)
    kill_all(site.processes_of(run_id))  # the worker says that it crashed
    wait_for_log(site, run_id, line="resuming from", times=2)

    site.kill("worker-gpu")
    kill_all(site.processes_of(run_id))  # nobody says it
    site.start_worker("gpu")
    site.change_state(run_id, "CRASHED")  # as the automation does after some minutes of silence
    wait_for_log(site, run_id, line="resuming from", times=3)
    assert site.run(run_id)["run_count"] == 3
    site.cancel(run_id)
    assert site.finished(run_id)[0] == "Cancelled"


def test_a_stage_that_takes_too_long_is_stopped(site: PrefectSite) -> None:
    run_id = start_long_training(site, stage_timeout_h=15 / 3600)
    state, said = site.finished(run_id)
    assert (state, "15" in said) == ("TimedOut", True), said
    wait_until(lambda: site.processes_of(run_id) == [], timeout_s=WAIT_S)


def test_a_server_that_goes_away_and_comes_back_ends_no_run(site: PrefectSite) -> None:
    change_params(site.checkout, changes={"train": {"steps": 40, "checkpoint_every_steps": 10}})
    known = checkpoints(site)
    run_id = site.start("stage/train", name="train")
    wait_until(lambda: bool(checkpoints(site) - known), timeout_s=WAIT_S)
    site.kill("server")
    site.start_server()
    assert site.finished(run_id)[0] == "Completed", site.log(run_id)
    status = run_python("-m", "dvc", "status", "train", "--json", cwd=site.checkout)
    assert json.loads(status.stdout) == {}


def test_without_a_server_dvc_repro_works_regardless(site: PrefectSite) -> None:
    site.kill("server")
    repro = run_python("-m", "dvc", "repro", "train", cwd=site.checkout)
    assert repro.returncode == 0, repro.stderr
    assert "Stage 'train' didn't change, skipping" in repro.stdout
