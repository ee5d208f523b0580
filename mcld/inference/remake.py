"""A picture again, from its recipe and the files that it names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcld.errors import ConfigError, DataError
from mcld.inference.changes import read_changes
from mcld.inference.engine import Engine
from mcld.inference.photos.person import Pose
from mcld.inference.recipe import PhotoUse, Recipe
from mcld.storage import sha256_of_bytes

BytesOf = Callable[[PhotoUse], bytes]


def remake(recipe: Recipe, *, engine: Engine, bytes_of: BytesOf) -> np.ndarray:
    """The picture (h, w, 3) uint8. On the same machine, by the same versions, its PNG has the same bytes.

    Raises ConfigError when the engine's model is another one, DataError when a file's bytes are others.
    """
    if engine.model_sha256 != recipe.model_sha256:
        raise ConfigError(
            f"model: sha256 is {engine.model_sha256[:12]}…, but the recipe's is {recipe.model_sha256[:12]}…; "
            "name the recipe's model with --model"
        )
    changes = read_changes(
        recipe.edits,
        person_of=lambda name: engine.person(_pose(recipe.named[name], engine=engine, bytes_of=bytes_of)),
        bytes_of=lambda name: _same_bytes(recipe.named[name], bytes_of=bytes_of),
        path_of=lambda name: recipe.named[name].path,
    )
    person = engine.person(_pose(recipe.source, engine=engine, bytes_of=bytes_of))
    pose = _pose(recipe.target, engine=engine, bytes_of=bytes_of)
    subject = changes.applied_to(person), pose
    return engine.render([subject], settings=recipe.settings).pictures[0]


def _pose(use: PhotoUse, *, engine: Engine, bytes_of: BytesOf) -> Pose:
    return engine.pose(_same_bytes(use, bytes_of=bytes_of), name=use.path, number=use.number)


def _same_bytes(use: PhotoUse, *, bytes_of: BytesOf) -> bytes:
    data = bytes_of(use)
    found = sha256_of_bytes(data)
    if found != use.sha256:
        raise DataError(
            f"{use.path}: is another file than the recipe's: sha256 {found[:12]}…, not {use.sha256[:12]}…"
        )
    return data
