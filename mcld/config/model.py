"""Sections of the model and of what is done with it, from `model` to `report`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mcld.config.section import (
    NonNegative,
    NonNegativeReal,
    Positive,
    PositiveReal,
    Probability,
    Section,
    Sha256,
)
from mcld.types import IuvResize


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
    batch_size: Positive = 8  # pairs a step, over all processes
    optimizer: Literal["adamw", "muon"] = "muon"  # muon: for kernels and matrices, AdamW for the rest
    learning_rate: PositiveReal = 1e-3
    kernel_learning_rate: PositiveReal = 1e-2  # muon
    schedule: Literal["cosine", "linear", "constant"] = "cosine"  # after the warm-up
    warmup_steps: NonNegative = 20
    final_learning_rate_fraction: Probability = 0.1
    weight_decay: NonNegativeReal = 0.01  # adamw
    max_grad_norm: PositiveReal = 1.0
    max_skipped_steps: Positive = 10  # in a row
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
    num_streams: Positive = 2  # read side by side
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
    """Which metrics must be present, and where the networks lie that some need; relative to the workspace.

    All metrics that can be computed are. One whose file is not there is absent, with the reason; a file that
    is there and is not what it should be is an error.
    """

    require: tuple[str, ...] = ()
    inception_path: str | None = None  # fid_a: inception_v3_google-0cc3c7bd.pth
    inception_tf_path: str | None = None  # fid, clean_fid, kid: pt_inception-2015-12-05-6726825d.pth
    alexnet_path: str | None = None  # lpips_alex: alexnet-owt-7be5be79.pth
    squeezenet_path: str | None = None  # lpips_squeeze: squeezenet1_1-b8a52dc0.pth
    lpips_alex_path: str | None = None  # LPIPS's own weights, alex.pth; without it torchmetrics' copy
    lpips_squeeze_path: str | None = None  # squeeze.pth; without it torchmetrics' copy
    expected_sha256: dict[str, Sha256] = Field(default_factory=dict)  # by file name, of the files above
    batch_size: Positive = 32  # images through a network at once


class ProbeParams(Section):
    """Test images through the VAE and back: how many, and how far off their latents are."""

    num_images: Annotated[int, Field(ge=1, le=64)] = 4
    deviation: NonNegativeReal = 0.2  # standard deviation of the noise on the scaled latent
    seed: NonNegative = 0  # of which images, and of the noise


class ReportParams(Section):
    """The page a person looks at."""

    num_rows: Annotated[int, Field(ge=1, le=64)] = 12
    rank_by: str = "ssim"  # a metric that has a value for each pair
    num_ranked: Annotated[int, Field(ge=0, le=32)] = 4  # worst pairs, and as many best ones
    title: str = "MCLD on the embedded people"
