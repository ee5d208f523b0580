"""Train the tiny VAE: an AutoencoderKL that restores mannequins and their UV textures.

Shapes: B batch, H W crop size in pixels, C latent channels, h w = H/8 W/8.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.progress import track
from mcld.storage import fingerprint
from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.optimisation import apply_gradients, muon_and_adamw
from mcld.training.schedules import warmup_cosine
from mcld.training.tiny_base.corpus import Corpus

# Brightness, red against blue, green against magenta; the hues are scaled to about the spread of brightness.
OPPONENT_COLOURS = ((0.577, 0.577, 0.577), (1.5, 0.0, -1.5), (-0.9, 1.8, -0.9))
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSettings:
    """Architecture and optimisation of the tiny VAE."""

    seed: int = 1
    block_out_channels: tuple[int, ...] = (16, 32, 96, 128)
    latent_channels: int = 16
    norm_num_groups: int = 2
    num_steps: int = 5000
    full_frame_from: float = 0.85  # share of the steps after which whole images replace crops
    batch_size: int = 16
    full_frame_batch_size: int = 4
    crop_px: int = 48
    texture_share: float = 0.25
    kernel_learning_rate: float = 5e-3  # Muon
    learning_rate: float = 1e-3  # AdamW: vectors, first and last layers
    warmup_steps: int = 50
    person_weight: float = 3.0  # extra weight of person pixels; the background is easy
    kl_weight: float = 2e-4
    ema_decay: float = 0.998
    checkpoint_every_steps: int = 500

    def as_dict(self) -> dict[str, object]:
        """Plain values, for fingerprints and cards."""
        return {name: getattr(self, name) for name in self.__slots__}


def build_autoencoder(settings: AutoencoderSettings) -> AutoencoderKL:
    """Stable Diffusion's VAE class with narrow blocks and one layer each: 8 x 8 pixels a latent cell."""
    depth = len(settings.block_out_channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=settings.block_out_channels,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.norm_num_groups,
        sample_size=settings.crop_px,
    )
    # Unit noise would at first drown what the encoder says; e**-3 lets the decoder listen from the start.
    nn.init.constant_(vae.quant_conv.bias[settings.latent_channels :], -6.0)
    return vae


def train_autoencoder(
    corpus: Corpus, *, views: np.ndarray, settings: AutoencoderSettings, work_dir: Path
) -> AutoencoderKL:
    """Train on the given views; repeat the call to resume. Returns the averaged model, scaling factor set."""
    torch.manual_seed(settings.seed)
    vae = build_autoencoder(settings)
    average = MovingAverage(vae, decay=settings.ema_decay)
    optimizers = muon_and_adamw(
        vae,
        ends=("encoder.conv_in", "decoder.conv_out"),
        kernel_learning_rate=settings.kernel_learning_rate,
        learning_rate=settings.learning_rate,
    )
    state = TrainingState(modules={"vae": vae, "average": average}, optimizers=optimizers)
    identity = fingerprint({"settings": settings.as_dict(), "num_views": len(views)})
    checkpoints = CheckpointStore.open(work_dir, fingerprint=identity, keep_last=2, keep_every=0, facts={})
    first = checkpoints.resume(state)
    for step in track(
        range(first, settings.num_steps), description="training the VAE", total=settings.num_steps - first
    ):
        loss = _train_step(
            vae, optimizers=optimizers, corpus=corpus, views=views, settings=settings, step=step
        )
        average.update(vae, step=step)
        if (step + 1) % settings.checkpoint_every_steps == 0 or step + 1 == settings.num_steps:
            checkpoints.save(state, step=step + 1)
            logger.info("VAE step %d: loss %.4f", step + 1, loss)
    checkpoints.finish()
    model = average.average
    assert isinstance(model, AutoencoderKL)
    model.register_to_config(scaling_factor=latent_scaling_factor(model, corpus=corpus, views=views))
    return model


def _train_step(
    vae: AutoencoderKL,
    *,
    optimizers: dict[str, Optimizer],
    corpus: Corpus,
    views: np.ndarray,
    settings: AutoencoderSettings,
    step: int,
) -> float:
    generator = np.random.default_rng((settings.seed, step))
    pixels, weight = draw_batch(corpus, views=views, settings=settings, step=step, generator=generator)
    noise_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
    factor = warmup_cosine(
        step, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps, final_fraction=0.02
    )
    # bfloat16 halves the time on processors with matrix units and costs this loss nothing measurable.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        restored = vae.decode(posterior.sample(noise_generator)).sample
    loss = autoencoder_loss(restored.float(), pixels=pixels, weight=weight) + settings.kl_weight * _kl(
        posterior
    )
    apply_gradients(vae, loss=loss, optimizers=optimizers, factor=factor, max_grad_norm=1.0)
    return float(loss.detach())


