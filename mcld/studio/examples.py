"""People and poses to begin with: rendered ones for models of rendered people, else those of a folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from mcld.data.mannequins import render_view, sample_mannequin
from mcld.errors import ConfigError
from mcld.inference.jobs import photos_in
from mcld.inference.photos.preparation import Preparation
from mcld.service.examples import ExamplePhoto

Role = Literal["person", "pose"]  # as ExamplePhoto has it
SEED = 2025  # not that of params.yaml: nobody here was seen in training
NUM_PEOPLE, NUM_POSES = 8, 8
JPEG_QUALITY = 95


def examples_for(preparation: Preparation, *, directory: Path | None) -> tuple[ExamplePhoto, ...]:
    """Those of a folder with people/ and poses/, else rendered ones for a model of rendered people.

    Raises ConfigError when the folder has neither.
    """
    if directory is not None:
        return _of_folder(directory)
    if preparation.people != "mannequins":
        return ()
    size = {"height_px": preparation.image_height_px, "width_px": preparation.image_width_px}
    people = [_rendered(index, view_index=0, role="person", **size) for index in range(NUM_PEOPLE)]
    poses = [
        _rendered(NUM_PEOPLE + index, view_index=index, role="pose", **size) for index in range(NUM_POSES)
    ]
    return (*people, *poses)


def _rendered(index: int, *, view_index: int, role: Role, height_px: int, width_px: int) -> ExamplePhoto:
    mannequin = sample_mannequin(SEED, index=index)
    views = [view for view in mannequin.views if not view.endswith("flat")]
    view = views[view_index % len(views)]
    rendered = render_view(mannequin, view=view, height_px=height_px, width_px=width_px)
    return ExamplePhoto(name=f"{role} {index + 1}.jpg", role=role, data=_jpeg(rendered.image))


def _of_folder(directory: Path) -> tuple[ExamplePhoto, ...]:
    roles: dict[str, Role] = {"people": "person", "poses": "pose"}
    found = [
        ExamplePhoto(name=path.name, role=role, data=path.read_bytes())
        for name, role in roles.items()
        if (directory / name).is_dir()
        for path in photos_in(directory / name)
    ]
    if not found:
        raise ConfigError(f"{directory}: has no photographs in people/ or poses/; put examples there")
    return tuple(found)


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
