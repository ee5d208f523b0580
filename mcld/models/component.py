"""MCLD as diffusers' pipelines hold a model: saved, loaded, moved and offloaded by their machinery.

diffusers saves components that are `ModelMixin`, loads them by module and class name, and offloads models
whose work goes through `forward`; sampling goes through `prepare` and `denoise`.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from diffusers import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor

from mcld.errors import ConfigError
from mcld.models.denoiser import Denoised
from mcld.models.mcld import MCLD, PreparedConditions
from mcld.models.weights import load_mcld, save_mcld
from mcld.types import Conditions

# What diffusers passes to every loader and is of no consequence here: there is one format, safetensors.
HARMLESS = ("low_cpu_mem_usage", "use_safetensors", "disable_mmap")


class MCLDModel(MCLD, ModelMixin):  # type: ignore[misc]  # diffusers publishes no types
    """An MCLD that diffusers can save, load and offload."""

    @classmethod
    def of(cls, model: MCLD) -> MCLDModel:
        """The same model with the same weights, not copied."""
        if isinstance(model, MCLDModel):
            return model
        component = cls.__new__(cls)
        ModelMixin.__init__(component)  # not MCLD's, which would build the networks once more
        component.__dict__.update(vars(model))
        return component

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the folder that `from_pretrained` and `load_mcld` read, whole or not at all."""
        save_mcld(self, directory=Path(save_directory))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        torch_dtype: torch.dtype | None = None,
        **options: object,
    ) -> MCLDModel:
        """Read what `save_pretrained` or `save_mcld` wrote; in float32 unless told otherwise, like diffusers.

        Raises ConfigError for an option of diffusers' that this model has no answer to, such as `variant`.
        """
        for name, value in options.items():
            if value and name not in HARMLESS:
                raise ConfigError(f"from_pretrained: {name}={value!r} is not supported by MCLD; leave it out")
        model = load_mcld(Path(pretrained_model_name_or_path), dtype=torch_dtype or torch.float32)
        return cls.of(model.eval())

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def prepare(self, conditions: Conditions, *, with_null: bool) -> PreparedConditions:
        """As `MCLD.prepare`; an offloaded model is first brought to its device."""
        return super().prepare(conditions, with_null=with_null)

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def denoise(
        self, noisy_latent_BCHW: Tensor, *, timestep_B: Tensor, prepared: PreparedConditions
    ) -> Tensor:
        """As `MCLD.denoise`; an offloaded model is first brought to its device."""
        return super().denoise(noisy_latent_BCHW, timestep_B=timestep_B, prepared=prepared)

    @apply_forward_hook  # type: ignore[untyped-decorator]
    def denoise_reusing(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        prepared: PreparedConditions,
        deep_BCHW: Tensor | None,
    ) -> Denoised:
        """As `MCLD.denoise_reusing`; an offloaded model is first brought to its device."""
        return super().denoise_reusing(
            noisy_latent_BCHW, timestep_B=timestep_B, prepared=prepared, deep_BCHW=deep_BCHW
        )
