"""Stage `report`: one HTML page and PNG grids that a person looks at."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from mcld import faults
from mcld.config import Params
from mcld.data.codec import decode_image, encode_png
from mcld.data.columns import Column
from mcld.data.index import DatasetIndex, read_index
from mcld.data.manifest import read_manifest, write_manifest
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.charts import loss_curve_svg
from mcld.evaluation.datasheet import data_sheet, exclusion_table, stage_table
from mcld.evaluation.pictures import captioned_grid
from mcld.evaluation.protocols import GeneratedPair
from mcld.evaluation.report import (
    Gallery,
    Page,
    Picture,
    headlines,
    metrics_section,
    read_evaluation,
    render_page,
)
from mcld.evaluation.score_table import score_tables
from mcld.stages.columns import images_dir
from mcld.stages.evaluate import METRICS_NAME, ROWS_NAME
from mcld.stages.galleries import Shelf, result_gallery, wrong_pose_gallery, wrong_source_gallery
from mcld.stages.mapper import Mapper
from mcld.stages.scored_rows import scored_rows
from mcld.storage import atomic_dir, fingerprint, read_json, sha256_of_file, write_bytes
from mcld.types import Manifest, Report
from mcld.workspace import Workspace

STAGE = "report"
FORMAT_VERSION = 4
PAGE_NAME, GALLERY_NAME = "index.html", "gallery.png"
LISTED_STAGES = (
    "dataset", "densepose", "face", "texture", "latents", "shards", "train", "generate", "evaluate"
)  # fmt: skip
MAX_SAMPLE_GRIDS = 4
MAX_WRONG_ROWS = 6


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/report: index.html, gallery.png, wrong_source.png, wrong_pose.png."""
    started = time.monotonic()
    manifests = {stage: read_manifest(workspace.stage_dir(stage)) for stage in LISTED_STAGES}
    index = read_index(workspace.stage_dir("dataset"))
    shelf = _shelf(params, workspace=workspace, index=index)
    pairs = spread(protocols.read_pairs(shelf.generate_dir), num_kept=params.report.num_rows)
    galleries = {
        GALLERY_NAME: result_gallery(shelf, pairs=pairs),
        "wrong_source.png": wrong_source_gallery(shelf, pairs=pairs[:MAX_WRONG_ROWS]),
        "wrong_pose.png": wrong_pose_gallery(shelf, pairs=pairs[:MAX_WRONG_ROWS]),
    }
    page = _page(params, workspace=workspace, index=index, manifests=manifests, galleries=galleries)
    out_dir = workspace.stage_dir(STAGE)
    with atomic_dir(out_dir) as temporary:
        write_bytes(temporary / PAGE_NAME, data=render_page(page).encode())
        for name, gallery in galleries.items():
            write_bytes(temporary / name, data=encode_png(_grid(gallery)))
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


def spread(pairs: Sequence[GeneratedPair], *, num_kept: int) -> tuple[GeneratedPair, ...]:
    """Return up to `num_kept` pairs spread evenly over the list, so that the page shows many people."""
    count = min(num_kept, len(pairs))
    return tuple(pairs[index * len(pairs) // count] for index in range(count))


def read_losses(path: Path) -> tuple[list[int], list[float]]:
    """Return steps and losses of the training curve. Raises DataError when the file is missing or damaged."""
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        return [int(line["step"]) for line in lines], [float(line["loss"]) for line in lines]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); run `mcld run train`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of step and loss ({error}); run `mcld run train`") from error


def _shelf(params: Params, *, workspace: Workspace, index: DatasetIndex) -> Shelf:
    return Shelf(
        images={image.key: image for image in index.images},
        image_dir=images_dir(params.dataset, workspace=workspace),
        densepose=Column.open(workspace.stage_dir("densepose")),
        texture=Column.open(workspace.stage_dir("texture")),
        generate_dir=workspace.stage_dir("generate"),
        height_px=params.generate.height_px,
        width_px=params.generate.width_px,
    )


def _grid(gallery: Gallery) -> np.ndarray:
    captions = [picture.caption for picture in gallery.rows[0][1]]
    return captioned_grid(
        [[picture.image for picture in pictures] for _, pictures in gallery.rows], captions=captions
    )


def _page(
    params: Params,
    *,
    workspace: Workspace,
    index: DatasetIndex,
    manifests: Mapping[str, Manifest],
    galleries: Mapping[str, Gallery],
) -> Page:
    # What only shapes speed is left out, so that equal results give equal pages.
    shown = params.model_dump(mode="json", exclude={"runtime"})
    rows_path = workspace.stage_dir("evaluate") / ROWS_NAME
    evaluation = read_evaluation(read_json(rows_path), place=str(rows_path))
    metrics = cast("dict[str, float]", read_json(workspace.metrics_dir / METRICS_NAME))
    steps, losses = read_losses(workspace.metrics_dir / "loss.csv")
    beside = score_tables(scored_rows(params.dataset, workspace=workspace))
    exclusions = [exclusion for stage in LISTED_STAGES for exclusion in manifests[stage].exclusions]
    return Page(
        title=params.report.title,
        subtitle=_subtitle(index, num_pairs=evaluation.num_pairs, num_steps=len(steps)),
        headlines=headlines(metrics),
        gallery=galleries[GALLERY_NAME],
        metrics=metrics_section(evaluation),
        wrong_inputs=tuple(gallery for name, gallery in galleries.items() if name != GALLERY_NAME),
        loss_svg=loss_curve_svg(steps, losses=losses),
        samples=_samples(workspace.stage_dir("train") / "samples"),
        data_tables=data_sheet(index),
        exclusions=exclusion_table(exclusions),
        stages=stage_table(manifests),
        params_yaml=_as_yaml(shown),
        params_digest=fingerprint(shown)[:12],
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
    import io

    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(value, text)
    return text.getvalue()
