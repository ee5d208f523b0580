"""Pictures of conditions: a row an image, reasons where something is missing, the worst first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcld.data.codec import decode_image
from mcld.data.columns import Column, write_part
from mcld.data.deepfashion import parse_name
from mcld.errors import DataError
from mcld.evaluation.pictures import BOX_RGB, CAPTION_HEIGHT_PX, GUTTER_PX, LABEL_HEIGHT_PX
from mcld.stages.condition_pictures import (
    CELL_HEIGHT_PX,
    ConditionShelf,
    contact_sheet,
    picture_of,
    worst_cases,
)
from mcld.stages.face import FaceFacts, face_item
from mcld.stages.parts import part_name
from mcld.storage import sha256_of_bytes, sha256_of_file
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import PARAMS
from tests.workspaces import run_mcld

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


def recognised(shelf: ConditionShelf, directory: Path) -> ConditionShelf:
    """The same shelf with a face column as a recogniser writes it: a box and a score an image."""
    work = {part.index: part for part in shelf.columns["face"].manifest.parts}
    records = []
    for index in work:
        images = [image for image in shelf.images.values() if image.part == index]
        items = [
            (
                image.key,
                face_item(
                    np.ones(512, np.float32),
                    facts=FaceFacts(
                        face_found=True, score=score_of(image.key), box=(8.0, 4.0, 30.0, 28.0), num_faces=1
                    ),
                ),
            )
            for image in images
        ]
        path = directory / f"{part_name(index)}.tar"
        num_items = write_part(path, items=items)
        records.append(
            replace(
                work[index],
                path=path.name,
                sha256=sha256_of_file(path),
                num_bytes=path.stat().st_size,
                num_items=num_items,
                exclusions=(),
            )
        )
    manifest = replace(shelf.columns["face"].manifest, parts=tuple(records))
    column = Column(directory=directory, manifest=manifest)
    return replace(shelf, columns={**shelf.columns, "face": column})


def score_of(key: str) -> float:
    return 0.5 + int(sha256_of_bytes(key.encode())[:4], 16) / 2**18


def test_a_recognised_face_is_framed_and_the_least_sure_comes_first(
    shelf: ConditionShelf, tmp_path: Path
) -> None:
    with_faces = recognised(shelf, tmp_path)
    served = [key for key in shelf.images if isinstance(shelf.members("texture", shelf.images[key]), dict)]
    picture = picture_of(with_faces, names=served[:1])
    is_frame = (picture == BOX_RGB).all(axis=-1)
    columns = np.nonzero(is_frame.any(axis=0))[0]
    width_px = picture.shape[1] / 5
    assert len(columns)
    assert (columns // width_px == 2).all()  # in the third cell, the face's, and in no other
    cases = {
        case.ranking.stage: case for case in worst_cases(with_faces, count=2) if case.ranking.fact == "score"
    }
    lowest = sorted(score_of(key) for key in with_faces.images)[:2]
    assert [value for _, value in cases["face"].found] == pytest.approx(lowest)
    assert (contact_sheet(with_faces, cases=[cases["face"]]) == BOX_RGB).all(axis=-1).any()


def test_a_column_without_facts_says_which_stage_to_run(shelf: ConditionShelf, tmp_path: Path) -> None:
    column = shelf.columns["densepose"]
    part = column.manifest.parts[0]
    key, members = next(iter(column.read_part(part.index).items()))
    path = tmp_path / part.path
    write_part(path, items=[(key, {"iuv.png": members["iuv.png"]})])
    record = replace(part, sha256=sha256_of_file(path), num_bytes=path.stat().st_size, num_items=1)
    older = Column(directory=tmp_path, manifest=replace(column.manifest, parts=(record,)))
    with pytest.raises(DataError, match=rf"{key} has no facts\.json; run the stage 'densepose' again"):
        worst_cases(replace(shelf, columns={**shelf.columns, "densepose": older}), count=1)


def test_the_command_writes_a_picture_and_names_the_worst(workspace_copy: Workspace) -> None:
    root = workspace_copy.root
    (root / "params.yaml").write_text("dataset: {num_outfits: 6, num_test_outfits: 2}\n")
    shown = run_mcld("conditions", "show", "--worst", "--count", "2", cwd=root)
    assert shown.returncode == 0, shown.stderr
    assert "smallest person, share of the image" in shown.stdout
    assert decode_image((root / "conditions.png").read_bytes()).any()
    nothing = run_mcld("conditions", "show", cwd=root)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "name images (KEY…), or ask for --worst" in nothing.stderr
