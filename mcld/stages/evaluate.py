"""Stage `evaluate`: score every row of images against the true targets, pair by pair, and sum up.

What a function gives is scored on all cores (`evaluate_part.py`), what a network gives on GPUs where there
are any (`network_scores.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mcld import faults
from mcld.config import Params
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.breakdown import breakdown
from mcld.evaluation.metrics import METRICS, absent_metrics, check_required, network_metrics, pair_metrics
from mcld.evaluation.networks import NetworkName, Networks
from mcld.evaluation.protocols import ROWS
from mcld.evaluation.summary import Scores, flat_metrics, gaps, skipped_pairs, summarise
from mcld.evaluation.table import write_per_pair
from mcld.stages.columns import images_dir, report_of
from mcld.stages.evaluate_part import EvaluateWork, Pairs, PartScores
from mcld.stages.evaluation_networks import evaluation_networks, lacking_with
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartPlan, finish, part_name, run_parts
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.types import ImageRecord, Manifest, Report
from mcld.workspace import Workspace

if TYPE_CHECKING:
    from mcld.stages.network_scores import NetworkScores, NetworkScoring

STAGE = "evaluate"
FORMAT_VERSION = 4
PAIRS_PER_PART = 16
PER_PAIR_NAME, ROWS_NAME, METRICS_NAME = "per_pair.parquet", "rows.json", "evaluate.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is evaluated here, checked, and which networks there are for it."""

    params: Params
    workspace: Workspace
    pairs: Pairs
    images: Mapping[str, ImageRecord]
    networks: Networks
    lacking: Mapping[NetworkName, str]

    @property
    def size(self) -> dict[str, int]:
        """Of the images, in pixels."""
        section = self.params.generate
        return {"height_px": section.height_px, "width_px": section.width_px}

    @property
    def generate_dir(self) -> Path:
        return self.workspace.stage_dir("generate")

    @property
    def out_dir(self) -> Path:
        return self.workspace.stage_dir(STAGE)


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/evaluate (scores by pair, rows with intervals) and metrics/evaluate.json."""
    started = time.monotonic()
    task = _task(params, workspace=workspace)
    scoring = _network_scoring(task, mapper=mapper)
    manifest, num_reused = _run_parts(task, mapper=mapper)
    of_networks = scoring.run() if scoring else None
    scores = _joined(
        [read_json(task.out_dir / record.path) for record in manifest.parts], of_networks=of_networks
    )
    write_per_pair(task.out_dir / PER_PAIR_NAME, pairs=task.pairs, images=task.images, scores=scores)
    flat = _write_summaries(task, scores=scores, of_networks=of_networks)
    files = {name: sha256_of_file(task.out_dir / name) for name in (PER_PAIR_NAME, ROWS_NAME)}
    finish(replace(manifest, files=files), out_dir=task.out_dir)
    report = report_of(manifest, num_reused=num_reused, started=started, out_dir=task.out_dir)
    return replace(report, details={**report.details, **_headline(flat)})


def _task(params: Params, *, workspace: Workspace) -> _Task:
    """All that can be refused is refused here, before any work."""
    section, generate_dir = params.generate, workspace.stage_dir("generate")
    networks, lacking = evaluation_networks(params, workspace=workspace)
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    lacking = lacking_with(images.values(), lacking=lacking)
    check_required(
        params.evaluate.require, height_px=section.height_px, width_px=section.width_px, lacking=lacking
    )
    read_manifest(generate_dir)
    pairs = protocols.read_pairs(generate_dir)
    protocols.check_images_exist(generate_dir, pairs=pairs)
    _check_known(pairs, images=images, generate_dir=generate_dir)
    return _Task(
        params=params,
        workspace=workspace,
        pairs=pairs,
        images=images,
        networks=networks,
        lacking=lacking,
    )


def _network_scoring(task: _Task, *, mapper: Mapper) -> NetworkScoring | None:
    """Ready to be run, the networks checked; None where no network is there."""
    metrics = network_metrics(**task.size, lacking=task.lacking)
    if not metrics:
        return None
    from mcld.evaluation.judge import check_networks  # brings PyTorch
    from mcld.stages.network_scores import NetworkScoring
    from mcld.stages.set_images import JudgedPair

    check_networks(task.networks)
    return NetworkScoring(
        pairs=[
            JudgedPair(source=task.images[pair.source], target=task.images[pair.target])
            for pair in task.pairs
        ],
        files={
            row: [
                protocols.generated_path(task.generate_dir, row=row, pair_id=pair.id) for pair in task.pairs
            ]
            for row in ROWS
            if row != "ground_truth"
        },
        metrics=metrics,
        networks=task.networks,
        params=task.params,
        image_dir=images_dir(task.params.dataset, workspace=task.workspace),
        images=task.images.values(),
        state_dir=task.workspace.state_dir,
        name="rows",
        mapper=mapper,
    )


def _run_parts(task: _Task, *, mapper: Mapper) -> tuple[Manifest, int]:
    work = EvaluateWork(
        generate_dir=task.generate_dir,
        image_dir=images_dir(task.params.dataset, workspace=task.workspace),
        densepose=Column.open(task.workspace.stage_dir("densepose")),
        targets={pair.target: task.images[pair.target] for pair in task.pairs},
        **task.size,
    )
    return run_parts(
        STAGE,
        out_dir=task.out_dir,
        settings={**task.size, "metrics": [metric.name for metric in pair_metrics(**task.size)]},
        format_version=FORMAT_VERSION,
        plans=_plans(task.pairs),
        work=work,
        mapper=mapper,
    )


def _check_known(pairs: Pairs, *, images: Mapping[str, ImageRecord], generate_dir: Path) -> None:
    """Raises DataError naming the images of pairs that the index lacks."""
    unknown = sorted({key for pair in pairs for key in (pair.source, pair.target) if key not in images})
    if unknown:
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise DataError(
            f"{generate_dir / 'pairs.json'}: names {len(unknown)} images that the index lacks "
            f"({shown}); run `mcld run generate`"
        )


def _plans(pairs: Pairs) -> list[PartPlan[Pairs]]:
    starts = range(0, len(pairs), PAIRS_PER_PART)
    return [
        PartPlan(index=index, name=part_name(index), payload=pairs[start : start + PAIRS_PER_PART])
        for index, start in enumerate(starts)
    ]


def _joined(parts: Sequence[object], *, of_networks: NetworkScores | None) -> PartScores:
    """Return the scores of all parts and networks as one table, in pair order and the registry's."""
    tables = [cast("PartScores", part) for part in parts]
    joined: PartScores = {}
    for row in ROWS:
        found = {name: [value for table in tables for value in table[row][name]] for name in tables[0][row]}
        if of_networks:
            found |= {name: list(values) for name, values in of_networks.per_pair[row].items()}
        joined[row] = {metric.name: found[metric.name] for metric in METRICS if metric.name in found}
    return joined


