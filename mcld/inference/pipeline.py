"""MCLD as a diffusers pipeline: one folder with everything, conditions in, pictures out.

    pipe = MCLDPipeline.from_pretrained("folder").to("cuda")
    images = pipe(conditions, seeds=[0, 1]).images

Shapes: B rows, C latent channels, H W pixels, h w latent size.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from mcld.conditions.latents import decode_latents
from mcld.devices import on_device
from mcld.diffusion import ALL_STEPS, Generators, Interval, check_sampling, draw_rows, sample
from mcld.errors import ConfigError
from mcld.inference.checks import check_components, check_output_type, check_step_indices, generators_of
from mcld.inference.denoising import Denoising, check_reuse
from mcld.inference.folder import CARD_NAME, check_replaceable
from mcld.inference.model_card import model_card
from mcld.inference.step_listener import OnStepEnd, StepListener
from mcld.models import MCLD
from mcld.models.acceleration import fast_attention
from mcld.models.checks import check_conditions, check_values
from mcld.models.component import MCLDModel
from mcld.storage import atomic_dir, write_bytes
from mcld.types import Conditions

OutputType = Literal["pil", "np", "pt", "latent"]
Images = list[Image.Image] | np.ndarray | Tensor


@dataclass
class MCLDPipelineOutput(BaseOutput):  # type: ignore[misc]  # diffusers publishes no types
    """What a call returns.

    `images`: by output_type, a list of PIL images, (B, H, W, 3) float32 numpy or (B, 3, H, W) float32 in [0,
    1], or scaled latents (B, C, h, w) float32. `attention_maps`: for each step asked for, what `focal_maps`
    says of it.
    """

    images: Images
    attention_maps: dict[int, dict[str, Tensor]] | None = None


class MCLDPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Model, VAE and scheduler; the image encoder, which makes conditions, may travel with them."""

    model_cpu_offload_seq = "image_encoder->model->vae"
    _optional_components: ClassVar[list[str]] = ["image_encoder"]

    def __init__(
        self,
        model: MCLD,
        vae: AutoencoderKL,
        scheduler: Any,  # noqa: ANN401  # any diffusers scheduler
        image_encoder: CLIPVisionModelWithProjection | None = None,
        training: dict[str, Any] | None = None,
        evaluation: str | None = None,
        preparation: dict[str, Any] | None = None,
    ) -> None:
        """`training` is what is known of how the model came to be, as plain values, for the model card.

        `evaluation` is how it scored, in Markdown, for the same. `preparation` is how its pictures were made,
        as plain values of `photos.preparation.Preparation`: own photographs need it.
        Raises WeightsError when the parts were not made for each other.
        """
        super().__init__()
        check_components(model.config, vae=vae, image_encoder=image_encoder)
        self.register_modules(
            model=MCLDModel.of(model), vae=vae, scheduler=scheduler, image_encoder=image_encoder
        )
        self.register_to_config(
            training=dict(training or {}), evaluation=evaluation, preparation=dict(preparation or {})
        )
        self._interrupt = False

    @property
    def interrupt(self) -> bool:
        """Set `_interrupt` during a call, and it stops before the next step and decodes what there is."""
        return self._interrupt

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], safe_serialization: bool = True
    ) -> None:
        """Write the folder that `from_pretrained` reads, with a model card; whole or not at all.

        Raises ConfigError when the folder holds anything that is not an earlier pipeline's.
        """
        if not safe_serialization:
            raise ConfigError("safe_serialization: False would write pickles; MCLD writes safetensors only")
        directory = Path(save_directory).resolve()
        check_replaceable(directory)
        with atomic_dir(directory) as temporary:
            super().save_pretrained(temporary)
            card = model_card(
                self.model,
                scheduler=self.scheduler,
                training=dict(self.config.training),
                name=directory.name,
                evaluation=self.config.evaluation,
            )
            write_bytes(temporary / CARD_NAME, data=card.encode())

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        **options: Any,  # noqa: ANN401  # diffusers' own: dtype, other components, …
    ) -> MCLDPipeline:
        """As diffusers', from safetensors alone: a folder of others may hold pickles, which are never read.

        Raises ConfigError for `use_safetensors=False` and for `variant`: there is one set of weights, `dtype`
        chooses its precision.
        """
        if options.get("variant") is not None:
            raise ConfigError(
                f"variant: {options['variant']!r}, but a saved MCLD has one set of weights; choose by dtype"
            )
        if not options.setdefault("use_safetensors", True):
            raise ConfigError("use_safetensors: False would read pickles; MCLD reads safetensors only")
        pipeline = super().from_pretrained(pretrained_model_name_or_path, **options)
        assert isinstance(pipeline, MCLDPipeline)
        return pipeline

    @torch.no_grad()
    def __call__(
        self,
        conditions: Conditions,
        *,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.5,
        guidance_interval: Interval = ALL_STEPS,
        reuse_features: int = 1,
        eta: float = 0.0,
        generator: Generators | None = None,
        seeds: Sequence[int] | None = None,
        output_type: OutputType = "pil",
        callback_on_step_end: OnStepEnd | None = None,
        attention_maps_at: Sequence[int] = (),
        return_dict: bool = True,
    ) -> MCLDPipelineOutput | tuple[Any, ...]:
        """Render a batch; the size is that of `conditions.target_iuv`.

        Noise comes from `seeds`, one a row, or from `generator`: a list with one a row, or one for the whole
        batch. With one a row, a row's picture is the same whatever else is in the batch, also with schedulers
        that add noise at every step (DDIM with `eta`, DPM-Solver++ SDE, Euler ancestral). With neither, every
        call differs, unless `torch.manual_seed` came before.

        Approximations, for speed: outside of `guidance_interval`, (from, to) in fractions of the steps, there
        is no guidance and half the work. `reuse_features` n runs the denoiser's deep layers at every n-th
        step only. What they cost is measured in docs/speed.md.

        `callback_on_step_end` may return {"latents": …} to change them. Latents and the scheduler's
        arithmetic are float32 in whatever precision the models are. Raises ConfigError or DataError, naming
        value and bound, before any work.
        """
        check_sampling(
            self.scheduler,
            num_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            guidance_interval=guidance_interval,
            eta=eta,
        )
        check_reuse(reuse_features)
        check_output_type(output_type)
        check_step_indices(attention_maps_at, num_steps=num_inference_steps)
        check_conditions(conditions, config=self.model.config)
        check_values(conditions, iuv_resize=self.model.config.iuv_resize)
        device = self._execution_device
        shape = self._latent_shape(conditions)
        generators = generators_of(generator, seeds=seeds, num_rows=shape[0], device=device)
        self._interrupt = False
        with fast_attention(device), self.progress_bar(total=num_inference_steps) as bar:
            prepared = self.model.prepare(
                on_device(conditions, device=device), with_null=guidance_scale != 1.0
            )
            listener = StepListener(
                pipeline=self,
                prepared=prepared,
                bar=bar,
                maps_at=frozenset(attention_maps_at),
                callback=callback_on_step_end,
            )
            latents = sample(
                Denoising(model=self.model, prepared=prepared, reuse_features=reuse_features),
                noise_BCHW=draw_rows(generators, shape_BCHW=shape, device=device),
                scheduler=self.scheduler,
                num_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                guidance_interval=guidance_interval,
                eta=eta,
                generator=generators,
                on_step=listener.on_step,
                is_stopped=lambda: self.interrupt,
            )
        images = self._images(latents, output_type=output_type)
        self.maybe_free_model_hooks()
        output = MCLDPipelineOutput(images=images, attention_maps=listener.maps or None)
        return output if return_dict else output.to_tuple()

    def _latent_shape(self, conditions: Conditions) -> tuple[int, int, int, int]:
        num_rows, _, height, width = conditions.target_iuv.shape
        config = self.model.config
        return num_rows, config.latent_channels, height // config.pose_factor, width // config.pose_factor

    def _images(self, latents_BCHW: Tensor, *, output_type: str) -> Images:
        if output_type == "latent":
            return latents_BCHW
        # Divided in float32, and only then brought to the VAE's precision.
        unscaled = (latents_BCHW / float(self.vae.config.scaling_factor)).to(self.vae.dtype)
        pixels = decode_latents(self.vae, latents=unscaled, scaling_factor=1.0)
        if output_type == "pt":
            return pixels
        pixels_BHW3: np.ndarray = VaeImageProcessor.pt_to_numpy(pixels)
        images: list[Image.Image] = VaeImageProcessor.numpy_to_pil(pixels_BHW3)
        return images if output_type == "pil" else pixels_BHW3
