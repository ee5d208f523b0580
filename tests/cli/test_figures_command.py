"""`mcld figures …` as a user runs it, in this process: pictures, the pairs they show, and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mcld.__main__ import app
from mcld.data.codec import decode_image, encode_png
from mcld.data.index import read_index
from mcld.data.manifest import write_manifest
from mcld.errors import ConfigError, DataError
from mcld.inference.test_pairs import outfit_of
from mcld.stages.folder_pairs import ordered_test_pairs
from mcld.types import Manifest
from mcld.workspace import Workspace
from tests.stages.image_folders import HEIGHT_PX, PARAMS, WIDTH_PX, make_workspace, write_image_folder

SHOWN_HEIGHT_PX = 256  # small images are enlarged
GREY = 77


@pytest.fixture(scope="module")
def workspace_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one folder of others' images; its own model's images are one grey."""
    workspace = make_workspace(tmp_path_factory.mktemp("figures") / "workspace")
    (workspace.root / "params.yaml").write_text(PARAMS.model_dump_json())
    write_image_folder(workspace.root / "blurred", workspace=workspace)
    write_generated(workspace, grey=GREY)
    return workspace.root


@pytest.fixture
def here(workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(workspace_dir)
    yield workspace_dir
    for path in workspace_dir.glob("*.png"):
        path.unlink()


def write_generated(workspace: Workspace, *, grey: int, data: Workspace | None = None) -> None:
    """As the stage `generate` leaves its folder, without a model."""
    index = read_index((data or workspace).stage_dir("dataset"))
    out_dir = workspace.stage_dir("generate")
    (out_dir / "generated").mkdir(parents=True)
    listed = []
    for number, pair in enumerate(ordered_test_pairs(index)):
        entry = {"id": f"{number:06d}", "source": pair.source, "target": pair.target}
        listed.append(entry | {"wrong_source": pair.source, "wrong_pose": pair.target})
        image = np.full((HEIGHT_PX, WIDTH_PX, 3), grey, np.uint8)
        (out_dir / "generated" / f"{number:06d}.png").write_bytes(encode_png(image))
    (out_dir / "pairs.json").write_text(json.dumps(listed))
    write_manifest(out_dir, manifest=Manifest(stage="generate", format_version=1, settings={}, parts=()))


def figures(*arguments: str) -> Result:
    """Run the command; a user's error is in the result's `exception`."""
    return CliRunner().invoke(app, ["figures", *arguments])


def pairs_shown(result: Result) -> list[tuple[str, str]]:
    """What the command says that it shows, row by row."""
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()[:-1]
    return [(source, target) for source, _, target in (line.partition(":") for line in lines)]


def share_of(picture: np.ndarray, *, grey: int) -> float:
    return float((picture == grey).all(axis=-1).mean())


def test_methods_stand_beside_source_pose_and_target(here: Path) -> None:
    result = figures("methods", "figure.png", "blurred", "again=blurred", "--count", "2")
    pairs = pairs_shown(result)
    assert len(pairs) == 2
    assert len({outfit_of(target) for _, target in pairs}) == 2  # both test people
    picture = decode_image(Path("figure.png").read_bytes())
    cell_px = SHOWN_HEIGHT_PX * round(SHOWN_HEIGHT_PX * WIDTH_PX / HEIGHT_PX)
    num_ours = share_of(picture, grey=GREY) * picture.shape[0] * picture.shape[1]
    assert num_ours == pytest.approx(2 * cell_px, rel=0.01)  # one of six cells a row
    assert 2 * SHOWN_HEIGHT_PX < picture.shape[0] < 3 * SHOWN_HEIGHT_PX
    assert f"{picture.shape[1]} x {picture.shape[0]} pixels" in result.stdout


def test_the_same_command_draws_the_same_bytes(here: Path) -> None:
    for name in ("one.png", "two.png"):
        assert figures("methods", name, "blurred").exit_code == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


def test_pairs_can_be_named_in_any_spelling_and_own_images_left_out(here: Path) -> None:
    first = ordered_test_pairs(read_index(Workspace().stage_dir("dataset")))[3]
    flat = [name.replace("/", "_") + ".jpg" for name in (first.source, first.target)]
    result = figures("methods", "figure.png", "blurred", "--no-own", "--pairs", ":".join(flat))
    assert pairs_shown(result) == [(first.source, first.target)]
    assert share_of(decode_image(Path("figure.png").read_bytes()), grey=GREY) == 0


def test_only_pairs_that_all_columns_show_are_chosen(here: Path, tmp_path: Path) -> None:
    few, other = (shutil.copytree("blurred", tmp_path / name) for name in ("few", "other"))
    paths = sorted(few.iterdir())
    for path in paths[2:]:
        path.unlink()
    for path in paths[:2]:
        (other / path.name).unlink()
    assert len(pairs_shown(figures("methods", "figure.png", str(few), "blurred"))) == 2
    result = figures("methods", "figure.png", str(few), str(other))
    assert isinstance(result.exception, DataError)
    assert "no test pair of this workspace is shown by all of few (2 images" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("figure.jpg", "blurred"), ConfigError, "figure.jpg: figures are PNGs"),
        (("figure.png", "--no-own"), ConfigError, "nothing to show; name a folder"),
        (("figure.png", "nowhere"), DataError, "nowhere: no such folder"),
        (("figure.png", "blurred", "blurred"), ConfigError, "2 columns are called 'blurred'"),
        (("figure.png", "blurred", "ours=blurred"), ConfigError, "2 columns are called 'ours'"),
        (("figure.png", "=blurred"), ConfigError, "the column has no name"),
        (("figure.png", "--pairs", "one"), ConfigError, "--pairs: 'one' is no pair; give SOURCE:TARGET"),
        (("figure.png", "--pairs", "one:two"), DataError, "'one': not a DeepFashion name"),
        (
            ("figure.png", "--pairs", "WOMEN-Dresses-id_99999999-01/1_front:two"),
            DataError,
            "--pairs: .*no image of this index; did you mean",
        ),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(
    here: Path, arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    result = figures("methods", *arguments)
    assert isinstance(result.exception, error), result.output
    with pytest.raises(error, match=message):
        raise result.exception
    assert not list(here.glob("figure.*"))


def test_a_pair_that_a_folder_lacks_and_a_picture_that_is_none_are_named(here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree("blurred", folder)
    first, second = ordered_test_pairs(read_index(Workspace().stage_dir("dataset")))[:2]
    damaged, *others = sorted(folder.iterdir())
    damaged.write_bytes(b"\x89PNG")
    result = figures("methods", "figure.png", str(folder), "--count", "64")
    assert isinstance(result.exception, DataError)
    assert damaged.name in str(result.exception)
    for path in others:
        path.unlink()
    result = figures(
        *("methods", "figure.png", str(folder)),
        *("--pairs", f"{first.source}:{first.target}", "--pairs", f"{second.source}:{second.target}"),
    )
    assert isinstance(result.exception, DataError)
    assert "'damaged' has no image of" in str(result.exception)
    assert not Path("figure.png").exists()


def test_a_model_that_has_generated_nothing_is_named(here: Path) -> None:
    manifest = Workspace().stage_dir("generate") / "manifest.json"
    kept = manifest.rename(manifest.with_name("kept"))
    result = figures("methods", "figure.png", "blurred")
    kept.rename(manifest)
    assert isinstance(result.exception, DataError)
    assert "stage 'generate' has not finished" in str(result.exception)


def test_models_stand_between_pose_and_target(here: Path, tmp_path: Path) -> None:
    greys = {"plain": 30, "full": 200}
    for name, grey in greys.items():
        write_generated(Workspace(root=tmp_path / name), grey=grey, data=Workspace())
    result = figures("ablation", "figure.png", *(str(tmp_path / name) for name in greys), "--count", "2")
    assert len(pairs_shown(result)) == 2
    picture = decode_image(Path("figure.png").read_bytes())
    lefts = {
        grey: np.flatnonzero((picture == grey).all(axis=-1).sum(axis=0) > SHOWN_HEIGHT_PX)[0]
        for grey in greys.values()
    }
    width_px = picture.shape[1] / 5  # source, pose, two models, target
    assert 2 * width_px - 10 < lefts[30] < lefts[200] < 4 * width_px


def test_the_flows_models_are_the_default_in_the_papers_order(here: Path) -> None:
    state_dir = Workspace().state_dir / "ablations"
    missing = figures("ablation", "figure.png")
    assert isinstance(missing.exception, ConfigError)
    assert "no models B1, B3, B5, full of seed 0; run `python -m flows.ablations --seed 0`" in str(
        missing.exception
    )
    for number, variant in enumerate(("full", "B5", "B3", "B1")):
        write_generated(Workspace(root=state_dir / f"{variant}-seed-3"), grey=10 + number, data=Workspace())
    result = figures("ablation", "figure.png", "--seed", "3", "--count", "1")
    shutil.rmtree(state_dir)
    assert len(pairs_shown(result)) == 1
    picture = decode_image(Path("figure.png").read_bytes())
    lefts = [
        np.flatnonzero((picture == grey).all(axis=-1).sum(axis=0) > SHOWN_HEIGHT_PX / 2)[0]
        for grey in (13, 12, 11, 10)
    ]
    assert lefts == sorted(lefts)
