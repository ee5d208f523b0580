"""Two recipes: what the authors' code does, and what we do where theirs is odd. One field a difference.

`recipe: authors` reproduces their numbers and runs their released weights; `recipe: corrected` is for new
training. A field that params.yaml leaves null takes its recipe's value; one that it sets keeps its own. Why
each differs stands in docs/adr/0006-recipes.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Recipe = Literal["authors", "corrected"]
DEFAULT: Recipe = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeField:
    """One difference: a field of a section, and its value in either recipe."""

    section: str
    key: str
    authors: object
    corrected: object

    def value(self, recipe: Recipe) -> object:
        """The field's value in a recipe."""
        return self.authors if recipe == "authors" else self.corrected


FIELDS: tuple[RecipeField, ...] = (
    # IUV of the target
    RecipeField(section="densepose", key="person", authors="best-score", corrected="biggest"),
    RecipeField(section="densepose", key="uv_overflow", authors="wrap", corrected="clamp"),
    RecipeField(section="model", key="iuv_channel_order", authors="vui", corrected="iuv"),
    RecipeField(section="model", key="iuv_resize", authors="bicubic", corrected="nearest"),
    # UV texture of the source
    RecipeField(section="texture", key="black_is_missing", authors=True, corrected=False),
    # Reference features
    RecipeField(section="model", key="reference_precision", authors="float16", corrected="compute"),
    # Dropout and what dropped rows see
    RecipeField(section="train", key="dropout_unit", authors="batch", corrected="sample"),
    RecipeField(section="train", key="null_condition", authors="blank-image", corrected="zero-vectors"),
    RecipeField(section="train", key="null_drops_face", authors=False, corrected=True),
    # Loss and averaging
    RecipeField(section="diffusion", key="normalise_face_mask", authors=False, corrected=True),
    RecipeField(section="train", key="ema", authors=False, corrected=True),
    # Sampling
    RecipeField(section="generate", key="beta_schedule", authors="linear", corrected="training"),
    RecipeField(section="generate", key="noise_stream", authors="global", corrected="pair"),
)


def with_recipe(raw: Mapping[str, object]) -> dict[str, object]:
    """`raw` with each recipe's field that is absent or null filled in. What is set stays as it is."""
    wanted = raw.get("recipe", DEFAULT)
    recipe: Recipe = "authors" if wanted == "authors" else "corrected"
    filled = dict(raw)
    for field in FIELDS:
        section = filled.get(field.section, {})
        # Anything but plain data is a section that is made already, or a mistake that is told elsewhere.
        if isinstance(section, dict) and section.get(field.key) is None:
            filled[field.section] = {**section, field.key: field.value(recipe)}
    return filled
