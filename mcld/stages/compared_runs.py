"""Runs for a comparison, from MLflow or from folders: settings, scores, pictures of pairs, curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mcld.config import PARAMS_PATH, Params, load_params
from mcld.data.codec import decode_image
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.errors import DataError
from mcld.evaluation.comparison import ComparedRun, PairPictures
from mcld.evaluation.run_scores import PairKey, RunScores, read_run_scores
from mcld.evaluation.strips import cut_strip
from mcld.evaluation.told import plain_name
from mcld.stages.evaluate import METRICS_NAME, PER_PAIR_NAME, ROWS_NAME
from mcld.stages.evaluation_record import ARTIFACT_DIR, GENERATE_TAG, STRIP_KEY, STRIPS_NAME
from mcld.stages.loss_curve import read_losses
from mcld.stages.pair_strips import pair_strips
from mcld.stages.remember import LOGGED_SECTIONS
from mcld.stages.run_tags import ablation_of
from mcld.stages.train import run_begun
from mcld.stages.training import TRAINING_SECTIONS
from mcld.storage import read_json
from mcld.tracking import RunReader, RunRecord, flatten
from mcld.workspace import Workspace

LOSS = "train.loss"
SHOWN_TAGS = ("ablation", "profile", "git.commit")
Curves = dict[str, tuple[tuple[int, float], ...]]


def run_of_folder(folder: Path) -> ComparedRun:
    """The run that a workspace holds.

    Raises ConfigError where `folder` has no params.yaml, DataError where what a stage wrote is damaged.
    """
    workspace = Workspace(root=folder)
    params = _as_made(load_params(folder / PARAMS_PATH), workspace=workspace)
    evaluated = (workspace.stage_dir("evaluate") / MANIFEST_NAME).is_file()
    return ComparedRun(
        name=folder.resolve().name,
        place=str(folder),
        params=_settings(params),
        scores=_scores_of_folder(workspace) if evaluated else None,
        pictures=_pictures_of_folder(params, workspace=workspace) if evaluated else {},
        curves=_curves_of_folder(workspace),
    )


def run_of_record(record: RunRecord, *, reader: RunReader) -> ComparedRun:
    """A run of MLflow. Raises TrackingError where it does not answer, DataError for damaged files."""
    made = {name: value for name, value in record.tags.items() if name.startswith(GENERATE_TAG)}
    named = {name: record.tags[name] for name in SHOWN_TAGS if name in record.tags}
    return ComparedRun(
        name=record.name,
        place=f"MLflow run {record.run_id}",
        params={**record.params, **made, **named},
        scores=scores_of_record(record, reader=reader),
        pictures=_pictures_of_record(record, reader=reader),
        curves=_curves_of_record(record, reader=reader),
    )


def scores_of_record(record: RunRecord, *, reader: RunReader) -> RunScores | None:
    """The evaluation that a run of MLflow keeps; None where it has none."""
    rows = reader.artifact(record.run_id, f"{ARTIFACT_DIR}/{ROWS_NAME}")
    if rows is None:
        return None
    per_pair = reader.artifact(record.run_id, f"{ARTIFACT_DIR}/{PER_PAIR_NAME}")
    place = f"run {record.name}, {ARTIFACT_DIR}/{ROWS_NAME}"
    return read_run_scores(_plain(rows, place=place), per_pair=per_pair, place=place)


def _as_made(params: Params, *, workspace: Workspace) -> Params:
    """The params, but what shaped the model is as it was trained: the file may have been edited since."""
    train_dir = workspace.stage_dir("train")
    if not (train_dir / MANIFEST_NAME).is_file():
        return params
    settings = read_manifest(train_dir).settings
    if not set(TRAINING_SECTIONS) <= set(settings):
        return params
    sections = {
        name: type(getattr(params, name)).model_validate(settings[name]) for name in TRAINING_SECTIONS
    }
    return params.model_copy(update=sections)


def _settings(params: Params) -> dict[str, str]:
    """As a run of MLflow has them."""
    values = flatten(params.model_dump(mode="json", include=LOGGED_SECTIONS | {"generate"}))
    return {name: str(value) for name, value in values.items()} | {"ablation": ablation_of(params.model)}


def _scores_of_folder(workspace: Workspace) -> RunScores:
    directory = workspace.stage_dir("evaluate")
    per_pair = directory / PER_PAIR_NAME
    return read_run_scores(
        read_json(directory / ROWS_NAME),
        per_pair=per_pair.read_bytes() if per_pair.is_file() else None,
        place=str(directory),
    )


def _pictures_of_folder(params: Params, *, workspace: Workspace) -> dict[PairKey, PairPictures]:
    strips = pair_strips(params.dataset, generate=params.generate, workspace=workspace)
    return {
        (strip.pair.source, strip.pair.target): PairPictures(
            label=strip.label, cells=cut_strip(strip.image, place=str(workspace.root))
        )
        for strip in strips
    }


def _curves_of_folder(workspace: Workspace) -> Curves:
    curves: Curves = {}
    loss_path = workspace.metrics_dir / "loss.csv"
    if loss_path.is_file():
        curves[LOSS] = tuple(zip(*read_losses(loss_path), strict=True))
    identity = run_begun(workspace)
    if identity is not None:
        folder = workspace.state_dir / "evaluations" / identity[:16]
        for path in sorted(folder.glob(f"step-*/metrics/{METRICS_NAME}")):
            step = int(path.parent.parent.name.rpartition("-")[2])
            flat = cast("Mapping[str, float]", read_json(path))
            for name, value in flat.items():
                if "." not in name and not name.startswith("num_"):
                    curves[name] = (*curves.get(name, ()), (step, float(value)))
    return curves


def _pictures_of_record(record: RunRecord, *, reader: RunReader) -> dict[PairKey, PairPictures]:
    data = reader.artifact(record.run_id, f"{ARTIFACT_DIR}/{STRIPS_NAME}")
    if data is None:
        return {}
    place = f"run {record.name}, {ARTIFACT_DIR}/{STRIPS_NAME}"
    found: dict[PairKey, PairPictures] = {}
    images = newest_images(reader.artifacts(record.run_id, "images"))
    try:
        for pair in _plain(data, place=place)["pairs"]:
            _, path = images.get(f"{STRIP_KEY}~{pair['id']}", (0, None))
            if path is not None:
                strip = decode_image(reader.download(record.run_id, path))
                cells = cut_strip(strip, place=f"run {record.name}, {path}")
                key = (str(pair["source"]), str(pair["target"]))
                found[key] = PairPictures(label=str(pair["label"]), cells=cells)
    except (KeyError, TypeError) as error:
        raise DataError(f"{place}: not a list of pairs ({error!r}); evaluate again") from error
    return found


def newest_images(paths: list[str]) -> dict[str, tuple[int, str]]:
    """Of MLflow's image panel, `images/KEY+step+STEP+…png`: each key's last step, and its path."""
    found: dict[str, tuple[int, str]] = {}
    for path in paths:
        key, _, rest = path.removeprefix("images/").partition("+step+")
        step = rest.partition("+")[0]
        if path.endswith(".png") and step.isdigit() and int(step) >= found.get(key, (-1, ""))[0]:
            found[key] = (int(step), path)
    return found


def _curves_of_record(record: RunRecord, *, reader: RunReader) -> Curves:
    curves: Curves = {}
    for name in record.metrics:
        shown = LOSS if name == LOSS else plain_name(name)
        if shown is not None:
            curves[shown] = tuple(reader.history(record.run_id, name))
    return {name: points for name, points in curves.items() if name == LOSS or len(points) > 1}


def _plain(data: bytes, *, place: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise DataError(f"{place}: not valid JSON ({error}); evaluate again") from error
    if not isinstance(value, dict):
        raise DataError(f"{place}: holds no table; evaluate again")
    return value
