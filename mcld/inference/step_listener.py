"""What a pipeline's call does after each step: move the bar, keep attention maps, ask the user's callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mcld.diffusion import SamplingStep
from mcld.errors import DataError
from mcld.models import PreparedConditions
from mcld.models.attention_maps import attention_maps, focal_maps

if TYPE_CHECKING:
    from mcld.inference.pipeline import MCLDPipeline

# (pipeline, step index, timestep, {"latents": (B, C, h, w)}) -> the same, perhaps with other latents
OnStepEnd = Callable[["MCLDPipeline", int, Tensor, dict[str, Tensor]], Mapping[str, Tensor] | None]


@dataclass(kw_only=True)
class StepListener:
    """Listens to the steps of one call; `maps` are by step index, of the conditioned rows, on the CPU."""

    pipeline: MCLDPipeline
    prepared: PreparedConditions
    bar: Any
    maps_at: frozenset[int]
    callback: OnStepEnd | None
    maps: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def on_step(self, step: SamplingStep) -> Tensor | None:
        """Latents to go on with instead, if the callback gave any; DataError when of another shape."""
        self.bar.update()
        if step.index in self.maps_at:
            self.maps[step.index] = self._maps(step)
        if self.callback is None:
            return None
        found = self.callback(self.pipeline, step.index, step.timestep, {"latents": step.latent})
        changed = (found or {}).get("latents")
        if changed is None:
            return None
        if changed.shape != step.latent.shape:
            raise DataError(
                f"callback_on_step_end: latents of shape {tuple(changed.shape)}, "
                f"but they must keep {tuple(step.latent.shape)}"
            )
        return changed.to(step.latent)  # float32, whatever the callback computed in

    def _maps(self, step: SamplingStep) -> dict[str, Tensor]:
        """Of the conditioned rows; the null rows, if any, come after them."""
        num_rows = len(step.model_input)
        rows = torch.cat([step.model_input] * (len(self.prepared.pose_feature) // num_rows))
        maps = attention_maps(
            self.pipeline.model, rows, timestep_B=step.timestep.expand(len(rows)), prepared=self.prepared
        )
        return {name: value[:num_rows].cpu() for name, value in focal_maps(maps).items()}
