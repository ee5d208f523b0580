"""Stage `evaluate`: score every row of images against the true targets, pair by pair, and sum up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from mcld import faults
from mcld.config import GenerateParams, Params
from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.data.index import read_index
from mcld.data.manifest import read_manifest
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.metrics import absent_metrics, check_required, present_metrics
from mcld.evaluation.protocols import ROWS, GeneratedPair, Row
from mcld.evaluation.scores import ScoredPair
from mcld.evaluation.summary import Scores, flat_metrics, gaps, summarise
from mcld.evaluation.table import write_per_pair
from mcld.stages.columns import images_dir, read_image_bytes, report_of
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.storage import read_json, sha256_of_file, write_json
from mcld.types import ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "evaluate"
FORMAT_VERSION = 1
PAIRS_PER_PART = 16
PER_PAIR_NAME, ROWS_NAME, METRICS_NAME = "per_pair.parquet", "rows.json", "evaluate.json"
Pairs = tuple[GeneratedPair, ...]
PartScores = dict[Row, dict[str, list[float | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateWork(PartWork[Pairs]):
    """Scores the pairs of one part: all rows, all metrics that can be computed."""

    suffix = ".scores.json"

    generate_dir: Path
    image_dir: Path
    densepose: Column
    targets: Mapping[str, ImageRecord]
    height_px: int
    width_px: int

    def inputs(self, payload: Pairs) -> object:
        """Every image's hash: generated, target and IUV."""
        return [[pair.id, pair.target, *self._hashes(pair)] for pair in payload]

    def build(self, payload: Pairs, *, path: Path) -> PartOutput:
        """Write the part's scores: row to metric to one value a pair."""
        metrics = present_metrics(height_px=self.height_px, width_px=self.width_px)
        scores: PartScores = {row: {metric.name: [] for metric in metrics} for row in ROWS}
        iuvs = {
            part: self.densepose.read_part(part)
            for part in sorted({self._target(pair).part for pair in payload})
        }
        for pair in payload:
            target = self._target(pair)
            items = iuvs[target.part]
            if target.key not in items:
                raise DataError(
                    f"{STAGE}: pair {pair.id}: target {target.key} has no IUV map; run `mcld run densepose`"
                )
            for row, scored in self._rows(pair, target=target, iuv_png=items[target.key][IUV_MEMBER]).items():
                for metric in metrics:
                    assert metric.function is not None
                    scores[row][metric.name].append(metric.function(scored))
        write_json(path, value=scores)
        return PartOutput(num_items=len(payload))

    def _rows(self, pair: GeneratedPair, *, target: ImageRecord, iuv_png: bytes) -> dict[Row, ScoredPair]:
        """Every row's image beside the true target.

        A wrong pose, too, is judged by the pose that was asked for.
        """
        size = {"height_px": self.height_px, "width_px": self.width_px}
        target_image = protocols.resize(
            decode_image(read_image_bytes(target, root_dir=self.image_dir)), **size
        )
        target_iuv = protocols.resize_iuv(decode_iuv(iuv_png), **size)
        rows: dict[Row, ScoredPair] = {}
        for row in ROWS:
            image = target_image
            if row != "ground_truth":
                path = protocols.generated_path(self.generate_dir, row=row, pair_id=pair.id)
                image = protocols.read_generated(path, **size)
            rows[row] = ScoredPair(image=image, target=target_image, target_iuv=target_iuv)
        return rows

    def _hashes(self, pair: GeneratedPair) -> list[str]:
        target = self._target(pair)
        paths = [
            protocols.generated_path(self.generate_dir, row=row, pair_id=pair.id)
            for row in ROWS
            if row != "ground_truth"
        ]
        iuv_hash = self.densepose.record(target.part).sha256
        return [target.sha256, iuv_hash, *(sha256_of_file(path) for path in paths)]

    def _target(self, pair: GeneratedPair) -> ImageRecord:
        return self.targets[pair.target]


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/evaluate (scores by pair, rows with intervals) and metrics/evaluate.json."""
    started = time.monotonic()
    section = params.generate
    check_required(params.evaluate.require, height_px=section.height_px, width_px=section.width_px)
    out_dir, generate_dir = workspace.stage_dir(STAGE), workspace.stage_dir("generate")
    read_manifest(generate_dir)
    pairs = protocols.read_pairs(generate_dir)
    protocols.check_images_exist(generate_dir, pairs=pairs)
    images = {image.key: image for image in read_index(workspace.stage_dir("dataset")).images}
    work = EvaluateWork(
        generate_dir=generate_dir,
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        targets=_targets(pairs, images=images, generate_dir=generate_dir),
        height_px=section.height_px,
        width_px=section.width_px,
    )
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings={
            "height_px": section.height_px,
            "width_px": section.width_px,
            "metrics": [
                metric.name
                for metric in present_metrics(height_px=section.height_px, width_px=section.width_px)
            ],
        },
        format_version=FORMAT_VERSION,
        plans=_plans(pairs),
        work=work,
        mapper=mapper,
    )
    scores = _joined([read_json(out_dir / record.path) for record in manifest.parts])
    write_per_pair(out_dir / PER_PAIR_NAME, pairs=pairs, images=images, scores=scores)
    groups = [images[pair.target].outfit_key for pair in pairs]
    flat = _write_summaries(
        out_dir, scores=scores, groups=groups, section=section, workspace=workspace, num_pairs=len(pairs)
    )
    files = {name: sha256_of_file(out_dir / name) for name in (PER_PAIR_NAME, ROWS_NAME)}
    finish(replace(manifest, files=files), out_dir=out_dir)
    report = report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)
    return replace(report, details={**report.details, **_headline(flat)})


def _targets(
    pairs: Sequence[GeneratedPair], *, images: Mapping[str, ImageRecord], generate_dir: Path
) -> dict[str, ImageRecord]:
    """Return the record of every pair's target; raises DataError naming those that the index lacks."""
    unknown = sorted({key for pair in pairs for key in (pair.source, pair.target) if key not in images})
    if unknown:
        shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise DataError(
            f"{generate_dir / 'pairs.json'}: names {len(unknown)} images that the index lacks "
            f"({shown}); run `mcld run generate`"
        )
    return {pair.target: images[pair.target] for pair in pairs}


