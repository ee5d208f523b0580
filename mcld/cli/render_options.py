"""Options that say how a picture is rendered, and the settings that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

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
GuidanceInterval = Annotated[
    tuple[float, float],
    typer.Option("--guidance-interval", help="From, to: the fractions of the steps that are guided."),
]
ReuseFeatures = Annotated[
    int, typer.Option("--reuse-features", help="Compute the deep layers at every n-th step only.")
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
    guidance_interval: tuple[float, float],
    reuse_features: int,
    background: str,
) -> RenderSettings:
    """The settings; what is None is as the model was sampled for its scores. Raises ConfigError."""
    from pydantic import ValidationError

    from mcld.inference.settings import RenderSettings

    values = {
        "seed": seed,
        "num_steps": preparation.num_inference_steps if steps is None else steps,
        "guidance_scale": preparation.guidance_scale if guidance is None else guidance,
        "scheduler": scheduler,
        "guidance_interval": guidance_interval,
        "reuse_features": reuse_features,
        "background": background,
    }
    try:
        return RenderSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, by the option's name."""
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:  # of several fields: the reason begins with the first one's name
        name, _, rest = reason.partition(":")
        return f"{OPTION_OF.get(name, name)}:{rest}"
    name = str(first["loc"][0])
    return f"{OPTION_OF.get(name, name)}: {first['input']}: {reason}"


OPTION_OF = {
    "num_steps": "--steps",
    "guidance_scale": "--guidance",
    "guidance_interval": "--guidance-interval",
    "reuse_features": "--reuse-features",
    "background": "--background",
    "seed": "--seed",
}
