"""`mcld check densepose` passes on detectron2's own numbers, sees faults, and refuses unusable folders."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mcld.__main__ import main
from mcld.conditions.densepose.weights import empty_network
from mcld.errors import DataError
from mcld.parity import densepose
from mcld.parity.densepose import check_densepose
from mcld.parity.densepose_recipe import digest, recipe_image, recipe_state
from tests.golden import golden_dir, read_golden_json

CPU = torch.device("cpu")
Command = Callable[[Path], tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mcld check densepose DIR`; gives exit code, stdout and stderr."""

    def run(directory: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mcld", "check", "densepose", str(directory)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Case b alone, to be changed."""
    for path in golden_dir("densepose").glob("case_b.*"):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


def change_array(path: Path, *, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **arrays | {name: change(arrays[name])})


@pytest.mark.slow
def test_every_number_of_detectron2_is_met(command: Command) -> None:
    code, table, _ = command(golden_dir("densepose"))
    assert code == 0, table
    assert table.splitlines()[-1].endswith(" checks, 0 above tolerance")


@pytest.mark.slow
def test_numbers_that_differ_are_seen_each_in_its_row(folder: Path, command: Command) -> None:
    def move(boxes: np.ndarray) -> np.ndarray:
        moved: np.ndarray = boxes + np.array([0, 0, 0.02, 0], boxes.dtype)
        return moved

    def relabel(iuv: np.ndarray) -> np.ndarray:
        changed = iuv.copy()
        changed[:10, :10, 0] = 24 - changed[:10, :10, 0]
        return changed

    change_array(folder / "case_b.npz", name="boxes", change=move)
    change_array(folder / "case_b.npz", name="iuv", change=relabel)
    code, table, _ = command(folder)
    above = [line.split("  ")[0] for line in table.splitlines() if " ABOVE" in line]
    assert (code, above) == (1, ["case b: boxes, px", "case b: pixels of another part"])


@pytest.mark.slow
def test_clamped_u_and_v_do_not_pass_for_wrapped_ones(folder: Path) -> None:
    rows = check_densepose(folder, device=CPU, uv_overflow="clamp")
    above = [row.name for row in rows if not row.passed]
    assert "case b: pixels of the same part with other U or V" in above
    assert not any("f32s4" in name for name in above)


def test_weights_and_images_are_the_recipes(folder: Path) -> None:
    case = read_golden_json(folder / "case_b.json")
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    state = recipe_state(shapes, seed=case["seed"], uv_spread=case["uv"])
    assert digest(state) == case["weights_sha256"]
    assert densepose._sha256_of_bgr(recipe_image(case["image"])[..., ::-1]) == case["image_bgr_sha256"]


def test_folders_that_cannot_be_used_are_one_sentence(folder: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty")[::2] == (
        2,
        f"mcld: {tmp_path / 'empty'}: no case_*.json; give a folder of recorded DensePose cases\n",
    )
    settings = json.loads((folder / "case_b.json").read_text())
    (folder / "case_b.json").write_text(json.dumps(settings | {"uv": "wide"}))
    with pytest.raises(DataError, match=r"case_b\.json: 'uv' is \"wide\", which is not a finite number"):
        list(check_densepose(folder, device=CPU))
    (folder / "case_b.json").write_text(json.dumps(settings | {"image": 7}))
    (folder / "case_b.png").unlink()
    with pytest.raises(DataError, match=r"case_b\.png: not found, and there is no recipe for image 7"):
        list(check_densepose(folder, device=CPU))
    (folder / "case_b.npz").unlink()
    (folder / "case_b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"case_b\.png: zero-byte file"):
        list(check_densepose(folder, device=CPU))
    shutil.copyfile(golden_dir("densepose") / "case_b.png", folder / "case_b.png")
    with pytest.raises(DataError, match=r"case_b\.npz: not a readable .npz file"):
        list(check_densepose(folder, device=CPU))


@pytest.mark.slow
def test_half_precision_is_told_and_its_input_still_checked(folder: Path) -> None:
    rows = {row.name: row for row in check_densepose(folder, device=CPU, precision=torch.bfloat16)}
    assert all(row.passed for row in rows.values())
    assert rows["case b: probe_input"].is_check
    assert not rows["case b: u_f32s4"].is_check
    assert rows["case b: u_f32s4"].error > 1e-3
