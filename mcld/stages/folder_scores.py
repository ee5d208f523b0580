"""Score a folder of generated images, whoever made them, against the test pairs of this workspace.

artifacts/evaluate/folders/NAME/rows.json         means with intervals, and what is to be said of them
artifacts/evaluate/folders/NAME/per_pair.parquet  every score of every pair, as of the stage `evaluate`
artifacts/evaluate/folders/NAME/exclusions.json   what was not scored, each with its reason
artifacts/evaluate/folders/NAME/manifest.json     last: with it the folder is a row of the table
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from mcld import faults
from mcld.config import Params
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import MANIFEST_NAME
from mcld.errors import ConfigError, DataError
from mcld.evaluation.breakdown import breakdown
from mcld.evaluation.foreign import ImageFolder, find_images, read_image_folder
from mcld.evaluation.metrics import Metric, absent_metrics, check_required, network_metrics, pair_metrics
from mcld.evaluation.networks import NetworkName, Networks
from mcld.evaluation.protocols import Row
from mcld.evaluation.summary import skipped_pairs
from mcld.stages.columns import images_dir, report_of
from mcld.stages.evaluate import PER_PAIR_NAME, ROWS_NAME, STAGE
from mcld.stages.evaluation_networks import evaluation_networks, lacking_with
from mcld.stages.folder_pairs import check_coverage, match_pairs, ordered_test_pairs
from mcld.stages.folder_part import COPIES, FolderPair, FolderPairs, FolderWork
from mcld.stages.folder_summary import Scores, estimates, labels, write_pairs
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartPlan, finish, part_name, run_parts
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.types import Exclusion, ImageRecord, Manifest, Report
from mcld.workspace import Workspace

if TYPE_CHECKING:
    from mcld.stages.network_scores import NetworkScores

FORMAT_VERSION = 4
FOLDERS_NAME, EXCLUSIONS_NAME = "folders", "exclusions.json"
SCORED = "generated"  # the folder's pictures, among the sets of images that networks look at
PAIRS_PER_PART = 32
_GENERIC_NAME = re.compile(r"\d+|images|results|" + "|".join(get_args(Row)))  # say nothing of whose they are
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRequest:
    """What a user asks for: `name` is the row's, by default the folder's own."""

    folder: Path
    name: str | None = None
    partial: bool = False  # score what is there, and have the row say so
    resizes: bool = False  # bring images of another size to that of the evaluation, and have the row say so


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A request whose files are matched to pairs."""

    request: FolderRequest
    params: Params
    workspace: Workspace
    name: str
    directory: Path
    image_folder: ImageFolder
    images: Mapping[str, ImageRecord]
    num_expected: int
    matched: FolderPairs
    unmatched: tuple[Exclusion, ...]
    networks: Networks
    lacking: Mapping[NetworkName, str]

    @property
    def out_dir(self) -> Path:
        return folders_dir(self.workspace) / self.name

    @property
    def size(self) -> dict[str, int]:
        """Of the evaluation's images, in pixels."""
        section = self.params.generate
        return {"height_px": section.height_px, "width_px": section.width_px}

    def network_metrics(self) -> tuple[Metric, ...]:
        """Those whose networks are there."""
        return network_metrics(**self.size, lacking=self.lacking)

    def check_coverage(self, *, num_scored: int, exclusions: Sequence[Exclusion]) -> None:
        check_coverage(
            exclusions,
            num_scored=num_scored,
            num_expected=self.num_expected,
            folder=self.directory,
            partial=self.request.partial,
            dataset=self.params.dataset,
        )


def folders_dir(workspace: Workspace) -> Path:
    """Where the scores of folders lie, one folder a row."""
    return workspace.stage_dir(STAGE) / FOLDERS_NAME


