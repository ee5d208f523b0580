"""An exported folder of the shipped base weights, not trained, and rendered people for it: for what must
work, not look good."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mcld.conditions.encoders import load_image_encoder, load_vae
from mcld.config import Params
from mcld.data.mannequins import RenderedView, face_embedding, render_view, sample_mannequin
from mcld.diffusion import NoiseSchedule, ddim_scheduler
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.photo import read_photo
from mcld.inference.photos.preparation import Preparation, preparation_of
from mcld.inference.photos.reader import PhotoReader
from mcld.inference.pipeline import MCLDPipeline
from mcld.models import initialise_mcld
from mcld.models.base import load_base, model_config

SEED = 7  # of params.yaml
HEIGHT_PX, WIDTH_PX = 256, 176


def embedded_preparation() -> Preparation:
    """That of params.yaml's defaults."""
    return preparation_of(Params())


def embedded_pipeline() -> MCLDPipeline:
    """MCLD begun from the shipped weights. Layers that start at zero are random, so that all inputs count."""
    params, assets = Params(), Path(str(files("mcld") / "assets" / "tiny"))
    base = load_base(assets)
    config = model_config(base, params=params.model, face_dim=params.face.dim)
    model = initialise_mcld(config, base_unet=base.unet, pose_embedding=base.pose_embedding)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.pose_guider.conv_out.weight, std=0.1)
    pipeline = MCLDPipeline(
        model=model.eval(),
        vae=load_vae(assets / "vae"),
        scheduler=ddim_scheduler(NoiseSchedule()),
        image_encoder=load_image_encoder(assets / "image_encoder"),
        preparation=embedded_preparation().model_dump(mode="json"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPerson:
    """A rendered person with the truth."""

    rendered: RenderedView
    jpeg: bytes
    face: np.ndarray  # (512,) float32

    def pose(self, reader: PhotoReader, *, name: str = "person.jpg") -> Pose:
        """The pose by its true map."""
        return reader.given_pose(read_photo(self.jpeg, name=name), iuv=self.rendered.iuv)

    def person(self, reader: PhotoReader, *, name: str = "person.jpg") -> Person:
        """The person by the true map and identity."""
        face = self.face if self.rendered.face_visible else None
        return reader.person(self.pose(reader, name=name), face_embedding=face)


def embedded_person(index: int, *, view: int = 0, seed: int = SEED) -> EmbeddedPerson:
    """The index-th person, seen in one of their views."""
    mannequin = sample_mannequin(seed, index=index)
    views = [name for name in mannequin.views if not name.endswith("flat")]
    rendered = render_view(mannequin, view=views[view % len(views)], height_px=HEIGHT_PX, width_px=WIDTH_PX)
    return EmbeddedPerson(rendered=rendered, jpeg=jpeg_of(rendered.image), face=face_embedding(mannequin))


def jpeg_of(image: np.ndarray) -> bytes:
    """A JPEG as a camera writes it, nearly without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=97, subsampling=0)
    return buffer.getvalue()