def _plans(pairs: Pairs) -> list[PartPlan[Pairs]]:
    starts = range(0, len(pairs), PAIRS_PER_PART)
    return [
        PartPlan(index=index, name=part_name(index), payload=pairs[start : start + PAIRS_PER_PART])
        for index, start in enumerate(starts)
    ]


def _joined(parts: Sequence[object]) -> PartScores:
    """Return the scores of all parts as one table, in pair order."""
    tables = [cast("PartScores", part) for part in parts]
    return {
        row: {name: [value for table in tables for value in table[row][name]] for name in tables[0][row]}
        for row in ROWS
    }


def _write_summaries(
    out_dir: Path,
    *,
    scores: Scores,
    groups: Sequence[str],
    section: GenerateParams,
    workspace: Workspace,
    num_pairs: int,
) -> dict[str, float]:
    """Write rows.json (for the report) and metrics/evaluate.json (for DVC and MLflow); returns the latter."""
    rows = summarise(scores, groups=groups)
    found_gaps = gaps(scores, groups=groups)
    flat = flat_metrics(rows, found_gaps=found_gaps, num_pairs=num_pairs)
    absent = absent_metrics(height_px=section.height_px, width_px=section.width_px)
    value = {
        "num_pairs": num_pairs,
        "height_px": section.height_px,
        "width_px": section.width_px,
        "rows": {
            row: {name: asdict(found) for name, found in by_metric.items()} for row, by_metric in rows.items()
        },
        "gaps": {name: asdict(found) for name, found in found_gaps.items()},
        "absent": absent,
    }
    write_json(out_dir / ROWS_NAME, value=value)
    faults.passing(f"{STAGE}:rows_written")
    write_json(workspace.metrics_dir / METRICS_NAME, value=flat)
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
