"""The diffusion process around the model: noise schedule, training loss and sampling. Knows no model."""

from mcld.diffusion.loss import VLoss, face_cells, face_weighted_v_loss, min_snr_weight
from mcld.diffusion.sampling import Denoise, OnStep, SamplingStep, ddim_scheduler, initial_noise, sample
from mcld.diffusion.schedule import (
    NoiseSchedule,
    add_noise,
    draw_noise,
    offset_noise,
    signal_levels,
    signal_to_noise,
    v_target,
)

__all__ = [
    "Denoise",
    "NoiseSchedule",
    "OnStep",
    "SamplingStep",
    "VLoss",
    "add_noise",
    "ddim_scheduler",
    "draw_noise",
    "face_cells",
    "face_weighted_v_loss",
    "initial_noise",
    "min_snr_weight",
    "offset_noise",
    "sample",
    "signal_levels",
    "signal_to_noise",
    "v_target",
]
