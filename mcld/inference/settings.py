"""How a picture is to be rendered: plain values, as recipes, the command line and requests hold them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, UniPCMultistepScheduler
from pydantic import Field, field_validator, model_validator

from mcld.config.section import Probability, Section
from mcld.diffusion import ALL_STEPS, Scheduler, guided_steps
from mcld.inference.denoising import MAX_REUSE

SchedulerName = Literal["ddim", "dpm-solver++", "unipc", "euler"]
MAX_STEPS = 200
MAX_GUIDANCE = 20.0
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Background = Annotated[str, Field(json_schema_extra={"pattern": f"^(generated|target|{COLOUR.pattern})$"})]


class RenderSettings(Section):
    """What shapes a picture besides the person and the pose."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    num_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 20
    guidance_scale: Annotated[float, Field(ge=1.0, le=MAX_GUIDANCE)] = 3.5  # 1: none
    scheduler: SchedulerName = "ddim"
    # Approximations that save time; their price is measured in docs/speed.md.
    guidance_interval: tuple[Probability, Probability] = ALL_STEPS  # from, to: fractions of the steps
    reuse_features: Annotated[int, Field(ge=1, le=MAX_REUSE)] = 1  # deep layers at every n-th step only
    background: Background = "generated"  # or target: that of the pose's photograph; or a colour, #rrggbb

    @field_validator("background")
    @classmethod
    def _is_known(cls, background: str) -> str:
        if background not in ("generated", "target") and not COLOUR.fullmatch(background):
            raise ValueError(f"'{background}' is unknown; choose generated, target, or a colour as #rrggbb")
        return background

    @model_validator(mode="after")
    def _has_guided_steps(self) -> RenderSettings:
        start, end = self.guidance_interval
        if start >= end:
            raise ValueError(f"guidance_interval: {start} to {end} is empty; 0 to 1 is all steps")
        if not guided_steps(self.guidance_interval, num_steps=self.num_steps):
            raise ValueError(
                f"guidance_interval: {start} to {end} holds none of {self.num_steps} steps; "
                "widen it, or set guidance_scale to 1"
            )
        return self


def scheduler_of(name: SchedulerName, *, like: Scheduler) -> Scheduler:
    """A solver on the noise schedule of `like`, which predicts v as this does."""
    if name == "ddim":
        return like
    classes: dict[str, Any] = {
        "dpm-solver++": DPMSolverMultistepScheduler,
        "unipc": UniPCMultistepScheduler,
        "euler": EulerDiscreteScheduler,
    }
    solver: Scheduler = classes[name].from_config(like.config)
    return solver
