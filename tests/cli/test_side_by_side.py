"""Four ablation runs in a real MLflow server: compared on our page and on MLflow's, and promoted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mcld.cli.compare import write_comparison
from mcld.cli.promote import promote
from mcld.cli.views import save_model_view
from mcld.errors import ConfigError, DataError, PromotionError, TrackingError
from mcld.stages.run_tags import ABLATIONS
from mcld.tracking import open_run
from mcld.workspace import Workspace
from tests.browser import TEXT, Browser, find_browser
from tests.cli.stand_ins import EXPERIMENT, PARAMS, make_runs, params_of
from tests.tracking.mlflow_server import Server

pytestmark = pytest.mark.long

BROWSER = find_browser()
NEEDS_BROWSER = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here; `apt-get install chromium`, or name one with MCLD_CHROMIUM"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(directory=tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workspace]:
    return make_runs(tmp_path_factory.mktemp("runs"), tracking_uri=server.uri)


@pytest.fixture
def root(runs: dict[str, Workspace]) -> Path:
    """The folder from which commands are given."""
    return runs["full"].root


@pytest.fixture(scope="module")
def client(server: Server) -> MlflowClient:
    return MlflowClient(tracking_uri=server.uri)


def names() -> list[str]:
    return [f"{name} seed 0" for name in ABLATIONS]


def run_ids(client: MlflowClient) -> dict[str, str]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "tags.ablation LIKE '%'")
    return {run.data.tags["ablation"]: run.info.run_id for run in found}


def test_one_search_finds_the_ablations_and_metrics_say_their_protocol(
    runs: dict[str, Workspace], client: MlflowClient
) -> None:
    found = run_ids(client)
    assert set(found) == set(ABLATIONS)
    run = client.get_run(found["full"])
    assert run.data.tags["seed"] == "0"
    flat = json.loads((runs["full"].metrics_dir / "evaluate.json").read_text())
    assert run.data.metrics["test.B/ssim"] == flat["ssim"]
    assert run.data.metrics["test.A/psnr"] == flat["psnr"]
    assert len(run.data.metrics) == 1 + len(flat)  # and the loss


def test_tables_are_mlflows_own_and_hold_what_the_files_do(
    runs: dict[str, Workspace], client: MlflowClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # `load_table` asks there, whatever its client's is
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    ids = run_ids(client)
    table = client.load_table(experiment.experiment_id, "evaluation/metrics.json", run_ids=list(ids.values()))
    of_ssim = table[table["metric"] == "ssim"]
    assert len(of_ssim) == len(ABLATIONS)
    assert set(of_ssim["protocol"]) == {"B"}
    pairs = client.load_table(experiment.experiment_id, "evaluation/per_pair.json", run_ids=[ids["full"]])
    flat = json.loads((runs["full"].metrics_dir / "evaluate.json").read_text())
    assert len(pairs) == flat["num_pairs"]
    assert pairs["ssim"].mean() == pytest.approx(flat["ssim"], abs=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A page of all four runs, B1 first, and what the command says of it."""

    path: Path
    told: str


@pytest.fixture(scope="module")
def written(runs: dict[str, Workspace], tmp_path_factory: pytest.TempPathFactory) -> Written:
    path = tmp_path_factory.mktemp("page") / "compare.html"
    return Written(path=path, told=write_comparison(names(), out=path, root=runs["full"].root))


def test_runs_and_folders_give_the_same_comparison(
    runs: dict[str, Workspace], written: Written, root: Path, tmp_path: Path
) -> None:
    assert re.search(r"B3 seed 0: .*worse in .*ssim", written.told)
    assert re.search(r"full seed 0: better in .*ssim", written.told)
    assert "B5 seed 0: no difference shown" in written.told
    folders = [str(workspace.root) for workspace in runs.values()]
    write_comparison(folders, out=tmp_path / "folders.html", root=root)
    pages = [path.read_text() for path in (written.path, tmp_path / "folders.html")]
    sections = [re.search(r'<section id="metrics">.*?</section>', page, re.DOTALL) for page in pages]
    own = [re.sub(r"(B1|B3|B5|full)(-seed-| seed )0", r"\1", found[0]) for found in sections if found]
    assert own[0] == own[1]
    pictures = [re.findall(r'data:image/jpeg;base64,[^"]+', page) for page in pages]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 8 * (3 + len(ABLATIONS))
    for page in pages:
        settings = re.search(r'<section id="params">.*?</section>', page, re.DOTALL)
        assert settings is not None
        assert set(re.findall(r'<td class="name">([^<]+)', settings[0])) >= {
            "ablation",
            "model.aggregation",
            "model.use_face",
            "model.use_texture",
        }


