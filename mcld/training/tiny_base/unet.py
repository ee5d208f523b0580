"""Train the tiny base UNet: image variations of mannequins, with an optional pose, in the tiny VAE's latents.

It plays the parts of sd-image-variations (a UNet that reads a CLIP image embedding) and of ControlNet's
segmentation model (a condition embedding that reads body parts). It has never seen a UV texture, a face
vector or a source other than the image itself: those are what MCLD learns.

Shapes: B batch, C latent channels, h w latent cells, H W pixels, D embedding width.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.encoders import input_size_px
from mcld.conditions.latents import clip_batch, embed_images, encode_moments, image_batch, sample_moments
from mcld.diffusion import (
    NoiseSchedule,
    add_noise,
    min_snr_weight,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.models.config import ModelConfig, unet_settings
from mcld.models.denoiser import Denoiser
from mcld.models.focal import FocalConditions
from mcld.models.pose_guider import PoseGuider
from mcld.progress import track
from mcld.storage import fingerprint
from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.optimisation import apply_gradients, muon_and_adamw
from mcld.training.schedules import warmup_cosine
from mcld.training.tiny_base.corpus import Corpus

ENCODE_BATCH = 32
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSettings:
    """Architecture and optimisation of the tiny UNet and its pose embedding."""

    seed: int = 2
    block_out_channels: tuple[int, ...] = (64, 112)
    attention_head_dim: int = 4
    cross_attention_dim: int = 64
    norm_num_groups: int = 16
    pose_channels: tuple[int, ...] = (16, 16, 32, 64)
    num_steps: int = 4500
    batch_size: int = 16
    kernel_learning_rate: float = 5e-3  # Muon
    learning_rate: float = 1e-3  # AdamW: vectors, first and last layers
    warmup_steps: int = 50
    image_dropout: float = 0.15
    pose_dropout: float = 0.3
    snr_gamma: float = 5.0
    ema_decay: float = 0.999
    checkpoint_every_steps: int = 500

    def as_dict(self) -> dict[str, object]:
        """Plain values, for fingerprints and cards."""
        return {name: getattr(self, name) for name in self.__slots__}


class PosedUNet(nn.Module):
    """A stock UNet that reads one image token, plus a pose embedding added to its first convolution."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.denoiser = Denoiser(config)
        self.pose_embedding = PoseGuider(config)

    def forward(
        self,
        noisy_BChw: Tensor,
        *,
        timestep_B: Tensor,
        image_B1D: Tensor,
        iuv_B3HW: Tensor,
        pose_kept_B: Tensor,
    ) -> Tensor:
        """v (B, C, h, w); rows where `pose_kept_B` is 0 see no pose."""
        pose = self.pose_embedding(iuv_B3HW) * pose_kept_B[:, None, None, None]
        focal = FocalConditions(down_BTD=image_B1D, mid_BTD=image_B1D, up_BTD=image_B1D, face_BFD=None)
        v: Tensor = self.denoiser(
            noisy_BChw, timestep_B=timestep_B, pose_feature_BPHW=pose, focal=focal, reference=None
        )
        return v

    def stock_unet(self) -> UNet2DConditionModel:
        """The UNet alone, as plain diffusers loads it."""
        unet = UNet2DConditionModel(**unet_settings(self.denoiser.config))
        unet.load_state_dict(self.denoiser.unet.state_dict())
        return unet


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedCorpus:
    """Moments (N, 2C, h, w) and CLIP embeddings (N, D) of a corpus's chosen views, float32."""

    moments: Tensor
    embeddings: Tensor
    views: np.ndarray


def encode_corpus(
    corpus: Corpus, *, views: np.ndarray, vae: AutoencoderKL, encoder: CLIPVisionModelWithProjection
) -> EncodedCorpus:
    """Run the frozen encoders once; training reads only their outputs."""
    moments, embeddings = [], []
    clip_size_px = input_size_px(encoder)
    starts = range(0, len(views), ENCODE_BATCH)
    for start in track(starts, description="encoding the corpus", total=len(starts)):
        images = [np.asarray(corpus.images[view]) for view in views[start : start + ENCODE_BATCH]]
        moments.append(encode_moments(vae, images=image_batch(images)))
        pixels = clip_batch(images, clip_size_px=clip_size_px)
        embeddings.append(embed_images(encoder, pixels=pixels))
    return EncodedCorpus(moments=torch.cat(moments), embeddings=torch.cat(embeddings), views=views)