def score_folder(request: FolderRequest, params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Score every test pair that the folder shows; repeated, it does only what changed.

    Needs the stage `dataset` alone: without `densepose` the scores by body region are absent. Raises
    DataError when the names fit no convention, when a test pair has no usable image and `partial` is not
    asked for, and when the images are the targets themselves.
    """
    started = time.monotonic()
    task = _task(request, params, workspace=workspace)
    with workspace.locked():
        manifest, num_reused = _run_parts(task, mapper=mapper)
        exclusions = (*manifest.exclusions, *task.unmatched)
        task.check_coverage(num_scored=manifest.num_items, exclusions=exclusions)
        _check_no_copies(manifest, directory=task.directory)
        pairs, scores = _joined(manifest, out_dir=task.out_dir, matched=task.matched)
        of_networks = _network_scores(task, pairs=pairs, mapper=mapper)
        if of_networks:
            scores |= of_networks.per_pair[SCORED]
        write_pairs(
            task.out_dir / PER_PAIR_NAME, name=task.name, pairs=pairs, images=task.images, scores=scores
        )
        write_json(task.out_dir / EXCLUSIONS_NAME, value=[asdict(exclusion) for exclusion in exclusions])
        row = _row(
            task,
            manifest=manifest,
            scores=scores,
            pairs=pairs,
            of_networks=of_networks,
            exclusions=exclusions,
        )
        write_json(task.out_dir / ROWS_NAME, value=row)
        faults.passing(f"{STAGE}:folder_rows_written")
        names = (PER_PAIR_NAME, ROWS_NAME, EXCLUSIONS_NAME)
        files = {name: sha256_of_file(task.out_dir / name) for name in names}
        finish(replace(manifest, files=files), out_dir=task.out_dir)
    report = report_of(manifest, num_reused=num_reused, started=started, out_dir=task.out_dir)
    return replace(report, num_excluded=len(exclusions))


def row_name(request: FolderRequest, *, directory: Path) -> str:
    """The row's name: as asked for, or that of the folder, with its parent's where it alone says nothing.

    Raises ConfigError when it cannot be a folder's name, or is that of a row of the stage's own.
    """
    name = request.name
    if name is None:
        path = directory.resolve()
        name = f"{path.parent.name}-{path.name}" if _GENERIC_NAME.fullmatch(path.name) else path.name
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[:64]
    if not _NAME.fullmatch(name) or name in get_args(Row):
        raise ConfigError(
            f"--name: '{name}' cannot be the row's name; give at most 64 letters, digits, '.', '_', '+' "
            f"and '-', and none of {', '.join(get_args(Row))}"
        )
    return name


def _task(request: FolderRequest, params: Params, *, workspace: Workspace) -> _Task:
    """Match files to pairs; all that can be refused by names alone is refused here."""
    section = params.generate
    directory = find_images(request.folder, height_px=section.height_px)
    name = row_name(request, directory=directory)
    index = read_index(workspace.stage_dir("dataset"))
    networks, lacking = evaluation_networks(params, workspace=workspace)
    lacking = lacking_with(index.images, lacking=lacking)
    check_required(
        params.evaluate.require, height_px=section.height_px, width_px=section.width_px, lacking=lacking
    )
    image_folder = read_image_folder(directory)
    pairs = ordered_test_pairs(index)
    matched, unmatched = match_pairs(image_folder, pairs=pairs)
    task = _Task(
        request=request,
        params=params,
        workspace=workspace,
        name=name,
        directory=directory,
        image_folder=image_folder,
        images={image.key: image for image in index.images},
        num_expected=len(pairs),
        matched=matched,
        unmatched=unmatched,
        networks=networks,
        lacking=lacking,
    )
    _check_names(task)
    if task.network_metrics():
        from mcld.evaluation.judge import check_networks  # brings PyTorch

        check_networks(networks)
    return task


def _check_names(task: _Task) -> None:
    """Refuse what the names alone show to be incomplete, with all else that is wrong with the images."""
    try:
        task.check_coverage(num_scored=len(task.matched), exclusions=task.unmatched)
    except DataError:
        unusable = _work(task).unusable(task.matched)
        num_usable = len(task.matched) - len(unusable)
        task.check_coverage(num_scored=num_usable, exclusions=(*unusable, *task.unmatched))
        raise


def _work(task: _Task) -> FolderWork:
    section = task.params.generate
    densepose_dir = task.workspace.stage_dir("densepose")
    return FolderWork(
        directory=task.directory,
        image_dir=images_dir(task.params.dataset, workspace=task.workspace),
        targets={pair.target: task.images[pair.target] for pair in task.matched},
        densepose=Column.open(densepose_dir) if (densepose_dir / MANIFEST_NAME).is_file() else None,
        height_px=section.height_px,
        width_px=section.width_px,
        resizes=task.request.resizes,
    )


def _run_parts(task: _Task, *, mapper: Mapper) -> tuple[Manifest, int]:
    starts = range(0, len(task.matched), PAIRS_PER_PART)
    plans = [
        PartPlan(index=index, name=part_name(index), payload=task.matched[start : start + PAIRS_PER_PART])
        for index, start in enumerate(starts)
    ]
    metrics = [metric.name for metric in pair_metrics(**task.size)]
    return run_parts(
        STAGE,
        out_dir=task.out_dir,
        settings={**task.size, "resizes": task.request.resizes, "metrics": metrics},
        format_version=FORMAT_VERSION,
        plans=plans,
        work=_work(task),
        mapper=mapper,
    )


def _check_no_copies(manifest: Manifest, *, directory: Path) -> None:
    num_copies = manifest.counts.get(COPIES, 0)
    if 2 * num_copies > manifest.num_items:
        raise DataError(
            f"{directory}: {num_copies} of {manifest.num_items} images are their targets themselves; give "
            "generated images: the row ground_truth is made by `mcld run evaluate`"
        )
    if num_copies:
        logger.warning("%s: %d images equal their targets", directory, num_copies)


def _joined(
    manifest: Manifest, *, out_dir: Path, matched: FolderPairs
) -> tuple[tuple[FolderPair, ...], dict[str, Sequence[float | None]]]:
    """The pairs that were scored, and the scores of all parts as one table."""
    by_id = {pair.id: pair for pair in matched}
    pairs: list[FolderPair] = []
    scores: dict[str, list[float | None]] = {}
    for part in manifest.parts:
        value = cast("dict[str, object]", read_json(out_dir / part.path))
        pairs += [by_id[pair_id] for pair_id in cast("list[str]", value["ids"])]
        for name, found in cast("dict[str, list[float | None]]", value["scores"]).items():
            scores.setdefault(name, []).extend(found)
    return tuple(pairs), dict(scores)


def _network_scores(task: _Task, *, pairs: Sequence[FolderPair], mapper: Mapper) -> NetworkScores | None:
    """What networks say of the pictures that were scored; None where no network is there."""
    metrics = task.network_metrics()
    if not metrics:
        return None
    from mcld.stages.network_scores import NetworkScoring  # brings PyTorch
    from mcld.stages.set_images import JudgedPair

    return NetworkScoring(
        pairs=[
            JudgedPair(source=task.images[pair.source], target=task.images[pair.target]) for pair in pairs
        ],
        files={SCORED: [task.directory / pair.file_name for pair in pairs]},
        metrics=metrics,
        networks=task.networks,
        params=task.params,
        image_dir=images_dir(task.params.dataset, workspace=task.workspace),
        images=task.images.values(),
        state_dir=task.workspace.state_dir,
        name=f"{FOLDERS_NAME}/{task.name}",
        mapper=mapper,
        resizes=task.request.resizes,
    ).run()


def _row(
    task: _Task,
    *,
    manifest: Manifest,
    scores: Scores,
    pairs: FolderPairs,
    of_networks: NetworkScores | None,
    exclusions: Sequence[Exclusion],
) -> dict[str, object]:
    """rows.json: in the shape of the stage's own, with one row and what is to be said of it."""
    targets = [task.images[pair.target] for pair in pairs]
    outfits = [target.outfit_key for target in targets]
    found, without_iuv = estimates(scores, groups=outfits, manifest=manifest)
    kept = {name: values for name, values in scores.items() if name in found}
    sets = of_networks.plain_sets() if of_networks else {}
    return {
        "name": task.name,
        "convention": task.image_folder.convention.name,
        "labels": labels(manifest, num_expected=task.num_expected),
        "num_pairs": manifest.num_items,
        "num_expected": task.num_expected,
        "excluded": dict(Counter(exclusion.reason for exclusion in exclusions)),
        **task.size,
        "rows": {task.name: found},
        "sets": {task.name: sets[SCORED]} if sets else {},
        "absent": {**absent_metrics(**task.size, lacking=task.lacking), **without_iuv},
        "skipped": skipped_pairs(kept, reasons=of_networks.skipped if of_networks else {}),
        "notes": list(of_networks.notes) if of_networks else [],
        "groups": breakdown(kept, sources=[task.images[pair.source] for pair in pairs], targets=targets),
    }
