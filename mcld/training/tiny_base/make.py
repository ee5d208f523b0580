"""`mcld weights make-tiny`: render a corpus, train the VAE, train the UNet, write both with a card.

Every step resumes: repeating the command goes on where it was stopped.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from mcld.models.pose_guider import PoseGuider
from mcld.storage import atomic_dir, fingerprint, sha256_of_file, write_json
from mcld.training.tiny_base.autoencoder import AutoencoderSettings, person_psnr, train_autoencoder
from mcld.training.tiny_base.corpus import Corpus, CorpusSettings, ensure_corpus
from mcld.training.tiny_base.image_encoder import build_image_encoder
from mcld.training.tiny_base.unet import UNetSettings, encode_corpus, train_unet

HELD_OUT_SHARE = 0.05
CARD_NAME = "card.json"
# Larger than any seed a demo would use, so that no demo shows a person of this corpus.
CORPUS_SEED = 1_000_003
ENCODER_SEED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyBaseSettings:
    """All that shapes the tiny base."""

    corpus: CorpusSettings
    autoencoder: AutoencoderSettings
    unet: UNetSettings
    encoder_seed: int = ENCODER_SEED

    def as_dict(self) -> dict[str, object]:
        """Plain values, for the card."""
        return {
            "corpus": self.corpus.as_dict(),
            "autoencoder": self.autoencoder.as_dict(),
            "unet": self.unet.as_dict(),
            "encoder_seed": self.encoder_seed,
        }


def default_settings(*, num_outfits: int, vae_steps: int, unet_steps: int) -> TinyBaseSettings:
    """The sizes of the shipped base; the three counts set how long it takes."""
    corpus = CorpusSettings(
        seed=CORPUS_SEED,
        num_outfits=num_outfits,
        views_per_outfit=5,
        render_height_px=256,
        render_width_px=176,
        height_px=128,
        width_px=96,
        texture_height_px=144,
        texture_width_px=96,
        part_size_px=64,
        fill_margin_px=8,
    )
    return TinyBaseSettings(
        corpus=corpus,
        autoencoder=AutoencoderSettings(num_steps=vae_steps),
        unet=UNetSettings(num_steps=unet_steps),
    )


def make_tiny(
    out_dir: Path, *, work_dir: Path, settings: TinyBaseSettings, num_workers: int
) -> dict[str, object]:
    """Train what is not trained yet and write `out_dir` whole. Returns the card."""
    corpus = ensure_corpus(work_dir / "corpus", settings=settings.corpus, num_workers=num_workers)
    train_views, held_out_views = split_views(corpus, num_outfits=settings.corpus.num_outfits)
    vae = train_autoencoder(
        corpus, views=train_views, settings=settings.autoencoder, work_dir=work_dir / "vae"
    )
    psnr = person_psnr(vae, corpus=corpus, views=held_out_views)
    encoder = build_image_encoder(
        seed=settings.encoder_seed, projection_dim=settings.unet.cross_attention_dim
    )
    encoded = encode_corpus(corpus, views=train_views, vae=vae, encoder=encoder)
    scaling_factor = float(vae.config.scaling_factor)
    posed = train_unet(
        corpus,
        encoded=encoded,
        scaling_factor=scaling_factor,
        settings=settings.unet,
        work_dir=work_dir / "unet",
    )
    with atomic_dir(out_dir) as temporary:
        for name, model in (("vae", vae), ("unet", posed.stock_unet()), ("image_encoder", encoder)):
            model.half().save_pretrained(temporary / name)
        _save_pose_embedding(
            posed.pose_embedding, directory=temporary / "pose_embedding", settings=settings.unet
        )
        card = _card(
            temporary, settings=settings, psnr=psnr, num_views=len(train_views), held_out=len(held_out_views)
        )
        write_json(temporary / CARD_NAME, value=card)
    return card


def split_views(corpus: Corpus, *, num_outfits: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training views, and of views of the last outfits, which no training sees."""
    first_held_out = int(num_outfits * (1.0 - HELD_OUT_SHARE))
    held_out = corpus.outfit_of_view >= first_held_out
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _save_pose_embedding(embedding: PoseGuider, *, directory: Path, settings: UNetSettings) -> None:
    """Save under ControlNet's names, without the last convolution, which MCLD starts from zero."""
    directory.mkdir()
    state = {
        name: value.half().contiguous()
        for name, value in embedding.state_dict().items()
        if "conv_out" not in name
    }
    save_file(state, directory / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    config = {
        "_class_name": "ControlNetConditioningEmbedding",
        "block_out_channels": list(settings.pose_channels),
    }
    write_json(directory / "config.json", value=config)


def _card(
    directory: Path, *, settings: TinyBaseSettings, psnr: float, num_views: int, held_out: int
) -> dict[str, object]:
    files = {
        str(path.relative_to(directory)): path for path in sorted(directory.rglob("*")) if path.is_file()
    }
    return {
        "name": "mcld tiny base",
        "what": (
            "VAE, UNet and pose embedding trained on rendered mannequins; image encoder seeded, untrained"
        ),
        "command": _command(settings),
        "settings": settings.as_dict(),
        "data_fingerprint": fingerprint(settings.corpus.as_dict()),
        "num_train_views": num_views,
        "num_held_out_views": held_out,
        "held_out_person_psnr_db": round(psnr, 2),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "licence": "Apache-2.0, like the project: trained on images that the project itself renders",
        "sha256": {name: sha256_of_file(path) for name, path in files.items()},
    }


def _command(settings: TinyBaseSettings) -> str:
    """The command line that makes this base again, apart from its folders."""
    return (
        f"mcld weights make-tiny --num-outfits {settings.corpus.num_outfits} "
        f"--vae-steps {settings.autoencoder.num_steps} --unet-steps {settings.unet.num_steps}"
    )