def base_model_config(settings: UNetSettings, *, latent_channels: int) -> ModelConfig:
    """The model settings of the base: image token only, no texture, no face."""
    return ModelConfig(
        block_out_channels=settings.block_out_channels,
        attention_levels=(True,) * len(settings.block_out_channels),
        layers_per_block=1,
        attention_head_dim=settings.attention_head_dim,
        cross_attention_dim=settings.cross_attention_dim,
        norm_num_groups=settings.norm_num_groups,
        latent_channels=latent_channels,
        pose_channels=settings.pose_channels,
        use_texture=False,
        use_face=False,
    )


def train_unet(
    corpus: Corpus, *, encoded: EncodedCorpus, scaling_factor: float, settings: UNetSettings, work_dir: Path
) -> PosedUNet:
    """Train; repeating the call resumes. Returns the averaged model."""
    torch.manual_seed(settings.seed)
    model = PosedUNet(base_model_config(settings, latent_channels=encoded.moments.shape[1] // 2))
    # Unlike MCLD's, this embedding is to be learnt here and now: its last convolution must not start at zero.
    nn.init.kaiming_normal_(model.pose_embedding.conv_out.weight, nonlinearity="linear")
    average = MovingAverage(model, decay=settings.ema_decay)
    optimizers = muon_and_adamw(
        model,
        ends=("conv_in", "conv_out"),
        kernel_learning_rate=settings.kernel_learning_rate,
        learning_rate=settings.learning_rate,
    )
    state = TrainingState(modules={"unet": model, "average": average}, optimizers=optimizers)
    identity = fingerprint(
        {"settings": settings.as_dict(), "num_views": len(encoded.views), "scale": scaling_factor}
    )
    checkpoints = CheckpointStore.open(work_dir, fingerprint=identity, keep_last=2, keep_every=0, facts={})
    first = checkpoints.resume(state)
    losses: list[float] = []
    for step in track(
        range(first, settings.num_steps), description="training the UNet", total=settings.num_steps - first
    ):
        factor = warmup_cosine(
            step, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps, final_fraction=0.02
        )
        loss = _loss(
            model, corpus=corpus, encoded=encoded, scaling_factor=scaling_factor, settings=settings, step=step
        )
        apply_gradients(model, loss=loss, optimizers=optimizers, factor=factor, max_grad_norm=1.0)
        average.update(model, step=step)
        losses.append(float(loss.detach()))
        if (step + 1) % settings.checkpoint_every_steps == 0 or step + 1 == settings.num_steps:
            checkpoints.save(state, step=step + 1)
            logger.info(
                "UNet step %d: mean loss %.4f over the last 500", step + 1, float(np.mean(losses[-500:]))
            )
    checkpoints.finish()
    trained_model = average.average
    assert isinstance(trained_model, PosedUNet)
    return trained_model


def _loss(
    model: PosedUNet,
    *,
    corpus: Corpus,
    encoded: EncodedCorpus,
    scaling_factor: float,
    settings: UNetSettings,
    step: int,
) -> Tensor:
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    size = settings.batch_size
    chosen = torch.randint(len(encoded.views), (size,), generator=generator)
    moments = encoded.moments[chosen]
    drawn = torch.randn(moments.chunk(2, dim=1)[0].shape, generator=generator)
    latent = sample_moments(moments, noise=drawn, scaling_factor=scaling_factor)
    iuv = torch.from_numpy(np.stack([corpus.iuvs[view] for view in encoded.views[chosen.numpy()]])).permute(
        0, 3, 1, 2
    )
    image_kept = torch.rand(size, generator=generator) >= settings.image_dropout
    pose_kept = torch.rand(size, generator=generator) >= settings.pose_dropout
    alpha_bar_T = signal_levels(NoiseSchedule())
    timestep = torch.randint(len(alpha_bar_T), (size,), generator=generator)
    alpha_bar = alpha_bar_T[timestep]
    noise = torch.randn(latent.shape, generator=generator)
    predicted = model(
        add_noise(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar),
        timestep_B=timestep,
        image_B1D=(encoded.embeddings[chosen] * image_kept[:, None])[:, None],
        iuv_B3HW=iuv.contiguous(),
        pose_kept_B=pose_kept.float(),
    )
    target = v_target(latent, noise_BCHW=noise, alpha_bar_B=alpha_bar)
    weight = min_snr_weight(signal_to_noise(alpha_bar), gamma=settings.snr_gamma)
    loss: Tensor = (weight * (predicted - target).square().mean(dim=(1, 2, 3))).mean()
    return loss
