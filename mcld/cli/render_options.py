"""Options that say how a picture is rendered, and the settings that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import ValidationError

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.inference.photos.preparation import Preparation
    from mcld.inference.settings import RenderSettings

Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the noise: the same seed, the same picture.")]
Steps = Annotated[int | None, typer.Option("--steps", help="Of sampling; default: as the model's tests.")]
Guidance = Annotated[
    float | None, typer.Option("--guidance", help="How much the person counts, from 1; default: the same.")
]
Scheduler = Annotated[
    Literal["ddim", "dpm-solver++", "unipc", "euler"], typer.Option("--scheduler", help="The solver.")
]
Background = Annotated[
    str, typer.Option("--background", help="generated, target (of its photograph), or a colour, #rrggbb.")
]


def settings_of(
    preparation: Preparation,
    *,
    seed: int,
    steps: int | None,
    guidance: float | None,
    scheduler: str,
    background: str,
) -> RenderSettings:
    """The settings; what is None is as the model was sampled for its scores. Raises ConfigError."""
    from mcld.inference.settings import RenderSettings

    values = {
        "seed": seed,
        "num_steps": preparation.num_inference_steps if steps is None else steps,
        "guidance_scale": preparation.guidance_scale if guidance is None else guidance,
        "scheduler": scheduler,
        "background": background,
    }
    try:
        return RenderSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = OPTION_OF.get(str(first["loc"][0]), str(first["loc"][0]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name}: {first['input']}: {reason}") from error


OPTION_OF = {
    "num_steps": "--steps",
    "guidance_scale": "--guidance",
    "background": "--background",
    "seed": "--seed",
}