def test_a_search_finds_runs_and_mistakes_are_named(
    runs: dict[str, Workspace], root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    told = write_comparison(["full seed 0"], out=out, root=root, search="tags.ablation = 'B1'")
    assert "compared with full seed 0" in told
    with pytest.raises(
        ConfigError, match=r"'nobody': neither a folder here nor the name or id of a run.*seed 0"
    ):
        write_comparison(["nobody", "full seed 0"], out=out, root=root)
    with pytest.raises(ConfigError, match="search 'tags': MLflow refuses it"):
        write_comparison([], out=out, root=root, search="tags")
    with pytest.raises(ConfigError, match="1 runs to compare; name at least two"):
        write_comparison(["full seed 0"], out=out, root=root)


def test_only_what_is_better_beyond_chance_becomes_champion(
    runs: dict[str, Workspace], root: Path, client: MlflowClient
) -> None:
    def champion() -> str:
        return str(client.get_model_version_by_alias("m", "champion").run_id)

    ids = run_ids(client)
    assert "champion, the first of this name" in promote("B1 seed 0", metric="ssim", name="m", root=root)
    with pytest.raises(
        PromotionError, match=r"stays candidate; ssim -0\.\d+ .* 12 pairs of 8 outfits.*: worse"
    ):
        promote("B3 seed 0", metric="ssim", name="m", root=root)
    with pytest.raises(PromotionError, match="no difference is shown"):
        promote(ids["B5"], metric="ssim", name="m", root=root)
    assert champion() == ids["B1"]
    assert client.get_model_version_by_alias("m", "candidate").run_id == ids["B5"]
    assert re.search(
        r"champion; ssim \+0\.\d+ \(", promote("full seed 0", metric="ssim", name="m", root=root)
    )
    assert champion() == ids["full"]
    assert "is the champion" in promote("full seed 0", metric="ssim", name="m", root=root)
    versions = client.search_model_versions("name = 'm'")
    assert len(versions) == len(ABLATIONS), "a version a run, however often it is named"
    version = client.get_model_version_by_alias("m", "champion")
    assert "| ssim | B | higher |" in str(version.description)
    assert "ssim +0." in version.tags["mcld.promoted"]
    assert str(version.source).endswith(f"{ids['full']}/artifacts/model")


def test_what_cannot_be_judged_is_not_promoted(runs: dict[str, Workspace], root: Path) -> None:
    with pytest.raises(DataError, match="its evaluation has no 'fid'; it has: colour_error_arms"):
        promote("full seed 0", metric="fid", name="n", root=root)


def test_a_nested_run_waits_for_the_run_above_it(
    server: Server, client: MlflowClient, tmp_path: Path
) -> None:
    def open_one(identity: str, *, parent: str | None) -> str | None:
        with open_run(
            state_dir=tmp_path / ".mcld",
            root=tmp_path,
            tracking_uri=server.uri,
            experiment="nested",
            identity=identity,
            name=identity,
            parent=parent,
        ) as tracked:
            tracked.close(timeout_s=20.0, away_timeout_s=0.5)
            return tracked.run_id()

    assert open_one("a-step-1", parent="a") is None
    above = open_one("a", parent=None)
    below = open_one("a-step-1", parent="a")
    assert below is not None
    assert client.get_run(below).data.tags["mlflow.parentRunId"] == above


def test_without_a_server_comparing_says_so(runs: dict[str, Workspace], tmp_path: Path) -> None:
    params = params_of("full", tracking_uri="http://127.0.0.1:9")
    (tmp_path / "params.yaml").write_text(params.model_dump_json())
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        write_comparison(["a", "b"], out=tmp_path / "page.html", root=tmp_path)
    assert PARAMS.runtime.tracking_uri is None


@NEEDS_BROWSER
def test_our_page_is_read_in_a_browser_without_a_network(written: Written, tmp_path: Path) -> None:
    assert BROWSER is not None
    with Browser(program=BROWSER, directory=tmp_path / "profile") as browser:
        browser.open(written.path.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('#pictures')")
        text = browser.text()
        assert "4 runs side by side" in text
        assert "Settings that differ" in text
        assert re.search(r"\+0\.\d+ better", text)
        loaded = browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert loaded is True
        assert browser.evaluate("document.images.length") == 8 * (3 + len(ABLATIONS))
        wide = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0


@NEEDS_BROWSER
def test_mlflows_compare_page_shows_four_ablations_with_their_settings_and_metrics(
    server: Server, runs: dict[str, Workspace], client: MlflowClient, tmp_path: Path
) -> None:
    ids = list(run_ids(client).values())
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    experiments = json.dumps([experiment.experiment_id])
    address = f"{server.uri}/#/compare-runs?runs={json.dumps(ids)}&experiments={experiments}"
    assert BROWSER is not None
    with Browser(program=BROWSER, directory=tmp_path / "profile") as browser:
        browser.open(address)
        browser.wait_for(f"{TEXT}.includes('test.B/ssim')")
        text = browser.text()
        assert all(name in text for name in names())
        assert "model.aggregation" in text
        assert "test.A/psnr" in text


@NEEDS_BROWSER
def test_the_saved_view_shows_a_table_and_the_same_pairs_of_all_runs(
    server: Server, runs: dict[str, Workspace], root: Path, tmp_path: Path
) -> None:
    told = save_model_view(root)
    assert told.startswith("4 runs by ablation, seed, profile: ")
    address = told.partition(": ")[2]
    assert BROWSER is not None
    with Browser(program=BROWSER, directory=tmp_path / "profile") as browser:
        browser.open(address)
        browser.wait_for(f"{TEXT}.includes('4 matching runs') && {TEXT}.includes('test.A/psnr')")
        text = browser.text()
        places = [text.index(name) for name in names()]
        assert places == sorted(places), "by ablation"
        browser.open(f"{address}&compareRunsMode=CHART")
        shown = "[...document.images].filter(i => i.src.includes('pairs') && i.naturalWidth > 0)"
        browser.wait_for(f"{shown}.length >= {len(ABLATIONS)}")
        assert "dataset.source=" not in browser.text(), "no parameters in the way of pictures"
