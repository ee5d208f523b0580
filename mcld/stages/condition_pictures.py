"""Pictures of what the condition stages made of an image, and of the images they did worst on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from mcld.conditions.texture import render
from mcld.conditions.texture_smpl import SMPL_SIZE_PX, atlas_from_smpl
from mcld.config import Params
from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.errors import ConfigError, DataError
from mcld.evaluation.pictures import draw_box, fit, labelled_rows, note, overlay_iuv
from mcld.progress import track
from mcld.stages import densepose, face, texture
from mcld.stages.columns import images_dir, read_pixels
from mcld.types import ImageRecord
from mcld.workspace import Workspace

CELL_HEIGHT_PX = 320
THUMBNAIL_HEIGHT_PX = 220
CAPTIONS = ("image", "IUV map", "face", "UV texture", "texture rendered back")
COLUMNS = ("densepose", "face", "texture")
UNSEEN_RGB = (0, 0, 0)
NO_FACE_FACTS = "the face was read from a given vector, which says nothing of where it was"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionShelf:
    """All that is needed to show the conditions of an image."""

    images: Mapping[str, ImageRecord]
    image_dir: Path
    columns: Mapping[str, Column]

    @classmethod
    def open(cls, params: Params, *, workspace: Workspace) -> ConditionShelf:
        """Raises DataError when one of the stages has not finished."""
        return cls(
            images={image.key: image for image in read_index(workspace.stage_dir("dataset")).images},
            image_dir=images_dir(params.dataset, workspace=workspace),
            columns={stage: Column.open(workspace.stage_dir(stage)) for stage in COLUMNS},
        )

    def record(self, name: str) -> ImageRecord:
        """The image of a name in any of its spellings. Raises DataError with the nearest keys."""
        key = parse_name(name).key
        if key not in self.images:
            near = ", ".join(get_close_matches(key, self.images, n=3)) or "none is near"
            raise DataError(f"{name}: no image of this index; did you mean {near}?")
        return self.images[key]

    def members(self, stage: str, image: ImageRecord) -> dict[str, bytes] | str:
        """The image's item of a column, or why it has none."""
        column = self.columns[stage]
        reason = column.excluded().get(image.key)
        if reason is not None:
            return f"left out by {stage}: {reason}"
        return column.read_part(image.part).get(image.key, f"left out before {stage}")


def picture_of(shelf: ConditionShelf, *, names: Sequence[str]) -> np.ndarray:
    """One row an image, uint8 RGB: image, IUV map over it, face, UV texture, the texture rendered back.

    Raises DataError for a name that is no image of the index.
    """
    rows = []
    for image in [shelf.record(name) for name in names]:
        cells = [_cell(picture, image=image) for picture in _pictures(shelf, image)]
        rows.append((f"{image.key}   {image.split}, {image.width_px} x {image.height_px}", cells))
    width_px = max(cell.shape[1] for _, cells in rows for cell in cells)
    sized = [
        (label, [fit(cell, height_px=CELL_HEIGHT_PX, width_px=width_px) for cell in cells])
        for label, cells in rows
    ]
    return labelled_rows(sized, captions=[CAPTIONS] * len(sized))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Images in the order of one number that a stage noted of each; the first are the worst."""

    title: str
    stage: str
    fact: str


RANKINGS = (
    Ranking(title="lowest score of the person's detection", stage="densepose", fact="score"),
    Ranking(title="smallest person, share of the image", stage="densepose", fact="person_fraction"),
    Ranking(title="lowest score of the face's detection", stage="face", fact="score"),
    Ranking(
        title="most of the texture missing, share that is visible", stage="texture", fact="visible_fraction"
    ),
)
_FACTS_MEMBERS = {
    "densepose": densepose.FACTS_MEMBER,
    "face": face.FACTS_MEMBER,
    "texture": texture.FACTS_MEMBER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCases:
    """The worst images by one ranking, worst first, with their numbers."""

    ranking: Ranking
    found: tuple[tuple[str, float], ...]


def worst_cases(shelf: ConditionShelf, *, count: int) -> tuple[WorstCases, ...]:
    """The `count` worst images by every ranking that has numbers: maps that were given have no score."""
    facts = {stage: dict(_facts(shelf.columns[stage])) for stage in COLUMNS}
    found = []
    for ranking in RANKINGS:
        values = {key: item.get(ranking.fact) for key, item in facts[ranking.stage].items()}
        known = [(key, float(value)) for key, value in values.items() if isinstance(value, int | float)]
        worst = tuple(sorted(known, key=lambda item: (item[1], item[0]))[:count])
        if worst:
            found.append(WorstCases(ranking=ranking, found=worst))
    return tuple(found)


def contact_sheet(shelf: ConditionShelf, *, cases: Sequence[WorstCases]) -> np.ndarray:
    """One row a ranking, uint8 RGB: small pictures of what the ranking is about, worst first.

    Raises DataError when there is nothing to rank.
    """
    if not cases:
        raise DataError("no image has conditions to rank; run the stages densepose, face and texture")
    rows, captions = [], []
    for case in cases:
        images = [shelf.images[key] for key, _ in case.found]
        cells = [_thumbnail(shelf, image, stage=case.ranking.stage) for image in images]
        rows.append((case.ranking.title, cells))
        captions.append([f"{value:.3g}\n{_short(key)}" for key, value in case.found])
    width_px = max(cell.shape[1] for _, cells in rows for cell in cells)
    sized = [
        (title, [fit(cell, height_px=THUMBNAIL_HEIGHT_PX, width_px=width_px) for cell in cells])
        for title, cells in rows
    ]
    return labelled_rows(sized, captions=captions)


def _pictures(shelf: ConditionShelf, image: ImageRecord) -> Iterator[np.ndarray | str]:
    """The five pictures of an image, or why there is none."""
    pixels = read_pixels(image, root_dir=shelf.image_dir)
    iuv = _iuv(shelf, image)
    unwrapped = _texture(shelf, image)
    yield pixels
    yield _overlaid(pixels, iuv=iuv)
    yield pixels if isinstance(pixels, str) else _face(shelf, image, pixels=pixels)
    yield unwrapped
    yield _rendered(iuv, unwrapped=unwrapped)


def _iuv(shelf: ConditionShelf, image: ImageRecord) -> np.ndarray | str:
    item = shelf.members("densepose", image)
    return item if isinstance(item, str) else decode_iuv(item[densepose.IUV_MEMBER])


def _texture(shelf: ConditionShelf, image: ImageRecord) -> np.ndarray | str:
    item = shelf.members("texture", image)
    return item if isinstance(item, str) else decode_image(item[texture.TEXTURE_MEMBER])


def _face(shelf: ConditionShelf, image: ImageRecord, *, pixels: np.ndarray) -> np.ndarray | str:
    """The photograph with the face's box, or why there is no box."""
    item = shelf.members("face", image)
    if isinstance(item, str):
        return item
    facts = face.read_facts(item)
    if facts.box is not None:
        return draw_box(pixels, box_4=facts.box)
    return NO_FACE_FACTS if facts.face_found else "no face found"