def autoencoder_loss(restored: Tensor, *, pixels: Tensor, weight: Tensor) -> Tensor:
    """Absolute plus squared error in opponent colours, each pixel weighted; `weight` is (B, 1, H, W).

    In RGB nearly all of the error is brightness: small networks learn grey people first and hues very late.
    """
    opponent = torch.tensor(OPPONENT_COLOURS)
    difference = torch.einsum("ij,bjhw->bihw", opponent, restored - pixels)
    error = difference.abs() + 4.0 * difference.square()
    return (weight * error).mean() / weight.mean()


def _kl(posterior: object) -> Tensor:
    """Mean over latent elements of the divergence from a unit Gaussian."""
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()  # type: ignore[attr-defined]
    divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
    return divergence.mean()


def draw_batch(
    corpus: Corpus,
    *,
    views: np.ndarray,
    settings: AutoencoderSettings,
    step: int,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, H, W) in [-1, 1] and weights (B, 1, H, W): images or textures, crops or whole frames."""
    whole = step >= settings.full_frame_from * settings.num_steps
    size = settings.full_frame_batch_size if whole else settings.batch_size
    chosen = generator.choice(views, size=size)
    if generator.random() < settings.texture_share:
        pixels = np.stack([corpus.textures[view] for view in chosen])
        weight = np.ones((*pixels.shape[:3], 1), dtype=np.float32)
    else:
        pixels = np.stack([corpus.images[view] for view in chosen])
        person = np.stack([corpus.iuvs[view][..., :1] for view in chosen]) > 0
        weight = 1.0 + settings.person_weight * person.astype(np.float32)
    pixels = pixels.astype(np.float32) / 127.5 - 1.0
    if generator.random() < 0.5:
        pixels, weight = pixels[:, :, ::-1], weight[:, :, ::-1]
    if not whole:
        pixels, weight = _crop(pixels, weight=weight, crop_px=settings.crop_px, generator=generator)
    return _channels_first(pixels), _channels_first(weight)


def _crop(
    pixels: np.ndarray, *, weight: np.ndarray, crop_px: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One window an image, centred near a pixel drawn by weight, so mostly on the person."""
    height, width = pixels.shape[1:3]
    windows = []
    for image_weight in weight[..., 0]:
        rows = image_weight.sum(axis=1)
        row = generator.choice(height, p=rows / rows.sum())
        columns = image_weight[row]
        column = generator.choice(width, p=columns / columns.sum())
        windows.append((_window_start(row, crop_px, height), _window_start(column, crop_px, width)))
    crop = [
        np.s_[index, top : top + crop_px, left : left + crop_px] for index, (top, left) in enumerate(windows)
    ]
    return np.stack([pixels[window] for window in crop]), np.stack([weight[window] for window in crop])


def _window_start(centre: int, size: int, limit: int) -> int:
    return int(np.clip(centre - size // 2, 0, limit - size))


def _channels_first(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


@torch.no_grad()
def person_psnr(vae: AutoencoderKL, *, corpus: Corpus, views: np.ndarray, batch_size: int = 8) -> float:
    """Reconstruction PSNR over person pixels in dB, peak 1: the mean of per-image values.

    Latents are the posterior mean.
    """
    values = []
    for start in range(0, len(views), batch_size):
        chosen = views[start : start + batch_size]
        pixels = _channels_first(
            np.stack([corpus.images[view] for view in chosen]).astype(np.float32) / 127.5 - 1.0
        )
        person = _channels_first(np.stack([corpus.iuvs[view][..., :1] for view in chosen]) > 0)
        restored = vae.decode(vae.encode(pixels).latent_dist.mean).sample.clamp(-1.0, 1.0)
        squared = ((restored - pixels) / 2.0).square() * person
        error = squared.sum(dim=(1, 2, 3)) / (3 * person.sum(dim=(1, 2, 3)))
        values += (-10.0 * torch.log10(error)).tolist()
    return float(np.mean(values))


@torch.no_grad()
def latent_scaling_factor(
    vae: AutoencoderKL, *, corpus: Corpus, views: np.ndarray, num_views: int = 256
) -> float:
    """One over the standard deviation of image and texture latents, so that the UNet sees unit variance."""
    chosen = views[:: max(1, len(views) // num_views)]
    means = []
    for arrays in (corpus.images, corpus.textures):
        for view in chosen:
            pixels = _channels_first(arrays[view][None].astype(np.float32) / 127.5 - 1.0)
            means.append(vae.encode(pixels).latent_dist.mean.flatten())
    return float(1.0 / torch.cat(means).std())
