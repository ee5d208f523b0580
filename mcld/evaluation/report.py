"""One self-contained HTML page that says what was run and what came out: no network, no script.

The page is a function of its arguments, so equal runs give equal bytes; times and machines are left to the
tracker.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import jinja2
import numpy as np
from PIL import Image

from mcld.evaluation.metrics import METRICS
from mcld.evaluation.protocols import ROW_MEANINGS, ROWS

JPEG_QUALITY = 92
PROTOCOL_MEANINGS = {
    "A": "as the pose-transfer papers ran it",
    "B": "the standard definition",
    "own": "ours, without a published counterpart",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One figure and how to read it."""

    figure: str
    versus: str
    title: str
    reading: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image on the page; `image` is (H, W, 3) uint8 RGB."""

    caption: str
    image: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Rows of pictures under one title; every row has a label."""

    title: str
    note: str
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page shows."""

    title: str
    subtitle: str
    headlines: tuple[Headline, ...]
    galleries: tuple[Gallery, ...]
    loss_svg: str
    samples: tuple[Picture, ...]
    evaluation: Mapping[str, object]  # rows.json of the evaluate stage
    data_tables: tuple[Table, ...]
    exclusions: Table
    stages: Table
    params_yaml: str
    params_digest: str
    beside: tuple[Table, ...] = field(default_factory=tuple)  # all rows beside published ones
    beside_notes: tuple[str, ...] = field(default_factory=tuple)


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mcld.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["number"] = number
    return environment.get_template("report.html").render(
        page=page,
        metrics=METRICS,
        rows=ROWS,
        row_meanings=ROW_MEANINGS,
        protocol_meanings=PROTOCOL_MEANINGS,
    )


def data_uri(image: np.ndarray) -> str:
    """Return an (H, W, 3) uint8 RGB image as a JPEG `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def number(value: float | None) -> str:
    """Return a number as short as it can be read, with a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}"


def headlines(metrics: Mapping[str, float]) -> tuple[Headline, ...]:
    """Return the figures that answer: does it keep the pose, does it keep the clothes, what does it lose."""
    found = (
        _headline(
            metrics,
            name="silhouette_iou",
            other="wrong_pose.silhouette_iou",
            title="Keeps the pose",
            versus="with a wrong pose {other}",
            reading="Overlap of the generated person's outline with the target's; 1 is perfect. The second "
            "figure is what "
            "the outline scores when another pose is asked for: the distance is how much the model "
            "listens to the pose.",
        ),
        _headline(
            metrics,
            name="colour_error_torso",
            other="wrong_source.colour_error_torso",
            title="Keeps the clothes",
            versus="from a wrong source {other}",
            reading="Distance between the mean colours of the generated and the true torso; 0 is perfect. "
            "Dressed from "
            "another person's picture, it should be several times larger.",
        ),
        _headline(
            metrics,
            name="ssim",
            other="vae_reconstruction.ssim",
            title="Looks like the target",
            versus="the latent space allows {other}",
            reading="Structural similarity to the true picture (protocol B). The second figure is what the "
            "targets themselves keep on their way through the VAE and back: no model on top of it can be "
            "expected to do better.",
        ),
    )
    return tuple(headline for headline in found if headline is not None)


def _headline(
    metrics: Mapping[str, float], *, name: str, other: str, title: str, versus: str, reading: str
) -> Headline | None:
    if name not in metrics or other not in metrics:
        return None
    return Headline(
        figure=number(metrics[name]),
        versus=versus.format(other=number(metrics[other])),
        title=title,
        reading=reading,
    )
