"""Sections of what comes in and of how it is packed: `dataset`, `weights`, `shards`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mcld.config.section import NonNegative, Positive, Probability, Section, Sha256

BASE_FOLDERS = ("unet_dir", "vae_dir", "image_encoder_dir", "controlnet_dir")  # of WeightsParams


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
    expected_sha256: dict[str, Sha256] = Field(
        default_factory=dict
    )  # sd15: by name as in sources.json, e.g. vae/config.json
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


class ShardsParams(Section):
    """How samples are packed: whole outfits, into tars of about `shard_bytes`."""

    shard_bytes: Annotated[int, Field(ge=65_536)] = 256_000_000
    min_shards: Positive = 4  # at least loader workers x training processes
