"""Which way tiles run: the mannequins' by their exact maps, DensePose's by the joints of its own mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mcld.conditions.texture_smpl import PACKAGE
from mcld.inference.editing.charts import TORSO_ASPECT, TORSO_BACK, TORSO_FRONT, upright
from mcld.inference.editing.parts import BONES, LIMBS
from tests.embedded_people import embedded_view

SIZE_PX = 200


@pytest.fixture(scope="module")
def densepose() -> Any:
    package = pytest.importorskip(PACKAGE, reason=f"{PACKAGE} is not installed; its data are non-commercial")
    return package.UVConverter()


def border(densepose: Any, *, part: int, of: tuple[int, ...]) -> np.ndarray:
    """Mean row and column, 0..1, of those corners of a part's upright tile that it shares with others."""
    corners = {number: densepose.get_list_ids_by_parts(number) for number in (part, *of)}
    shared = {int(v) for number in of for v in densepose.All_vertices[corners[number]]}
    own = [corner for corner in corners[part] if int(densepose.All_vertices[corner]) in shared]
    assert own, (part, of)
    tile = np.zeros((SIZE_PX, SIZE_PX), bool)
    rows = np.rint((1 - densepose.V_norm[own]) * (SIZE_PX - 1)).astype(int)
    columns = np.rint(densepose.U_norm[own] * (SIZE_PX - 1)).astype(int)
    tile[rows, columns] = True
    return np.asarray(np.argwhere(upright(tile, part=part, charts="densepose")).mean(axis=0) / SIZE_PX)


@pytest.mark.parametrize("torso", [TORSO_FRONT, TORSO_BACK])
def test_the_head_is_above_and_the_legs_below_densepose_torsos(densepose: Any, torso: int) -> None:
    head = border(densepose, part=torso, of=LIMBS["head"])
    legs = border(densepose, part=torso, of=LIMBS["legs"])
    assert head[0] < 0.15
    assert legs[0] > 0.8


def test_the_right_arm_is_left_of_the_chest_and_right_of_the_back(densepose: Any) -> None:
    left_arm, right_arm = (15, 17), (16, 18)
    front_columns = [border(densepose, part=TORSO_FRONT, of=arm)[1] for arm in (right_arm, left_arm)]
    back_columns = [border(densepose, part=TORSO_BACK, of=(arm,))[1] for arm in (17, 18)]
    assert front_columns[0] < 0.25 < 0.75 < front_columns[1]
    assert back_columns[0] < 0.25 < 0.75 < back_columns[1]


@pytest.mark.parametrize(
    ("near_trunk", "bone", "far"),
    [
        (BONES[0], BONES[1], BONES[2]),  # torso, upper arms, lower arms
        (BONES[1], BONES[2], BONES[5]),  # upper arms, lower arms, hands
        (BONES[0], BONES[3], BONES[4]),
        (BONES[3], BONES[4], BONES[6]),
    ],
)
def test_all_densepose_tiles_of_a_limb_run_outwards(
    densepose: Any, near_trunk: tuple[int, ...], bone: tuple[int, ...], far: tuple[int, ...]
) -> None:
    for part in bone:
        inner = border(densepose, part=part, of=near_trunk)
        outer = border(densepose, part=part, of=far)
        assert inner[0] < 0.3 < 0.7 < outer[0], part


def test_both_densepose_feet_run_the_same_way(densepose: Any) -> None:
    for foot, lower_leg in ((5, (12, 14)), (6, (11, 13))):
        assert border(densepose, part=foot, of=lower_leg)[0] < 0.4


@pytest.mark.parametrize(("view", "torso"), [("1_front", TORSO_FRONT), ("3_back", TORSO_BACK)])
def test_the_mannequins_torsos_are_upright_as_they_are(view: str, torso: int) -> None:
    iuv = embedded_view(0, view).iuv
    rows, columns = np.nonzero(iuv[..., 0] == torso)
    u, v = iuv[rows, columns, 1].astype(float), iuv[rows, columns, 2].astype(float)
    assert np.corrcoef(rows, 255 - v)[0, 1] > 0.95  # lower in the picture is lower in the tile
    assert np.corrcoef(columns, u)[0, 1] > 0.9
    tile = np.arange(16).reshape(4, 4)
    assert np.array_equal(upright(tile, part=torso, charts="mannequins"), tile)


def test_the_mannequins_limbs_all_run_the_same_way() -> None:
    for view in ("1_front", "3_back"):
        iuv = embedded_view(0, view).iuv.astype(float)
        for bone in BONES[3:5]:  # legs hang down in every view
            for part in bone:
                rows, columns = np.nonzero(iuv[..., 0] == part)
                if len(rows) > 50:
                    assert np.corrcoef(rows, iuv[rows, columns, 2])[0, 1] > 0.9, (view, part)


def test_the_mannequins_torso_is_as_wide_as_it_is_said_to_be() -> None:
    ratios = []
    for index in range(8):
        iuv = embedded_view(index).iuv.astype(float)
        middle = (iuv[..., 0] == TORSO_FRONT) & (abs(iuv[..., 1] - 127) < 50) & (abs(iuv[..., 2] - 160) < 50)
        rows, columns = np.nonzero(middle)
        places = np.column_stack([iuv[rows, columns, 1:] / 255, np.ones(len(rows))])
        width_px = np.linalg.lstsq(places, columns, rcond=None)[0][0]
        height_px = -np.linalg.lstsq(places, rows, rcond=None)[0][1]
        ratios.append(width_px / height_px)
    assert abs(np.median(ratios) - TORSO_ASPECT["mannequins"]) < 0.08


def test_what_is_written_to_the_upright_view_the_tile_gets() -> None:
    tile = np.zeros((4, 4), int)
    upright(tile, part=TORSO_BACK, charts="densepose")[0, 1] = 1  # near the neck, left of the middle
    # Near the neck U is low, the first column; the left arm, left from behind, is at low V: last rows.
    assert np.argwhere(tile).tolist() == [[2, 0]]
