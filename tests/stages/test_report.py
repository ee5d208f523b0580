"""The report stage: a page that stands alone, and grids."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest

from mcld.config import ReportParams, RuntimeParams
from mcld.data.manifest import read_manifest
from mcld.errors import ConfigError, DataError
from mcld.stages import evaluate, report
from mcld.stages.mapper import SerialMapper
from mcld.stages.stage_costs import note_run
from mcld.storage import read_json, sha256_of_file, write_bytes, write_json
from mcld.workspace import Workspace
from tests.browser import Browser, find_browser
from tests.stages.fake_run import HEIGHT_PX, PARAMS, make_run
from tests.stages.told_training import write_trained

BROWSER = find_browser()
REPOSITORY_DIR = Path(__file__).parents[2]
NAMES = ("index.html", "gallery.png", "wrong_source.png", "wrong_pose.png", "worst.png", "best.png")


@pytest.fixture(scope="module")
def evaluated_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = make_run(tmp_path_factory.mktemp("report") / "evaluated")
    evaluate.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    report.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    return workspace.root


@pytest.fixture
def workspace(evaluated_dir: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(evaluated_dir, tmp_path / "run")
    return Workspace(root=tmp_path / "run")


@pytest.fixture(scope="module")
def page(evaluated_dir: Path) -> str:
    return (Workspace(root=evaluated_dir).stage_dir("report") / "index.html").read_text()


class Tags(HTMLParser):
    """Collects tags, and fails on any that is left open."""

    VOID = frozenset({"meta", "img", "br", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_every_picture_has_words(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    pictures = [attributes for tag, attributes in tags.seen if tag == "img"]
    assert len(pictures) == 4 * 5 + 4 * 4 + 4 * 4 + 2 * 3 * 4 + 1 + 2
    assert all(picture["alt"] for picture in pictures)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium, or MCLD_CHROMIUM")
def test_page_fits_a_laptop_and_a_phone_by_day_and_by_night(evaluated_dir: Path, tmp_path: Path) -> None:
    assert BROWSER is not None
    address = (Workspace(root=evaluated_dir).stage_dir("report") / "index.html").as_uri()
    with Browser(program=BROWSER, directory=tmp_path / "profile") as browser:
        papers = []
        for width_px, dark in ((1280, False), (390, True)):
            browser.resize(width_px, height_px=900, dark=dark)
            browser.open(address)
            browser.wait_for("document.readyState === 'complete' && document.images.length > 9")
            # Tables scroll inside their frames; the page itself never does sideways.
            assert browser.evaluate("document.documentElement.scrollWidth") == width_px
            assert browser.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0
            papers.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert papers == ["rgb(251, 250, 248)", "rgb(22, 24, 28)"]


def test_page_shows_all_rows_beside_printed_ones(page: str) -> None:
    assert "Beside others" in page
    assert 'MCLD <span class="badge">published</span>' in page
    assert "rows on embedded people are not comparable with those on DeepFashion" in page


def test_page_needs_no_network_and_no_script(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.seen}
    addresses = [
        value for _, attributes in tags.seen for name, value in attributes.items() if name in ("src", "href")
    ]
    assert all(address is not None and address.startswith(("data:image/", "#")) for address in addresses)
    assert not re.search(r"url\(|@import", page)


def test_every_section_that_is_named_at_the_top_is_there(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    named = [attributes["href"] for tag, attributes in tags.seen if tag == "a"]
    there = [attributes["id"] for _, attributes in tags.seen if "id" in attributes]
    assert named == [f"#{name}" for name in there]
    assert len(there) == len(set(there)) > 5


def test_page_says_what_a_reader_asks(page: str) -> None:
    for words in (
        "with a wrong pose",
        "from a wrong source",
        "metrics absent, and why",
        "truncated",
        "Images by view",
    ):
        assert words in page, words
    assert "pt_inception-2015-12-05-6726825d.pth" in page
    assert "num_inference_steps" in page
    assert "Loss by step" in page


def test_numbers_of_whole_sets_notes_and_undefined_pairs_are_told(workspace: Workspace) -> None:
    path = workspace.stage_dir("evaluate") / "rows.json"
    rows = read_json(path)
    assert isinstance(rows, dict)
    rows |= {
        "sets": {"generated": {"kid": {"value": 0.0123, "num_images": 6, "num_real": 6, "std": 0.004}}},
        "skipped": {"face_ssim": {"count": 2, "reason": "no head in view"}},
        "notes": ["a note <of> the evaluation"],
    }
    write_json(path, value=rows)
    report.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    page = (workspace.stage_dir("report") / "index.html").read_text()
    for words in (
        "Of all images together",
        "0.0123<small>± 0.0040",
        "2 without: no head in view",
        "a note &lt;of&gt; the evaluation",
    ):
        assert words in page, words


def test_a_damaged_evaluation_is_named(workspace: Workspace) -> None:
    write_json(workspace.stage_dir("evaluate") / "rows.json", value={"rows": []})
    with pytest.raises(DataError, match=r"rows\.json: not what the stage 'evaluate' writes"):
        report.run(PARAMS, workspace=workspace, mapper=SerialMapper())


def test_differences_groups_and_extremes_are_told(page: str) -> None:
    for words in (
        "to vae reconstruction",
        "no difference shown",  # three outfits say nothing
        "By view pair",
        "front → back",
        "Worst pairs by ssim",
        "what the true one gains",
    ):
        assert words in page, words


def test_pairs_are_ranked_as_asked(workspace: Workspace) -> None:
    asked = ReportParams(num_rows=1, rank_by="colour_error_torso", num_ranked=0)
    params = PARAMS.model_copy(update={"report": asked})
    report.run(params, workspace=workspace, mapper=SerialMapper())
    assert not (workspace.stage_dir("report") / "worst.png").exists()
    page = (workspace.stage_dir("report") / "index.html").read_text()
    assert "the worst by colour_error_torso first" in page
    assert "Worst pairs" not in page


def test_a_metric_that_no_pair_has_is_refused(workspace: Workspace) -> None:
    params = PARAMS.model_copy(update={"report": ReportParams(rank_by="lpips_alex")})
    with pytest.raises(ConfigError, match=r"report\.rank_by: 'lpips_alex' has no scores by pair"):
        report.run(params, workspace=workspace, mapper=SerialMapper())


def test_the_vae_alone_is_told(page: str) -> None:
    assert "What the VAE alone costs" in page
    assert "latent off by 0.2" in page
    assert "0.8125" in page


def test_what_nobody_recorded_is_said_to_be_unknown(page: str) -> None:
    for words in (
        "unknown: no git here",
        "unknown: the model was not trained in this workspace",
        "<td>train</td><td class=num>unknown</td>",
        "unknown: the training&#39;s measurements are not on this machine",
    ):
        assert words in page, words


def test_origin_and_cost_come_from_git_the_ledger_and_the_journal(workspace: Workspace) -> None:
    (workspace.root / "params.yaml").write_text("recipe: corrected\n")
    for arguments in (
        ("init", "--quiet"),
        ("add", "params.yaml"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "one"),
    ):
        subprocess.run(["git", *arguments], cwd=workspace.root, check=True)
    (workspace.root / "params.yaml").write_text("recipe: authors\n")
    write_trained(workspace, identity="f" * 64)
    note_run(evaluate.run(PARAMS, workspace=workspace, mapper=SerialMapper()), workspace=workspace)
    report.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    page = (workspace.stage_dir("report") / "index.html").read_text()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=workspace.root, capture_output=True, text=True, check=True
    ).stdout
    for words in (
        f"commit {commit[:12]}, changed: params.yaml",
        "from 2026-01-01 00:00 UTC, until 2026-01-01 02:00 UTC",
        "commit 0123456789ab and changes to it, PyTorch 2.13.0",
        "run tiny-f, not sent yet, experiment mcld, mlflow.db",
        "2 GPUs",
        "0.01 kWh",
    ):
        assert words in page, words
    assert re.search(r"<td>evaluate</td><td class=num>at least [0-9.]+ s</td>", page)  # all was reused


def test_text_from_data_is_escaped(workspace: Workspace) -> None:
    params = PARAMS.model_copy(update={"report": ReportParams(num_rows=1, title="<b>Tom & Ann</b>")})
    report.run(params, workspace=workspace, mapper=SerialMapper())
    page = (workspace.stage_dir("report") / "index.html").read_text()
    assert "<b>Tom" not in page
    assert "&lt;b&gt;Tom &amp; Ann" in page


def test_grids_show_the_asked_rows(workspace: Workspace) -> None:
    grid = cv2.imread(str(workspace.stage_dir("report") / "gallery.png"))
    assert grid is not None
    assert grid.shape[0] // HEIGHT_PX == PARAMS.report.num_rows


def test_same_inputs_give_the_same_bytes_whatever_the_machine(workspace: Workspace) -> None:
    first = {name: sha256_of_file(workspace.stage_dir("report") / name) for name in (*NAMES, "manifest.json")}
    params = PARAMS.model_copy(update={"runtime": RuntimeParams(num_workers=3, experiment="another")})
    report.run(params, workspace=workspace, mapper=SerialMapper())
    assert {name: sha256_of_file(workspace.stage_dir("report") / name) for name in first} == first
    assert read_manifest(workspace.stage_dir("report")).files == {name: first[name] for name in NAMES}


def test_a_damaged_loss_curve_is_named(workspace: Workspace) -> None:
    write_bytes(workspace.metrics_dir / "loss.csv", data=b"step,loss\n1,high\n")
    with pytest.raises(DataError, match=r"loss\.csv: not a table of step and loss.*mcld run train"):
        report.run(PARAMS, workspace=workspace, mapper=SerialMapper())


def test_a_failed_run_leaves_the_old_report_whole(workspace: Workspace) -> None:
    first = sha256_of_file(workspace.stage_dir("report") / "index.html")
    (workspace.stage_dir("generate") / "generated" / "000000.png").unlink()
    with pytest.raises(DataError, match=r"000000\.png"):
        report.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    assert sha256_of_file(workspace.stage_dir("report") / "index.html") == first


def test_an_unfinished_stage_is_named(workspace: Workspace) -> None:
    (workspace.stage_dir("evaluate") / "manifest.json").unlink()
    with pytest.raises(DataError, match="stage 'evaluate' has not finished"):
        report.run(PARAMS, workspace=workspace, mapper=SerialMapper())


@pytest.mark.parametrize("point", ["page_written", "manifest_written"])
def test_a_kill_leaves_the_old_page_and_a_repeat_the_same_bytes(workspace: Workspace, point: str) -> None:
    out_dir = workspace.stage_dir("report")
    before = {path.name: path.read_bytes() for path in out_dir.iterdir()}
    code = (
        "from pathlib import Path; from mcld.workspace import Workspace; from mcld.stages import report;"
        "from mcld.stages.mapper import SerialMapper; from tests.stages.fake_run import PARAMS;"
        f"report.run(PARAMS, workspace=Workspace(root=Path({str(workspace.root)!r})), mapper=SerialMapper())"
    )
    environment = {**os.environ, "MCLD_FAULT": f"report:{point}:1"}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, cwd=REPOSITORY_DIR, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in out_dir.iterdir()} == before
    report.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    assert {path.name: path.read_bytes() for path in out_dir.iterdir()} == before
    assert [path.name for path in out_dir.parent.iterdir() if path.name.startswith(".")] == []
