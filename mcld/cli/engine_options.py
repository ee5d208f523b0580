"""Options that all commands share which run a model on photographs, and the engine that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mcld.types import Precision

if TYPE_CHECKING:
    from mcld.inference.engine import Engine

Model = Annotated[
    Path | None,
    typer.Option("--model", help="A folder that `mcld export` wrote; default: MCLD_MODEL, or this folder's."),
]
DensePose = Annotated[
    Path | None,
    typer.Option("--densepose", envvar="MCLD_DENSEPOSE", help="DensePose's weights, for real photographs."),
]
FaceDir = Annotated[
    Path | None,
    typer.Option(
        "--face-dir", envvar="MCLD_FACE_DIR", help="insightface's folder, with models/<pack>/*.onnx."
    ),
]
YuNet = Annotated[
    Path | None, typer.Option("--yunet", envvar="MCLD_YUNET", help="OpenCV's face detector, with --sface.")
]
SFace = Annotated[Path | None, typer.Option("--sface", envvar="MCLD_SFACE", help="OpenCV's recogniser.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="auto: a GPU if there is one.")
]
Dtype = Annotated[Precision, typer.Option("--dtype", help="Of the models; half precision is for GPUs.")]


class AccelerationName(StrEnum):
    """Fields of `Acceleration`, as options spell them."""

    COMPILE = "compile"
    CHANNELS_LAST = "channels-last"
    VAE_SLICING = "vae-slicing"
    VAE_TILING = "vae-tiling"


Accelerate = Annotated[
    list[AccelerationName] | None,
    typer.Option("--accelerate", help="The same pictures faster, or in less memory: see docs/speed.md."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the options say."""

    model: Path | None
    densepose: Path | None
    face_dir: Path | None
    yunet: Path | None
    sface: Path | None
    device: Literal["auto", "cpu", "cuda"]
    dtype: Precision
    accelerate: Sequence[AccelerationName] = ()


def open_engine(options: EngineOptions) -> tuple[Engine, Path]:
    """The engine, and the folder of its model. Raises ConfigError and WeightsError."""
    from mcld.cli.own_model import model_dir
    from mcld.inference.acceleration import Acceleration
    from mcld.inference.open import open_engine as open_model
    from mcld.workspace import Workspace

    directory = model_dir(options.model, workspace=Workspace())
    engine = open_model(
        directory,
        densepose=options.densepose,
        face_dir=options.face_dir,
        yunet=options.yunet,
        sface=options.sface,
        device=options.device,
        dtype=options.dtype,
        acceleration=Acceleration(
            channels_last=AccelerationName.CHANNELS_LAST in options.accelerate,
            compile=AccelerationName.COMPILE in options.accelerate,
            vae_slicing=AccelerationName.VAE_SLICING in options.accelerate,
            vae_tiling=AccelerationName.VAE_TILING in options.accelerate,
        ),
    )
    return engine, directory
