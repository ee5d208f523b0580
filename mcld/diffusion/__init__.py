"""The diffusion process around the model: noise schedule, training loss and sampling. Knows no model."""

from mcld.diffusion.loss import (
    RegionErrors,
    VLoss,
    face_cells,
    face_weighted_v_loss,
    min_snr_weight,
    region_errors,
)
from mcld.diffusion.sampling import (
    Denoise,
    OnStep,
    SamplingStep,
    draw_rows,
    initial_noise,
    sample,
    seeded_generators,
)
from mcld.diffusion.schedule import (
    NoiseSchedule,
    add_noise,
    draw_noise,
    offset_noise,
    signal_levels,
    signal_to_noise,
    v_target,
)
from mcld.diffusion.schedulers import (
    ALL_STEPS,
    Generators,
    Interval,
    Scheduler,
    check_interval,
    check_sampling,
    ddim_scheduler,
    guided_steps,
)

__all__ = [
    "ALL_STEPS",
    "Denoise",
    "Generators",
    "Interval",
    "NoiseSchedule",
    "OnStep",
    "RegionErrors",
    "SamplingStep",
    "Scheduler",
    "VLoss",
    "add_noise",
    "check_interval",
    "check_sampling",
    "ddim_scheduler",
    "draw_noise",
    "draw_rows",
    "face_cells",
    "face_weighted_v_loss",
    "guided_steps",
    "initial_noise",
    "min_snr_weight",
    "offset_noise",
    "region_errors",
    "sample",
    "seeded_generators",
    "signal_levels",
    "signal_to_noise",
    "v_target",
]
