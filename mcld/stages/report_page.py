"""From what the stages left to the report's page: every section gets what it shows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcld.config import Params
from mcld.data.codec import decode_image
from mcld.data.index import DatasetIndex
from mcld.evaluation.charts import loss_curve_svg
from mcld.evaluation.datasheet import data_sheet, exclusion_table, lost_table, stage_table
from mcld.evaluation.pair_table import PairTable
from mcld.evaluation.report import (
    DifferencesSection,
    Evaluation,
    Gallery,
    Page,
    Picture,
    Ranking,
    WrongInput,
    breakdowns,
    differences_section,
    headlines,
    listening_lines,
    metrics_section,
    read_evaluation,
)
from mcld.evaluation.score_table import score_tables
from mcld.stages.evaluate import METRICS_NAME, ROWS_NAME
from mcld.stages.loss_curve import LOSS_NAME, read_losses
from mcld.stages.report_cost import cost
from mcld.stages.report_galleries import BEST_NAME, RESULT_NAME, WORST_NAME, WRONG_NAMES
from mcld.stages.report_origin import data_versions, history_of_model, origin_facts
from mcld.stages.report_probe import probe_figure_of
from mcld.stages.scored_rows import scored_rows
from mcld.stages.stage_costs import stage_costs
from mcld.stages.training_cost import training_cost
from mcld.storage import read_json
from mcld.types import Manifest
from mcld.workspace import Workspace

MAX_SAMPLE_GRIDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the other stages left, read: their manifests, the index, and the scores of all pairs."""

    manifests: Mapping[str, Manifest]  # in the order of the stages
    index: DatasetIndex
    pairs: PairTable
    ranking: Ranking


def report_page(
    params: Params, *, workspace: Workspace, found: Found, galleries: Mapping[str, Gallery]
) -> Page:
    """Put the page together. Raises DataError naming a file that is missing or damaged."""
    # What only shapes speed is left out, so that equal results give equal pages.
    shown = params.model_dump(mode="json", exclude={"runtime"})
    rows_path = workspace.stage_dir("evaluate") / ROWS_NAME
    evaluation = read_evaluation(read_json(rows_path), place=str(rows_path))
    metrics = cast("dict[str, float]", read_json(workspace.metrics_dir / METRICS_NAME))
    steps, losses = read_losses(workspace.metrics_dir / LOSS_NAME)
    differences = differences_section(found.pairs)
    beside = score_tables(scored_rows(params.dataset, workspace=workspace))
    history = history_of_model(found.manifests["train"], workspace=workspace)
    versions = data_versions(found.manifests, workspace=workspace)
    return Page(
        title=params.report.title,
        subtitle=_subtitle(found.index, num_pairs=evaluation.num_pairs, num_steps=len(steps)),
        origin=origin_facts(params, workspace=workspace, history=history, versions=versions),
        headlines=headlines(metrics),
        gallery=galleries[RESULT_NAME],
        metrics=metrics_section(evaluation),
        differences=differences,
        breakdowns=breakdowns(evaluation, pairs=found.pairs, ranked_by=found.ranking.metric),
        ranked=tuple(galleries[name] for name in (WORST_NAME, BEST_NAME) if name in galleries),
        wrong_inputs=_wrong_inputs(evaluation, differences=differences, galleries=galleries),
        probe=probe_figure_of(workspace),
        loss_svg=loss_curve_svg(steps, losses=losses),
        samples=_samples(workspace.stage_dir("train") / "samples"),
        data_tables=data_sheet(found.index),
        exclusions=exclusion_table(
            exclusion for manifest in found.manifests.values() for exclusion in manifest.exclusions
        ),
        exclusions_note=_exclusions_note(found),
        lost=lost_table(found.manifests),
        stages=stage_table(found.manifests, versions=versions),
        params_yaml=_as_yaml(shown),
        cost=cost(
            found.manifests,
            costs=stage_costs(workspace),
            training=training_cost(history, batch_size=params.train.batch_size) if history else None,
        ),
        beside=beside.tables,
        beside_notes=beside.notes,
    )


def _subtitle(index: DatasetIndex, *, num_pairs: int, num_steps: int) -> str:
    outfits = index.outfits()
    num_test = sum(outfit.split == "test" for outfit in outfits)
    return (
        f"{len(index.images):,} images of {len(outfits):,} outfits, {num_test:,} of them kept for testing; "
        f"{num_steps:,} training steps; scored on {num_pairs:,} test pairs."
    )


def _exclusions_note(found: Found) -> str:
    """How many images stages could not use, of how many there were."""
    excluded = {exclusion.key for manifest in found.manifests.values() for exclusion in manifest.exclusions}
    refused = {exclusion.key for exclusion in found.index.exclusions}
    total = len(found.index.images) + len(refused)
    return f"{len(excluded):,} of {total:,} images ({100 * len(excluded) / total:.1f} %)"


def _wrong_inputs(
    evaluation: Evaluation, *, differences: DifferencesSection, galleries: Mapping[str, Gallery]
) -> tuple[WrongInput, ...]:
    return tuple(
        WrongInput(
            gallery=galleries[name],
            lines=listening_lines(evaluation, differences=differences, row=row),
        )
        for row, name in WRONG_NAMES.items()
    )


def _samples(directory: Path) -> tuple[Picture, ...]:
    """Return a few of the sample grids that training left, the last one among them."""
    paths = sorted(directory.glob("*.png"))
    count = min(MAX_SAMPLE_GRIDS, len(paths))
    chosen = [paths[(number + 1) * len(paths) // count - 1] for number in range(count)]
    return tuple(
        Picture(
            caption=f"step {int(path.stem.rpartition('-')[2]):,}: source, target pose, generated, target",
            image=decode_image(path.read_bytes()),
        )
        for path in chosen
    )


def _as_yaml(value: dict[str, object]) -> str:
    """Return plain data as YAML, sections in their own order."""
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(value, text)
    return text.getvalue()
