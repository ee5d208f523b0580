"""A workspace beside another: it reads that one's data and weights, and has a model of its own."""

from __future__ import annotations

from pathlib import Path

from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME
from mcld.errors import DataError
from mcld.stages import STAGES
from mcld.workspace import REAL_IMAGES, Workspace

STAGES_BEFORE = tuple(spec.name for spec in STAGES[: [spec.name for spec in STAGES].index("train")])
PLACE_ENDINGS = ("_dir", "_path")


def side_workspace(main: Workspace, *, folder: Path) -> Workspace:
    """The workspace in `folder`, its stages before training linked, and what is known of real images.

    Raises DataError if one of the stages has not run.
    """
    side = Workspace(root=folder.resolve())
    for stage in STAGES_BEFORE:
        source = main.stage_dir(stage).resolve()
        if not (source / MANIFEST_NAME).is_file():
            raise DataError(f"{source}: has not been made; run `dvc repro shards weights` first")
        _link(side.stage_dir(stage), source=source)
    real_images = main.state_dir.resolve() / REAL_IMAGES
    real_images.mkdir(parents=True, exist_ok=True)
    _link(side.state_dir / REAL_IMAGES, source=real_images)
    return side


def _link(link: Path, *, source: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(source, target_is_directory=True)


def with_places_of(params: Params, *, root: Path) -> Params:
    """These params for use elsewhere: files and folders named relative to `root` are named whole."""
    changed = {}
    for name in type(params).model_fields:
        section = getattr(params, name)
        if name == "recipe":
            continue
        places = {
            key: str((root / value).resolve())
            for key, value in section
            if key.endswith(PLACE_ENDINGS) and isinstance(value, str)
        }
        if places:
            changed[name] = section.model_copy(update=places)
    return params.model_copy(update=changed)
