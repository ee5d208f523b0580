"""Open an exported folder as an engine: models on their device, in their precision, checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from mcld.devices import dtype_of
from mcld.errors import ConfigError, MCLDError, WeightsError
from mcld.inference.acceleration import PLAIN, Acceleration, accelerate
from mcld.inference.engine import Engine
from mcld.inference.folder import CARD_NAME, ENTRIES
from mcld.inference.photos.finders import FaceFinder, PersonFinder
from mcld.inference.photos.preparation import Preparation, read_preparation
from mcld.inference.photos.reader import PhotoReader
from mcld.inference.pipeline import MCLDPipeline
from mcld.storage import canonical_json, sha256_of_bytes, sha256_of_file
from mcld.types import Precision

INDEX_NAME = "model_index.json"
PIPELINE_NAME = "MCLDPipeline"

# What finds people, and whose face, for a model whose pictures were prepared so.
Finders = tuple[PersonFinder, FaceFinder | None]
FindersFor = Callable[[Preparation], Finders]


def load_engine(
    directory: Path,
    *,
    finders_for: FindersFor,
    device: torch.device,
    precision: Precision = "float32",
    acceleration: Acceleration = PLAIN,
) -> Engine:
    """The engine of a folder that `mcld export` wrote, its models accelerated as asked for.

    Raises ConfigError when it is no such folder, or for half precision without a GPU; WeightsError when it is
    damaged or from an older version; and what `finders_for` raises, before the model is loaded.
    """
    check_folder(directory)
    if precision == "float16" and device.type == "cpu":
        raise ConfigError("dtype: float16 is for GPUs; on the CPU use float32, or bfloat16")
    index = _index(directory)
    preparation = read_preparation(index.get("preparation"), place=str(directory))
    _check_whole(directory, index=index)
    person_finder, face_finder = finders_for(preparation)
    pipeline = _pipeline(directory, device=device, precision=precision)
    accelerate(pipeline, acceleration=acceleration)
    return Engine(
        pipeline=pipeline,
        preparation=preparation,
        reader=PhotoReader(preparation=preparation, person_finder=person_finder, face_finder=face_finder),
        model_sha256=model_sha256(directory),
    )


def check_folder(directory: Path) -> None:
    """Raises ConfigError, a sentence, unless the folder is an exported MCLD model by its index."""
    if not directory.exists():
        raise ConfigError(f"{directory}: there is no such folder; name one that `mcld export` wrote")
    if not directory.is_dir():
        raise ConfigError(f"{directory}: is a file; name the folder that `mcld export` wrote")
    if not (directory / INDEX_NAME).is_file():
        raise ConfigError(
            f"{directory}: is no exported model (it has no {INDEX_NAME}); name a folder that `mcld export` "
            "wrote, or write one: mcld export FOLDER"
        )
    found = _index(directory).get("_class_name")
    if found != PIPELINE_NAME:
        raise ConfigError(
            f"{directory}: holds a {found}, but MCLD's models are folders of a {PIPELINE_NAME}; "
            "name one that `mcld export` wrote"
        )


def model_sha256(directory: Path) -> str:
    """What the folder's models are: one hash over the names and bytes of all their files."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != "README.md")
    hashes = {path.relative_to(directory).as_posix(): sha256_of_file(path) for path in files}
    return sha256_of_bytes(canonical_json(hashes).encode())


def _index(directory: Path) -> dict[str, object]:
    path = directory / INDEX_NAME
    try:
        index = json.loads(path.read_bytes())
    except ValueError as error:
        raise WeightsError(f"{path}: is damaged ({error}); run `mcld export` again") from error
    if not isinstance(index, dict):
        raise WeightsError(f"{path}: holds no table; run `mcld export` again")
    return index


def _check_whole(directory: Path, *, index: Mapping[str, object]) -> None:
    """Raises WeightsError for a part that the index names and the folder lacks: diffusers' words are many."""
    for name in sorted(ENTRIES - {CARD_NAME, INDEX_NAME}):
        named = index.get(name)
        if isinstance(named, list) and named[:1] != [None] and not (directory / name).is_dir():
            raise WeightsError(
                f"{directory}: cannot be loaded (it has no {name}/); copy the folder whole, or run "
                "`mcld export` again"
            )


def _pipeline(directory: Path, *, device: torch.device, precision: Precision) -> MCLDPipeline:
    try:
        pipeline = MCLDPipeline.from_pretrained(directory, dtype=dtype_of(precision), local_files_only=True)
    except MCLDError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{directory}: cannot be loaded ({reason}); run `mcld export` again, or copy the folder whole"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    return pipeline
