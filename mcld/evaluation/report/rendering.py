"""Templates to HTML: the one environment of all pages, and how they write numbers and pictures."""

from __future__ import annotations

import base64
import io

import jinja2
import numpy as np
from markupsafe import Markup, escape
from PIL import Image

JPEG_QUALITY = 92
ABSENT = "–"
ARROWS = {"higher": "↑", "lower": "↓"}  # by a metric's direction


def render(template: str, **values: object) -> str:
    """Return a template, filled in: equal values give equal bytes. Text is escaped; a missing name fails."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mcld.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {
        "data_uri": data_uri,
        "number": number,
        "digits": digits,
        "signed": signed,
        "breakable": breakable,
    }
    environment.filters.update(filters)
    environment.globals["arrows"] = ARROWS
    return environment.get_template(template).render(values)


def data_uri(image: np.ndarray) -> str:
    """Return an (H, W, 3) uint8 RGB image as a JPEG `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def number(value: float | None) -> str:
    """Return a number as short as it can be read, with a dash where there is none."""
    if value is None:
        return ABSENT
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}"


def digits(value: float | None) -> str:
    """Return a number with the digits in which runs differ; a dash where there is none."""
    if value is None:
        return ABSENT
    return f"{value:.2f}" if abs(value) >= 2 else f"{value:.4f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    if value is None:
        return ABSENT
    return f"{value:+.2f}" if abs(value) >= 2 else f"{value:+.4f}"


def breakable(text: str) -> Markup:
    """Return a text that may be broken behind underscores, and not before an arrow, as HTML."""
    for arrow in ARROWS.values():
        text = text.replace(f" {arrow}", f"\u00a0{arrow}")
    return Markup("_<wbr>").join(escape(text).split("_"))
