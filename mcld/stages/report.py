"""Stage `report`: one HTML page and PNG grids that a person looks at."""

from __future__ import annotations

import time
from typing import cast

from mcld import faults
from mcld.config import Params
from mcld.data.codec import encode_png
from mcld.data.index import read_index
from mcld.data.manifest import MANIFEST_NAME, read_manifest, write_manifest
from mcld.evaluation import protocols
from mcld.evaluation.pair_table import read_pair_table
from mcld.evaluation.pictures import captioned_grid
from mcld.evaluation.report import Gallery, rank_metric, rank_pairs, render_page
from mcld.stages import STAGES, stage_spec
from mcld.stages.evaluate import PER_PAIR_NAME
from mcld.stages.galleries import open_shelf
from mcld.stages.mapper import Mapper
from mcld.stages.report_galleries import report_galleries
from mcld.stages.report_page import Found, report_page
from mcld.storage import atomic_dir, sha256_of_file, write_bytes
from mcld.types import Manifest, Report
from mcld.workspace import Workspace

STAGE = "report"
FORMAT_VERSION = 6
PAGE_NAME = "index.html"


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/report: index.html, and its galleries as PNG files beside it.

    Raises DataError when a stage has not finished or left something damaged, ConfigError for a metric that
    no pair has.
    """
    started = time.monotonic()
    found = _found(params, workspace=workspace)
    shelf = open_shelf(params.dataset, generate=params.generate, workspace=workspace, index=found.index)
    pairs = protocols.read_pairs(shelf.generate_dir)
    galleries = report_galleries(shelf, pairs=pairs, ranking=found.ranking, num_rows=params.report.num_rows)
    page = report_page(params, workspace=workspace, found=found, galleries=galleries)
    out_dir = workspace.stage_dir(STAGE)
    with atomic_dir(out_dir) as temporary:
        write_bytes(temporary / PAGE_NAME, data=render_page(page).encode())
        for name, gallery in galleries.items():
            write_bytes(temporary / name, data=_grid_png(gallery))
        faults.passing(f"{STAGE}:page_written")
        files = {name: sha256_of_file(temporary / name) for name in sorted((PAGE_NAME, *galleries))}
        settings = cast("dict[str, object]", params.report.model_dump(mode="json"))
        manifest = Manifest(
            stage=STAGE, format_version=FORMAT_VERSION, settings=settings, parts=(), files=files
        )
        write_manifest(temporary, manifest=manifest)
        faults.passing(f"{STAGE}:manifest_written")
    return Report(
        stage=STAGE,
        num_items=len(pairs),
        num_excluded=0,
        num_reused=0,
        seconds=time.monotonic() - started,
        output=out_dir / PAGE_NAME,
    )


def _found(params: Params, *, workspace: Workspace) -> Found:
    """What the other stages left; every one of them has to have finished."""
    per_pair_path = workspace.stage_dir("evaluate") / PER_PAIR_NAME
    pairs = read_pair_table(per_pair_path.read_bytes(), place=str(per_pair_path))
    metric = rank_metric(params.report.rank_by, pairs=pairs)
    return Found(
        manifests=_manifests(workspace),
        index=read_index(workspace.stage_dir("dataset")),
        pairs=pairs,
        ranking=rank_pairs(pairs, metric=metric, num_ranked=params.report.num_ranked),
    )


def _manifests(workspace: Workspace) -> dict[str, Manifest]:
    """Of all stages that the page needs, and of others that have finished here."""
    needed = stage_spec(STAGE).inputs
    directories = {spec.name: workspace.stage_dir(spec.name) for spec in STAGES if spec.name != STAGE}
    return {
        stage: read_manifest(directory)
        for stage, directory in directories.items()
        if stage in needed or (directory / MANIFEST_NAME).is_file()
    }


def _grid_png(gallery: Gallery) -> bytes:
    captions = [picture.caption for picture in gallery.rows[0][1]]
    rows = [[picture.image for picture in pictures] for _, pictures in gallery.rows]
    return encode_png(captioned_grid(rows, captions=captions))
