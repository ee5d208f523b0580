"""`mcld dataset describe`: the sheet in words, and the picture where it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcld.cli.dataset import as_text, describe
from mcld.errors import DataError
from mcld.evaluation.report import Table
from mcld.workspace import Workspace
from tests.stages.deepfashion_folder import names, params_for, run, write_folder
from tests.workspaces import change_params, make_checkout, run_mcld


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    table = Table(title="Fruit", header=("name", "count"), rows=(("apple", "7"), ("fig", "1234")))
    assert as_text(table).splitlines() == ["Fruit", "  name   count", "  apple      7", "  fig     1234"]
    assert as_text(Table(title="Fruit", header=("name",), rows=())) == "Fruit\n  none"


def test_everything_is_counted_and_sources_are_named(tmp_path: Path) -> None:
    root_dir = write_folder(tmp_path / "fashion")
    (root_dir / names("train")[0].path).write_bytes(b"")
    workspace = Workspace(root=tmp_path / "run")
    run("dataset", params=params_for(root_dir), workspace=workspace)
    text = "\n".join(describe(tmp_path / "sheet.png", workspace=workspace))
    num_bytes = sum(path.stat().st_size for path in (root_dir / "img_highres").rglob("*.jpg"))
    assert f"3 outfits, 8 images ({num_bytes / 1e3:.1f} kB), 5 pairs, 1 left out" in text
    for line in (
        "images      img_highres",
        "lists       train.lst, test.lst",
        "pair lists  fasion-pairs-test.csv, fasion-pairs-train.csv",
        "MEN Suiting         0     3    3",
        "1_front             1     1    2",
        "16 × 24                        8",
        "dataset  zero-byte file       1  WOMEN-Dresses-id_00000001-01/1_front",
    ):
        assert " ".join(line.split()) in " ".join(text.split())
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_what_later_stages_left_out_is_counted_too(tmp_path: Path) -> None:
    root_dir = write_folder(tmp_path / "fashion")
    (root_dir / "train_densepose" / f"{names('train')[0].flat}.png").unlink()
    workspace = Workspace(root=tmp_path / "run")
    for stage in ("dataset", "densepose"):
        run(stage, params=params_for(root_dir), workspace=workspace)
    text = "\n".join(describe(tmp_path / "sheet.png", workspace=workspace))
    assert "6 pairs, 1 left out" in text
    line = "densepose no IUV image given 1 WOMEN-Dresses-id_00000001-01/1_front"
    assert line in " ".join(text.split())


def test_a_data_set_that_is_not_indexed_yet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the stage 'dataset' has not finished here: run it first"):
        describe(tmp_path / "sheet.png", workspace=Workspace(root=tmp_path))


def test_the_command_says_where_the_picture_is(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    root_dir = write_folder(tmp_path / "fashion")
    section: dict[str, object] = {"source": "deepfashion", "root_dir": str(root_dir), "pairs": "csv"}
    change_params(checkout, changes={"dataset": section})
    assert run_mcld("dataset", "describe", cwd=checkout).returncode == 2
    assert run_mcld("run", "dataset", cwd=checkout).returncode == 0
    done = run_mcld("dataset", "describe", cwd=checkout)
    assert done.stdout.splitlines()[-1] == f"picture: {checkout / 'dataset.png'}", done.stderr
    assert (checkout / "dataset.png").is_file()
