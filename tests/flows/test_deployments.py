"""Deployments on a real Prefect server with real workers make what `dvc repro` makes, and show it.

One server serves all tests of this file, in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient

from mcld.stages import STAGES
from mcld.tracking import default_uri
from tests.flows.prefect_site import PrefectSite, prefect_site
from tests.workspaces import run_python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    with prefect_site(tmp_path_factory.mktemp("site")) as site:
        yield site


def test_a_deployment_makes_everything_and_leaves_dvc_nothing_to_do(site: PrefectSite) -> None:
    run_id = site.start("mcld/pipeline")
    assert site.finished(run_id)[0] == "Completed", site.log(run_id)
    status = run_python("-m", "dvc", "status", "--json", cwd=site.checkout)
    assert json.loads(status.stdout) == {}
    repro = run_python("-m", "dvc", "repro", cwd=site.checkout)
    unchanged = [f"Stage '{spec.name}' didn't change, skipping" for spec in STAGES]
    assert sorted(line for line in repro.stdout.splitlines() if line.startswith("Stage")) == sorted(unchanged)


def test_the_pages_of_prefect_and_mlflow_lead_to_each_other(site: PrefectSite) -> None:
    artifacts = site.artifacts()
    assert {"summary", "data-sheet", "sample-grid", "metrics", "code", "mlflow-run"} <= artifacts.keys()
    client = MlflowClient(tracking_uri=default_uri(site.checkout))
    experiment = client.get_experiment_by_name("mcld")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert (
        f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}" in artifacts["mlflow-run"]["data"]
    )
    assert run.data.tags["prefect.flow_run_id"] == artifacts["mlflow-run"]["flow_run_id"]
    page = f"http://127.0.0.1:{site.port}/runs/flow-run/{artifacts['mlflow-run']['flow_run_id']}"
    assert run.data.tags["prefect.flow_run_url"] == page


@pytest.mark.long
def test_an_altered_file_is_found_by_night(site: PrefectSite) -> None:
    assert site.finished(site.start("nightly-verify/nightly-verify"))[0] == "Completed"
    path = next((site.checkout / "artifacts" / "texture").glob("*.tar"))
    whole = path.read_bytes()
    path.unlink()  # what is linked to DVC's cache must not be written through
    path.write_bytes(b"altered")
    run_id = site.start("nightly-verify/nightly-verify")
    assert site.finished(run_id)[0] == "Failed"
    assert path.name in site.run(run_id)["state"]["message"]
    path.write_bytes(whole)
