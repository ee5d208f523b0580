"""Stage `latents`: VAE moments and CLIP embeddings of image and UV texture, one column item an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.encoders import input_size_px, load_image_encoder, load_vae
from mcld.conditions.latents import clip_batch, embed_images, encode_moments, image_batch
from mcld.config import LatentsParams, Params
from mcld.data.codec import decode_image, encode_npy
from mcld.data.columns import Column, write_part
from mcld.data.index import read_index
from mcld.data.manifest import MANIFEST_NAME
from mcld.devices import pick_device
from mcld.stages.columns import Images, images_dir, read_image_bytes, run_column
from mcld.stages.mapper import Mapper, SerialMapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file
from mcld.types import ImageRecord, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoders:
    """The frozen models, and the hash of all weights they came from."""

    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentsWork(PartWork[Images]):
    """Encodes the images of a part in batches. Holds loaded models, so it stays in its process."""

    params: LatentsParams
    root_dir: Path
    texture: Column
    encoders: Encoders

    def inputs(self, payload: Images) -> object:
        """The images, the texture part beside them and the models."""
        texture_part = self.texture.record(payload[0].part).sha256
        images = [[image.key, image.sha256] for image in payload]
        return {"images": images, "texture": texture_part, "weights": self.encoders.weights_sha256}

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Images without a texture were excluded earlier and are passed over here."""
        textures = self.texture.read_part(payload[0].part)
        present = [image for image in payload if image.key in textures]
        items: list[tuple[str, dict[str, bytes]]] = []
        for start in range(0, len(present), self.params.batch_size):
            batch = present[start : start + self.params.batch_size]
            atlases = [decode_image(textures[image.key]["texture.png"]) for image in batch]
            items += self._encode(batch, atlases=atlases)
        return PartOutput(num_items=write_part(path, items=items))

    def _encode(
        self, batch: list[ImageRecord], *, atlases: list[np.ndarray]
    ) -> list[tuple[str, dict[str, bytes]]]:
        params = self.params
        images = [decode_image(read_image_bytes(image, root_dir=self.root_dir)) for image in batch]
        image_moments = self._moments(images, height_px=params.height_px, width_px=params.width_px)
        texture_moments = self._moments(
            atlases, height_px=params.texture_height_px, width_px=params.texture_width_px
        )
        embeddings = np.stack(
            [
                self._embeddings(images, height_px=params.height_px, width_px=params.width_px),
                self._embeddings(
                    atlases, height_px=params.texture_height_px, width_px=params.texture_width_px
                ),
            ],
            axis=1,
        )  # (B, 2, D)
        return [
            (
                image.key,
                {
                    "image_moments.npy": encode_npy(image_moments[index]),
                    "texture_moments.npy": encode_npy(texture_moments[index]),
                    "embeddings.npy": encode_npy(embeddings[index]),
                },
            )
            for index, image in enumerate(batch)
        ]

    def _moments(self, images: list[np.ndarray], *, height_px: int, width_px: int) -> np.ndarray:
        """(B, 2C, h, w) float16: half the bytes, and far below the noise that sampling adds."""
        pixels = image_batch(images, height_px=height_px, width_px=width_px)
        return encode_moments(self.encoders.vae, images=pixels).numpy().astype(np.float16)

    def _embeddings(self, images: list[np.ndarray], *, height_px: int, width_px: int) -> np.ndarray:
        """(B, D) float32."""
        encoder = self.encoders.image_encoder
        pixels = clip_batch(
            images,
            model_height_px=height_px,
            model_width_px=width_px,
            clip_size_px=input_size_px(encoder),
        )
        embeddings: np.ndarray = embed_images(encoder, pixels=pixels).numpy()
        return embeddings


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Encode every image that has a texture. The models run here, on all cores; `mapper` is not used."""
    weights_dir = workspace.stage_dir("weights")
    index = read_index(workspace.stage_dir("dataset"))
    device = pick_device(params.runtime.device)
    image_encoder = load_image_encoder(weights_dir / "image_encoder")
    image_encoder.to(device)  # type: ignore[arg-type]  # transformers' wrapper hides that it is a method
    encoders = Encoders(
        vae=load_vae(weights_dir / "vae").to(device),
        image_encoder=image_encoder,
        weights_sha256=sha256_of_file(weights_dir / MANIFEST_NAME),
    )
    work = LatentsWork(
        params=params.latents,
        root_dir=images_dir(params.dataset, workspace=workspace),
        texture=Column.open(workspace.stage_dir("texture")),
        encoders=encoders,
    )
    return run_column(
        "latents",
        images=index.images,
        work=work,
        settings=params.latents.model_dump(mode="json"),
        format_version=FORMAT_VERSION,
        max_excluded_fraction=1.0,
        workspace=workspace,
        mapper=SerialMapper(),
    )
