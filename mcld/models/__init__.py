"""The MCLD model: what it computes, how it starts and how it is stored.

config = ModelConfig(...)                                         sizes and switches
model = initialise_mcld(config, base_unet=unet, pose_embedding=…) from base weights
v = model(noisy_latent, timestep_B=t, conditions=c)               training
model.prepare(c, with_null=True), model.denoise(…)                sampling
save_mcld(model, directory=path), load_mcld(path)                 diffusers layout
"""

from mcld.models.config import FaceProjectorConfig, ModelConfig
from mcld.models.denoiser import Denoised
from mcld.models.initialise import initialise_mcld
from mcld.models.mcld import MCLD, PreparedConditions
from mcld.models.weights import authors_states, load_authors_states, load_config, load_mcld, save_mcld

__all__ = [
    "MCLD",
    "Denoised",
    "FaceProjectorConfig",
    "ModelConfig",
    "PreparedConditions",
    "authors_states",
    "initialise_mcld",
    "load_authors_states",
    "load_config",
    "load_mcld",
    "save_mcld",
]
