"""People and poses to the model's conditions: what the stages `latents` and `generate` do, for own photos.

Shapes: B rows, C latent channels, h' w' latent size of the texture, D embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.latents import sample_moments
from mcld.conditions.texture import in_layout
from mcld.conditions.view_encoder import ViewEncoder, why_unusable
from mcld.errors import DataError, WeightsError
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.preparation import Preparation
from mcld.inference.pipeline import MCLDPipeline
from mcld.types import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPerson:
    """What the frozen encoders make of a person; the same for every pose."""

    texture_latent: Tensor  # (C, h', w') float32, the mean of its moments, scaled
    image_embedding: Tensor  # (D,) float32
    texture_embedding: Tensor  # (D,) float32
    face_embedding: Tensor  # (face.dim,) float32
    face_found: bool


def view_encoder_of(pipeline: MCLDPipeline, *, preparation: Preparation) -> ViewEncoder:
    """The pipeline's frozen encoders. Raises WeightsError when it has no image encoder."""
    if pipeline.image_encoder is None:
        raise WeightsError(
            "image_encoder: this pipeline has none, which photographs need; load a folder that "
            "`mcld export` wrote, or give one to MCLDPipeline"
        )
    return ViewEncoder(
        vae=pipeline.vae,
        image_encoder=pipeline.image_encoder,
        framing=preparation.framing,
        texture_framing=preparation.texture_framing,
        batch_size=1,
    )


def encode_person(
    person: Person, *, encoder: ViewEncoder, preparation: Preparation, scaling_factor: float
) -> EncodedPerson:
    """Raises DataError naming the picture when the encoders' numbers cannot be used."""
    texture = in_layout(person.atlas, layout=preparation.layout)
    latents = encoder.encode([encoder.prepare(person.photo, texture=texture)])
    reason = why_unusable(latents)[0]
    if reason is not None:
        raise DataError(f"{person.origin.name}: {reason}")
    moments = torch.from_numpy(latents.texture_moments.astype(np.float32))
    no_noise = torch.zeros(moments.chunk(2, dim=1)[0].shape)
    image_embedding, texture_embedding = torch.from_numpy(latents.embeddings[0])
    return EncodedPerson(
        texture_latent=sample_moments(moments, noise=no_noise, scaling_factor=scaling_factor)[0],
        image_embedding=image_embedding,
        texture_embedding=texture_embedding,
        face_embedding=torch.tensor(person.face_embedding),
        face_found=person.face_found,
    )


def conditions_for(
    people: Sequence[EncodedPerson],
    *,
    poses: Sequence[Pose],
    pipeline: MCLDPipeline,
    preparation: Preparation,
) -> Conditions:
    """A batch: row i renders person i in pose i."""
    assert len(people) == len(poses), "a pose a person"
    resize = pipeline.model.config.iuv_resize
    maps = np.stack([preparation.framing.iuv(pose.iuv, resize=resize) for pose in poses])
    return Conditions(
        target_iuv=torch.from_numpy(maps).permute(0, 3, 1, 2).contiguous(),
        texture_latent=torch.stack([person.texture_latent for person in people]),
        image_embedding=torch.stack([person.image_embedding for person in people]),
        texture_embedding=torch.stack([person.texture_embedding for person in people]),
        face_embedding=torch.stack([person.face_embedding for person in people]),
        face_found=torch.tensor([person.face_found for person in people]),
    )
