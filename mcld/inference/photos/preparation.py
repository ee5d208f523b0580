"""How the pictures that a model was trained with were made: own photographs must be made so, too.

Travels in the exported folder as plain values, without paths.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from mcld.config import Params
from mcld.config.section import Positive, PositiveReal, Probability, Section, Sha256
from mcld.errors import WeightsError
from mcld.framing import Framing
from mcld.types import Fit

PersonChoice = Literal["best-score", "biggest"]


class Preparation(Section):
    """What shapes conditions besides the photograph, and how the model is usually sampled."""

    people: Literal["mannequins", "photographs"]  # of the training: who can be found, and by which networks
    uv_overflow: Literal["clamp", "wrap"]
    person: PersonChoice
    min_person_fraction: Probability
    recogniser: Literal["precomputed", "insightface", "opencv"]
    recogniser_sha256: Sha256 | None  # None where the embeddings of the training were given
    face_pack: str
    face_dim: Positive
    det_size_px: Positive
    min_score: PositiveReal
    layout: Literal["smpl512", "atlas"]
    fill: Literal["telea", "nearest"]
    part_size_px: Positive
    fill_margin_px: int
    black_is_missing: bool
    fit: Fit
    height_px: Positive
    width_px: Positive
    texture_height_px: Positive
    texture_width_px: Positive
    image_height_px: Positive  # of the pictures that are written and scored: the natural aspect
    image_width_px: Positive
    num_inference_steps: Positive
    guidance_scale: PositiveReal

    @property
    def framing(self) -> Framing:
        """How photographs and IUV maps come to the model's size."""
        return Framing(height_px=self.height_px, width_px=self.width_px, fit=self.fit)

    @property
    def texture_framing(self) -> Framing:
        """How UV textures do."""
        return Framing(height_px=self.texture_height_px, width_px=self.texture_width_px)

    @property
    def aspect(self) -> float:
        """Width by height of the pictures that the model was trained with."""
        return self.image_width_px / self.image_height_px


def preparation_of(params: Params, *, recogniser_sha256: str | None = None) -> Preparation:
    """The preparation of a workspace; `recogniser_sha256` is of the face model that its stage ran."""
    densepose, face, texture, latents = params.densepose, params.face, params.texture, params.latents
    generate = params.generate
    return Preparation(
        people="mannequins" if params.dataset.source == "mannequins" else "photographs",
        uv_overflow=densepose.uv_overflow,
        person=densepose.person,
        min_person_fraction=densepose.min_person_fraction,
        recogniser=face.recogniser,
        recogniser_sha256=recogniser_sha256,
        face_pack=face.pack,
        face_dim=face.dim,
        det_size_px=face.det_size_px,
        min_score=face.min_score,
        layout=texture.layout,
        fill=texture.fill,
        part_size_px=texture.part_size_px,
        fill_margin_px=texture.fill_margin_px,
        black_is_missing=texture.black_is_missing,
        fit=latents.fit,
        height_px=latents.height_px,
        width_px=latents.width_px,
        texture_height_px=latents.texture_height_px,
        texture_width_px=latents.texture_width_px,
        image_height_px=generate.height_px,
        image_width_px=generate.width_px,
        num_inference_steps=generate.num_inference_steps,
        guidance_scale=generate.guidance_scale,
    )


def read_preparation(values: object, *, place: str) -> Preparation:
    """What an exported folder says. Raises WeightsError when it says nothing, or something else."""
    if not values:
        raise WeightsError(
            f"{place}: does not say how the pictures of its training were prepared, as exports before this "
            "version did not; run `mcld export` again"
        )
    try:
        return Preparation.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise WeightsError(f"{place}: preparation.{name}: {first['msg']}; run `mcld export` again") from error