def _write_summaries(task: _Task, *, scores: Scores, of_networks: NetworkScores | None) -> dict[str, float]:
    """Write rows.json (for the report) and metrics/evaluate.json (for DVC and MLflow); returns the latter."""
    groups = [task.images[pair.target].outfit_key for pair in task.pairs]
    rows = summarise(scores, groups=groups)
    found_gaps = gaps(scores, groups=groups)
    sets = of_networks.plain_sets() if of_networks else {}
    flat = flat_metrics(rows, found_gaps=found_gaps, sets=sets, num_pairs=len(task.pairs))
    value = {
        "num_pairs": len(task.pairs),
        **task.size,
        "rows": {
            row: {name: asdict(found) for name, found in by_metric.items()} for row, by_metric in rows.items()
        },
        "sets": sets,
        "gaps": {name: asdict(found) for name, found in found_gaps.items()},
        "absent": absent_metrics(**task.size, lacking=task.lacking),
        "skipped": skipped_pairs(scores["generated"], reasons=of_networks.skipped if of_networks else {}),
        "notes": list(of_networks.notes) if of_networks else [],
        "groups": breakdown(
            scores["generated"],
            sources=[task.images[pair.source] for pair in task.pairs],
            targets=[task.images[pair.target] for pair in task.pairs],
        ),
    }
    write_json(task.out_dir / ROWS_NAME, value=value)
    faults.passing(f"{STAGE}:rows_written")
    write_json(task.workspace.metrics_dir / METRICS_NAME, value=flat)
    faults.passing(f"{STAGE}:metrics_written")
    return flat


def _headline(flat: Mapping[str, float]) -> dict[str, str | int | float]:
    names = (
        "ssim",
        "silhouette_iou",
        "wrong_pose.silhouette_iou",
        "colour_error_torso",
        "ratio.colour_error_torso.wrong_source",
    )
    return {name: flat[name] for name in names if name in flat}
