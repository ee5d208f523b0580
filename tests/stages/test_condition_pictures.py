"""Pictures of conditions: a row an image, reasons where something is missing, the worst first."""

from __future__ import annotations

import numpy as np
import pytest

from mcld.data.codec import decode_image
from mcld.data.columns import Column
from mcld.data.deepfashion import parse_name
from mcld.errors import DataError
from mcld.evaluation.pictures import CAPTION_HEIGHT_PX, GUTTER_PX, LABEL_HEIGHT_PX
from mcld.stages.condition_pictures import (
    CELL_HEIGHT_PX,
    ConditionShelf,
    contact_sheet,
    picture_of,
    worst_cases,
)
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import PARAMS
from tests.workspaces import run_python

ROW_HEIGHT_PX = LABEL_HEIGHT_PX + CELL_HEIGHT_PX + CAPTION_HEIGHT_PX + GUTTER_PX


@pytest.fixture
def shelf(finished_workspace: Workspace) -> ConditionShelf:
    return ConditionShelf.open(PARAMS, workspace=finished_workspace)


def test_every_image_is_a_row_whatever_the_spelling_of_its_name(shelf: ConditionShelf) -> None:
    keys = list(shelf.images)[:2]
    picture = picture_of(shelf, names=keys)
    assert picture.shape[0] == GUTTER_PX + 2 * ROW_HEIGHT_PX
    name = parse_name(keys[0])
    assert np.array_equal(picture, picture_of(shelf, names=[f"{name.flat}.jpg", keys[1]]))
    assert np.array_equal(picture_of(shelf, names=[name.path]), picture_of(shelf, names=[keys[0]]))


def test_what_was_left_out_is_shown_with_its_reason(shelf: ConditionShelf) -> None:
    excluded = next(iter(shelf.columns["face"].excluded() or shelf.columns["densepose"].excluded()))
    assert picture_of(shelf, names=[excluded]).any()
    image = shelf.images[excluded]
    members = [shelf.members(stage, image) for stage in ("densepose", "face")]
    assert any(isinstance(item, str) and item.startswith("left out by ") for item in members)


def test_an_unknown_name_is_an_error_with_its_neighbours(shelf: ConditionShelf) -> None:
    key = next(iter(shelf.images))
    with pytest.raises(DataError, match=rf"no image of this index; did you mean .*{key}"):
        picture_of(shelf, names=[key.replace("1_front", "9_front")])
    with pytest.raises(DataError, match="not a DeepFashion name"):
        picture_of(shelf, names=["holiday.jpg"])


def test_the_worst_come_first_and_rankings_without_numbers_are_left_out(
    shelf: ConditionShelf, finished_workspace: Workspace
) -> None:
    cases = {case.ranking.fact: case.found for case in worst_cases(shelf, count=3)}
    assert "score" not in cases  # the maps and vectors of the embedded people were given
    column = Column.open(finished_workspace.stage_dir("densepose"))
    sizes = {}
    for part in column.manifest.parts:
        for key, item in column.read_part(part.index).items():
            sizes[key] = float((decode_image(item["iuv.png"])[..., 2] > 0).mean())
    smallest = sorted(sizes.values())[:3]
    assert [value for _, value in cases["person_fraction"]] == pytest.approx(smallest, abs=1e-6)
    sheet = contact_sheet(shelf, cases=worst_cases(shelf, count=3))
    assert sheet.ndim == 3
    assert sheet.any()
    with pytest.raises(DataError, match="no image has conditions to rank"):
        contact_sheet(shelf, cases=())


def test_the_command_writes_a_picture_and_names_the_worst(workspace_copy: Workspace) -> None:
    root = workspace_copy.root
    (root / "params.yaml").write_text("dataset: {num_outfits: 6, num_test_outfits: 2}\n")
    shown = run_python("-m", "mcld", "conditions", "show", "--worst", "--count", "2", cwd=root)
    assert shown.returncode == 0, shown.stderr
    assert "smallest person, share of the image" in shown.stdout
    assert decode_image((root / "conditions.png").read_bytes()).any()
    nothing = run_python("-m", "mcld", "conditions", "show", cwd=root)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "name images (KEY…), or ask for --worst" in nothing.stderr