def _overlaid(pixels: np.ndarray | str, *, iuv: np.ndarray | str) -> np.ndarray | str:
    if isinstance(pixels, str) or isinstance(iuv, str):
        return pixels if isinstance(pixels, str) else str(iuv)
    return overlay_iuv(pixels, iuv=iuv)


def rendered_back(unwrapped: np.ndarray, *, iuv: np.ndarray) -> np.ndarray | str:
    """A texture of either layout seen through an IUV map, uint8 RGB; or why it cannot be shown."""
    if unwrapped.shape != (SMPL_SIZE_PX, SMPL_SIZE_PX, 3):
        return render(unwrapped, iuv=iuv)
    try:
        return render(atlas_from_smpl(unwrapped), iuv=iuv)
    except ConfigError as error:  # the layout's package is not installed
        return str(error)


def _rendered(iuv: np.ndarray | str, *, unwrapped: np.ndarray | str) -> np.ndarray | str:
    if isinstance(iuv, str) or isinstance(unwrapped, str):
        return iuv if isinstance(iuv, str) else str(unwrapped)
    return rendered_back(unwrapped, iuv=iuv)


def _thumbnail(shelf: ConditionShelf, image: ImageRecord, *, stage: str) -> np.ndarray:
    """What a ranking of this stage is about."""
    pixels = read_pixels(image, root_dir=shelf.image_dir)
    show: Mapping[str, Callable[[], np.ndarray | str]] = {
        "densepose": lambda: _overlaid(pixels, iuv=_iuv(shelf, image)),
        "face": lambda: pixels if isinstance(pixels, str) else _face(shelf, image, pixels=pixels),
        "texture": lambda: _texture(shelf, image),
    }
    return _cell(show[stage](), image=image, height_px=THUMBNAIL_HEIGHT_PX)


def _cell(picture: np.ndarray | str, *, image: ImageRecord, height_px: int = CELL_HEIGHT_PX) -> np.ndarray:
    """A picture at the height of its row; a reason is written on a sheet of the image's shape."""
    if isinstance(picture, str):
        width_px = max(1, round(height_px * min(image.width_px / image.height_px, 1.5)))
        return note(picture, height_px=height_px, width_px=width_px)
    width_px = max(1, round(height_px * min(picture.shape[1] / picture.shape[0], 1.5)))
    return fit(picture, height_px=height_px, width_px=width_px, margin_rgb=UNSEEN_RGB)


def _facts(column: Column) -> Iterator[tuple[str, dict[str, object]]]:
    """What a column noted of each of its items. Raises DataError where an item says nothing."""
    stage = column.manifest.stage
    member = _FACTS_MEMBERS[stage]
    parts = track(column.manifest.parts, description=f"reading {stage}", total=len(column.manifest.parts))
    for part in parts:
        for key, members in column.read_part(part.index).items():
            if member not in members:
                raise DataError(f"{column.directory}: {key} has no {member}; run the stage '{stage}' again")
            yield key, json.loads(members[member])


def _short(key: str) -> str:
    """`id_00000692-02/3_back`: enough to find it by."""
    return key[key.index("id_") :]
