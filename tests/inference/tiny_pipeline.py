"""A tiny pipeline with weights that make every condition matter, and conditions for it."""

from __future__ import annotations

import dataclasses

import torch

from mcld.diffusion import NoiseSchedule, ddim_scheduler
from mcld.inference.pipeline import MCLDPipeline
from mcld.models import MCLD
from mcld.types import Conditions
from tests.tiny_models import TINY_CONFIG, tiny_vae


def tiny_mcld() -> MCLD:
    """A seeded model in which also the layers that start at zero are random."""
    torch.manual_seed(0)
    model = MCLD(TINY_CONFIG)
    torch.nn.init.normal_(model.pose_guider.conv_out.weight, std=1.0)
    return model.eval()


def tiny_pipeline() -> MCLDPipeline:
    """Model, VAE and our DDIM; without a progress bar."""
    pipeline = MCLDPipeline(
        model=tiny_mcld(), vae=tiny_vae(), scheduler=ddim_scheduler(NoiseSchedule()), training={"steps": 3}
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_conditions(num_rows: int, *, seed: int = 1) -> Conditions:
    """Random conditions of 32 x 24 pixels; the last row of several has no face."""
    generator = torch.Generator().manual_seed(seed)
    face_found = torch.ones(num_rows, dtype=torch.bool)
    face_found[1:][-1:] = False
    return Conditions(
        target_iuv=torch.randint(0, 25, (num_rows, 3, 32, 24), generator=generator, dtype=torch.uint8),
        texture_latent=torch.randn(num_rows, 4, 3, 5, generator=generator),
        image_embedding=torch.randn(num_rows, 8, generator=generator),
        texture_embedding=torch.randn(num_rows, 8, generator=generator),
        face_embedding=torch.randn(num_rows, 6, generator=generator),
        face_found=face_found,
    )


def one_row(conditions: Conditions, *, row: int) -> Conditions:
    """One row of a batch, as a batch."""
    names = [item.name for item in dataclasses.fields(conditions)]
    return Conditions(**{name: getattr(conditions, name)[row : row + 1] for name in names})
