"""The stages of the pipeline in order, and the one way to run one.

Importing this is cheap: a stage is loaded when run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from typing import Protocol

    from mcld.config import Params
    from mcld.stages.mapper import Mapper
    from mcld.types import Report
    from mcld.workspace import Workspace

    class Run(Protocol):
        """The contract of a stage's module."""

        def __call__(self, params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
            """Do the stage's work, or what is left of it."""
            ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One row of the pipeline.

    `inputs` are stages whose folders it reads; `params` the sections that shape its output, with
    `recipe` where one of their fields can be left to it.
    """

    name: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    summary: str

    @property
    def module(self) -> str:
        """The module whose `run` does the work."""
        return f"mcld.stages.{self.name}"


STAGES: tuple[StageSpec, ...] = (
    StageSpec(
        name="dataset",
        inputs=(),
        params=("dataset",),
        summary="index every image, its outfit, view and split; the pairs; the exclusions",
    ),
    StageSpec(
        name="weights", inputs=(), params=("weights",), summary="make the base weights ready and verify them"
    ),
    StageSpec(
        name="densepose", inputs=("dataset",), params=("recipe", "densepose"), summary="image to IUV map"
    ),
    StageSpec(name="face", inputs=("dataset",), params=("face",), summary="image to face embedding"),
    StageSpec(
        name="texture",
        inputs=("dataset", "densepose"),
        params=("recipe", "texture"),
        summary="image and IUV to UV texture",
    ),
    StageSpec(
        name="latents",
        inputs=("dataset", "texture", "weights"),
        params=("latents",),
        summary="VAE moments and CLIP embeddings of image and texture",
    ),
    StageSpec(
        name="shards",
        inputs=("dataset", "densepose", "face", "texture", "latents"),
        params=("shards",),
        summary="join the columns into WebDataset tars, one sample an outfit",
    ),
    StageSpec(
        name="train",
        inputs=("weights", "shards"),
        params=("recipe", "model", "diffusion", "train"),
        summary="train MCLD",
    ),
    StageSpec(
        name="generate",
        inputs=("weights", "shards", "train"),
        params=("recipe", "generate"),
        summary="render the test pairs",
    ),
    StageSpec(
        name="evaluate",
        inputs=("dataset", "densepose", "face", "generate"),
        params=("evaluate",),
        summary="score what was generated",
    ),
    StageSpec(
        name="probe",
        inputs=("dataset", "densepose", "weights", "latents"),
        params=("probe",),
        summary="see what the VAE alone costs faces and garments",
    ),
    StageSpec(
        name="report",
        inputs=(
            "dataset",
            "densepose",
            "face",
            "texture",
            "latents",
            "shards",
            "train",
            "generate",
            "evaluate",
            "probe",
        ),
        params=("report",),
        summary="pictures and tables a person looks at",
    ),
)


# What these found belongs to the run of the model that `train` made; `train` itself logs while it works.
REMEMBERED_STAGES = ("evaluate", "report")


def stage_spec(name: str) -> StageSpec:
    """Look up a stage. Raises ConfigError naming all stages."""
    for spec in STAGES:
        if spec.name == name:
            return spec
    raise ConfigError(f"unknown stage '{name}'; stages are: {', '.join(spec.name for spec in STAGES)}")


def run_stage(name: str, params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Run one stage while holding the workspace. Repeat the call to resume after any interruption.

    Raises an MCLDError: WorkspaceBusyError when another run holds the workspace, else what the stage found
    wrong.
    """
    from mcld.stages.stage_costs import note_run

    module = import_module(stage_spec(name).module)
    with workspace.locked():
        report = cast("Run", module.run)(params, workspace=workspace, mapper=mapper)
        note_run(report, workspace=workspace)
        if name in REMEMBERED_STAGES:
            from mcld.stages.remember import remember

            remember(name, params, workspace=workspace)
    return report
