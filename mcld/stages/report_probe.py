"""What the stage `probe` found, as a figure of the report: the VAE alone, before any model."""

from __future__ import annotations

from typing import cast

from mcld.data.codec import decode_image
from mcld.evaluation.metrics import METRICS
from mcld.evaluation.report import ARROWS, Figure, Picture, Table, digits
from mcld.stages.probe_files import FIGURE_NAME, METRICS_NAME
from mcld.storage import read_json
from mcld.workspace import Workspace

ROWS = {"reconstruction": "through the VAE", "deviated": "latent off by {deviation:g}"}


def probe_figure_of(workspace: Workspace) -> Figure:
    """The stage's figure beside its numbers. Raises DataError when one of its files is missing or damaged."""
    flat = cast("dict[str, float]", read_json(workspace.metrics_dir / METRICS_NAME))
    deviation, num_images = flat.get("deviation", 0.0), int(flat.get("num_images", 0))
    shown = [metric for metric in METRICS if any(f"{row}.{metric.name}" in flat for row in ROWS)]
    rows = [
        (
            f"{metric.name} {ARROWS[metric.direction]}",
            metric.protocol,
            *(digits(flat.get(f"{row}.{metric.name}")) for row in ROWS),
        )
        for metric in shown
    ]
    names = [name.format(deviation=deviation) for name in ROWS.values()]
    picture = decode_image((workspace.stage_dir("probe") / FIGURE_NAME).read_bytes())
    return Figure(
        note=f"Means over {num_images} test images at the model's size, against the images themselves. The "
        "model works on latents: no face and no pattern comes out better than the VAE brings it back, and a "
        "latent that is only slightly off costs more.",
        picture=Picture(caption="original, through the VAE, and from a latent slightly off", image=picture),
        table=Table(title="", header=("metric", "protocol", *names), rows=tuple(rows)),
    )
