"""A picture's recipe: everything needed to make it again, as the JSON beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

import mcld
from mcld.config.section import Positive, Section, Sha256
from mcld.errors import DataError
from mcld.inference.editing import Edit
from mcld.inference.photos.person import Origin
from mcld.inference.settings import RenderSettings
from mcld.storage import read_json, write_json
from mcld.types import Precision

FORMAT_VERSION = 1


class PhotoUse(Section):
    """A photograph that went in: whose it was, which of its people, and what was done to read it."""

    path: str  # as the user named it
    sha256: Sha256  # of the file's bytes
    number: Positive = 1  # which of its people, from the left
    notes: tuple[str, ...] = ()


class Machine(Section):
    """What the picture was made with. Another device or precision moves a level by one here and there."""

    mcld: str
    torch: str
    device: str
    precision: Precision


class Recipe(Section):
    """One picture's recipe."""

    format_version: int = FORMAT_VERSION
    model: str  # the folder, as the user named it
    model_sha256: Sha256
    source: PhotoUse
    target: PhotoUse
    edits: tuple[Edit, ...] = ()
    named: dict[str, PhotoUse] = Field(default_factory=dict)  # people and pictures that the edits name
    settings: RenderSettings
    machine: Machine
    picture_sha256: Sha256  # of the PNG's bytes


def photo_use(path: str, *, origin: Origin) -> PhotoUse:
    """The record of a photograph that was read."""
    return PhotoUse(path=path, sha256=origin.sha256, number=origin.number, notes=origin.notes)


def machine_of(*, device: str, precision: Precision) -> Machine:
    """This machine, as far as it shapes pictures."""
    import torch

    return Machine(mcld=mcld.__version__, torch=torch.__version__, device=device, precision=precision)


def recipe_path(picture: Path) -> Path:
    """Where a picture's recipe lies."""
    return picture.with_suffix(".json")


def write_recipe(recipe: Recipe, *, picture: Path) -> None:
    """Write it beside its picture, atomically."""
    write_json(recipe_path(picture), value=recipe.model_dump(mode="json"))


def read_recipe(path: Path) -> Recipe:
    """Raises DataError naming file and field when it is missing or no recipe."""
    try:
        return Recipe.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: is no picture's recipe ({field}: {first['msg']})") from error
