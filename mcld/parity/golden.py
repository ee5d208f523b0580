"""Read a folder of recorded tensors: the weights, inputs and outputs of one small MCLD model.

    golden = read_golden(Path("golden/model"))      # every file, checked, before any work
    model = build_model(golden)                     # our model with the recorded weights
    conditions = conditions_of(golden.loss, golden=golden)

Layout: `config.json`, four state dicts with the authors' keys, `instancenet_seed{N}` for each of
`input_seeds`, `sampling` and `loss`, each a `.safetensors` with its settings in a `.json` beside it. That may
also list the tensors that must be there.

Shapes: B rows, C latent channels, h w latent size, H W pose image, D embedding width, A face width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mcld.errors import ConfigError, DataError, WeightsError
from mcld.models import MCLD, FaceProjectorConfig, ModelConfig, load_authors_states
from mcld.models.config import ReferencePrecision
from mcld.parity.settings import REMEDY, Settings, read_settings
from mcld.tensors.files import read_safetensors
from mcld.types import Conditions

STATE_NAMES = ("denoising_unet", "reference_unet", "pose_guider", "image_proj_model")
FRAME_AXIS = 2
BYTE_TOLERANCE = 1e-3  # how far a stored pose pixel, times 255, may be from a whole number

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenFile:
    """The tensors of one file, without the authors' frame axis, and the settings beside it."""

    path: Path
    tensors: Mapping[str, Tensor]
    settings: Settings

    def tensor(self, name: str, *, shape: Shape | None = None) -> Tensor:
        """A tensor, an input always as float32; None in `shape` is any size.

        Raises DataError when it is missing, of another shape, or an input that holds NaN or infinity.
        """
        value = _take(self.tensors, name, path=self.path, shape=shape)
        if not name.startswith("in."):
            return value
        if not bool(value.isfinite().all()):
            raise DataError(f"{self.path}: '{name}' holds NaN or infinity; {REMEDY}")
        return value.float()

    def under(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names start with `prefix`, by the rest of the name."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Everything in the folder that is about one model. `seeds` are the files of single predictions."""

    directory: Path
    settings: Settings
    config: ModelConfig
    latent_hw: tuple[int, int]
    states: Mapping[str, Mapping[str, Tensor]]  # float32, by the authors' file names and keys
    seeds: Mapping[int, GoldenFile]
    sampling: GoldenFile
    loss: GoldenFile

    def latent_shape(self, *, rows: int | None) -> Shape:
        """(B, C, h, w) with B left open or given."""
        return (rows, self.config.latent_channels, *self.latent_hw)


def read_golden(directory: Path) -> Golden:
    """Read the folder. Raises DataError or WeightsError naming the file, the value and a remedy."""
    if not directory.is_dir():
        raise DataError(f"{directory}: no such folder; give one that holds config.json and recorded tensors")
    settings = read_settings(directory / "config.json")
    states = {name: _read_state(directory / f"{name}.safetensors") for name in STATE_NAMES}
    return Golden(
        directory=directory,
        settings=settings,
        config=_model_config(settings, states=states),
        latent_hw=_latent_hw(settings),
        states=states,
        seeds={
            seed: _read_file(directory, f"instancenet_seed{seed}")
            for seed in settings.integers("input_seeds", minimum=0)
        },
        sampling=_read_file(directory, "sampling"),
        loss=_read_file(directory, "loss"),
    )


def build_model(golden: Golden, *, reference_precision: ReferencePrecision = "compute") -> MCLD:
    """Our model with the recorded weights. Raises WeightsError when keys or shapes do not fit config.json."""
    config = dataclasses.replace(golden.config, reference_precision=reference_precision)
    with torch.random.fork_rng(devices=[]):  # building draws numbers that loading overwrites
        model = MCLD(config)
    try:
        load_authors_states(model, states=golden.states)
    except WeightsError as error:
        raise WeightsError(f"{golden.directory}: {error}") from error
    return model


def conditions_of(file: GoldenFile, *, golden: Golden, rows: int) -> Conditions:
    """The conditions stored under `in.*`. Their pose image has channels V, U, I; ours are I, U, V."""
    config = golden.config
    height, width = (side * config.pose_factor for side in golden.latent_hw)
    embedding_shape = (rows, 1, config.cross_attention_dim)
    face = file.tensor("in.face_pretrained_embeds", shape=(rows, 1, config.face.embedding_dim))
    return Conditions(
        target_iuv=_bytes(file, "in.pose_img", shape=(rows, 3, height, width)).flip(1),
        texture_latent=file.tensor("in.ref_image_latents", shape=(rows, config.latent_channels, None, None)),
        image_embedding=file.tensor("in.clip_image_embeds", shape=embedding_shape)[:, 0],
        texture_embedding=file.tensor("in.clip_image_embeds2", shape=embedding_shape)[:, 0],
        face_embedding=face[:, 0],
        face_found=torch.ones(rows, dtype=torch.bool),
    )


def timesteps_of(file: GoldenFile, *, rows: int, num_timesteps: int, name: str = "in.timesteps") -> Tensor:
    """Timesteps (B,) long. Raises DataError for one outside the schedule."""
    timestep_B = file.tensor(name, shape=(rows,)).long()
    outside = [int(value) for value in timestep_B if not 0 <= value < num_timesteps]
    if outside:
        raise DataError(f"{file.path}: '{name}' has {outside[0]}, outside 0..{num_timesteps - 1}; {REMEDY}")
    return timestep_B


def without_frames(value: Tensor) -> Tensor:
    """Floats as float32, and (B, C, 1, h, w) as (B, C, h, w)."""
    value = value.float() if value.is_floating_point() else value
    return value.squeeze(FRAME_AXIS) if value.ndim == 5 else value


def _bytes(file: GoldenFile, name: str, *, shape: Shape) -> Tensor:
    """A pose image in 0..1 as the bytes it was made from."""
    scaled = file.tensor(name, shape=shape) * 255
    whole = scaled.round()
    is_byte = ((scaled - whole).abs() <= BYTE_TOLERANCE) & (whole >= 0) & (whole <= 255)
    if not bool(is_byte.all()):
        raise DataError(
            f"{file.path}: '{name}' has {float(scaled[~is_byte][0]) / 255}, which is no byte over 255; "
            "store IUV maps as bytes divided by 255"
        )
    return whole.to(torch.uint8)


def _latent_hw(settings: Settings) -> tuple[int, int]:
    sizes = settings.integers("latent_hw")
    if len(sizes) != 2:
        raise DataError(f"{settings.place}: 'latent_hw' is {list(sizes)}, which is not [h, w]; {REMEDY}")
    return sizes[0], sizes[1]


def _model_config(settings: Settings, *, states: Mapping[str, Mapping[str, Tensor]]) -> ModelConfig:
    """Sizes from config.json; two that it does not name are read off the weights."""
    resampler = settings.section("resampler")
    try:
        return ModelConfig(
            block_out_channels=settings.integers("block_out_channels"),
            layers_per_block=settings.integer("layers_per_block"),
            attention_head_dim=settings.integer("attention_head_dim"),
            norm_num_groups=settings.integer("norm_num_groups"),
            cross_attention_dim=settings.integer("cross_attention_dim"),
            latent_channels=_input_width(states, "denoising_unet", "conv_in.weight"),
            pose_channels=settings.integers("pose_block_out_channels"),
            face=FaceProjectorConfig(
                dim=resampler.integer("dim"),
                depth=resampler.integer("depth"),
                dim_head=resampler.integer("dim_head"),
                heads=resampler.integer("heads"),
                num_tokens=settings.integer("num_tokens"),
                embedding_dim=_input_width(states, "image_proj_model", "proj_in.weight"),
            ),
            iuv_channel_order="vui",
        )
    except ConfigError as error:
        raise DataError(f"{settings.place}: {error}; {REMEDY}") from error


def _input_width(states: Mapping[str, Mapping[str, Tensor]], name: str, key: str) -> int:
    weight = states[name].get(key)
    if weight is None or weight.ndim < 2:
        raise WeightsError(f"{name}.safetensors: no matrix '{key}'; {REMEDY}")
    return weight.shape[1]


def _read_state(path: Path) -> dict[str, Tensor]:
    return {key: value.float() for key, value in read_safetensors(path).items()}


def _read_file(directory: Path, name: str) -> GoldenFile:
    path, settings = directory / f"{name}.safetensors", read_settings(directory / f"{name}.json")
    tensors = read_safetensors(path)
    if "tensors" in settings:
        inventory = settings.section("tensors")
        for key in inventory.values:
            shape = inventory.section(key).integers("shape", minimum=0, may_be_empty=True)
            _take(tensors, key, path=path, shape=shape)
    plain = {key: without_frames(value) for key, value in tensors.items()}
    return GoldenFile(path=path, tensors=plain, settings=settings)


def _take(tensors: Mapping[str, Tensor], name: str, *, path: Path, shape: Shape | None) -> Tensor:
    if name not in tensors:
        raise DataError(f"{path}: no tensor '{name}'; {REMEDY}")
    value = tensors[name]
    if shape is not None and not _fits(tuple(value.shape), shape):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise DataError(f"{path}: '{name}' has shape {tuple(value.shape)}, expected ({wanted}); {REMEDY}")
    return value


def _fits(found: tuple[int, ...], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(
        size is None or size == own for own, size in zip(found, wanted, strict=True)
    )
