"""The whole configuration, and reading it: the only place that opens params.yaml."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

from pydantic import ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from mcld.config.conditions import DenseposeParams, FaceParams, LatentsParams, TextureParams
from mcld.config.data import DatasetParams, ShardsParams, WeightsParams
from mcld.config.model import (
    DiffusionParams,
    EvaluateParams,
    GenerateParams,
    ModelParams,
    ProbeParams,
    ReportParams,
    TrainParams,
)
from mcld.config.section import NonNegative, NonNegativeReal, Positive, PositiveReal, Section
from mcld.errors import ConfigError
from mcld.recipes import DEFAULT, Recipe, with_recipe
from mcld.storage.addresses import without_credentials

PARAMS_PATH = Path("params.yaml")


class RuntimeParams(Section):
    """Speed and place only: nothing here is a dependency of any stage."""

    num_workers: NonNegative = 0  # 0: one per core; with mapper ray: as many as the cluster holds
    mapper: Literal["local", "ray"] = "local"  # where parts are made
    ray_address: str | None = None  # host:port of the head; default: RAY_ADDRESS, or this machine's cluster
    ray_cpus_per_worker: PositiveReal = 1.0
    ray_gpus_per_worker: PositiveReal = 1.0  # of work that computes with a model
    device: Literal["auto", "cpu", "cuda"] = "auto"  # a GPU rounds differently, as another CPU does
    compile: bool = False  # train through torch.compile
    launcher: Literal["torchrun", "ray"] = "torchrun"  # of training on several processes
    num_processes: NonNegative = 0  # of training on this machine; 0: one a GPU, one without GPUs
    num_nodes: Positive = 1
    node_rank: NonNegative = 0
    rendezvous: str | None = None  # host:port of the first machine
    parallel: Literal["ddp", "fsdp"] = "ddp"
    max_restarts: NonNegative = 0
    collective_timeout_s: Positive = 600
    accumulation_steps: Positive = 1
    gradient_checkpointing: bool = False
    cuda_graphs: bool = False  # with compile
    shards_url: str | None = None  # default: the workspace's own
    shards_cache_gib: NonNegativeReal = 0.0  # 0: none
    shards_cache_dir: str | None = None  # default: .mcld/shards
    loader_workers: NonNegative = 0  # a training process; 0: a thread
    resident_gib: NonNegativeReal = 1.0
    keep_last_checkpoints: Positive = 2
    keep_every_steps: NonNegative = 0  # 0: none besides the last
    checkpoints_url: str | None = None  # s3://bucket/prefix
    upload_checkpoints: bool = False
    tracking_uri: str | None = None  # default: MLFLOW_TRACKING_URI, or a file here
    experiment: str = "mcld"

    @field_validator("shards_url", "checkpoints_url")
    @classmethod
    def _holds_no_credentials(cls, address: str | None, info: ValidationInfo) -> str | None:
        """It is shown in logs and in MLflow."""
        if address is not None and address != without_credentials(address):
            raise ValueError(
                f"runtime.{info.field_name}: {without_credentials(address)} must hold no name and password; "
                "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        return address

    @field_validator("checkpoints_url")
    @classmethod
    def _lies_in_a_store(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith("s3://"):
            raise ValueError(f"runtime.checkpoints_url: '{address}' is not of the form s3://bucket/prefix")
        return address


class Params(Section):
    """The whole configuration of a pipeline. Fields of the recipe that are absent or null take its values."""

    recipe: Recipe = DEFAULT
    dataset: DatasetParams = DatasetParams()
    weights: WeightsParams = WeightsParams()
    densepose: DenseposeParams = DenseposeParams()
    face: FaceParams = FaceParams()
    texture: TextureParams = TextureParams()
    latents: LatentsParams = LatentsParams()
    shards: ShardsParams = ShardsParams()
    model: ModelParams = ModelParams()
    diffusion: DiffusionParams = DiffusionParams()
    train: TrainParams = TrainParams()
    generate: GenerateParams = GenerateParams()
    evaluate: EvaluateParams = EvaluateParams()
    probe: ProbeParams = ProbeParams()
    report: ReportParams = ReportParams()
    runtime: RuntimeParams = RuntimeParams()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, raw: object) -> object:
        return with_recipe(raw) if isinstance(raw, dict) else raw


def num_workers(runtime: RuntimeParams) -> int:
    """How many processes or threads to use on this machine."""
    return runtime.num_workers or os.cpu_count() or 1


def load_params(path: Path = PARAMS_PATH) -> Params:
    """Read and check a params file.

    Raises ConfigError naming the file, the key, the value, and the nearest known key or the bound it breaks.
    """
    return parse_params(read_raw_params(path), place=str(path))


def read_raw_params(path: Path) -> dict[str, object]:
    """A params file as plain data, unchecked. Raises ConfigError when it is no file with sections."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw = YAML(typ="safe").load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: not found; run the command in the project's folder, "
            "or `mcld profile use mannequins-tiny`"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path}: holds no sections; `mcld profile use mannequins-tiny` writes a complete one"
        )
    return raw


def parse_params(raw: dict[str, object], *, place: str) -> Params:
    """Check plain data against `Params`; `place` names its origin in errors. Raises ConfigError."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors()]
        raise ConfigError("\n".join(f"{place}: {problem}" for problem in problems)) from error


def _describe(detail: ErrorDetails) -> str:
    """One problem as a sentence: what key, what value, what would do."""
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_suggestion(detail['loc'])}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return message
    return f"{key}: {detail['input']!r} is not allowed: {message[0].lower()}{message[1:]}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    """The nearest known key, or all keys of that section."""
    section: type[Section] = Params
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, Section)
        section = annotation
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"
