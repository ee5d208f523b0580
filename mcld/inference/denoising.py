"""How one call denoises: for the rows that a step asks for, and with deep features kept for some steps.

Shapes: B rows, C latent channels, h w latent size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from mcld.errors import ConfigError
from mcld.models import MCLD, PreparedConditions

MAX_REUSE = 10


@dataclass(kw_only=True)
class Denoising:
    """What `sample` calls at each step of one call. Every `reuse_features`th step is computed in full.

    The steps between take the deep layers' feature of the last full one (Ma et al. 2024, "DeepCache"). A step
    with rows that the last full one had not is computed in full as well.
    """

    model: MCLD
    prepared: PreparedConditions
    reuse_features: int
    _deep: Tensor | None = field(default=None, init=False)
    _num_left: int = field(default=0, init=False)  # steps that may still reuse it

    def __call__(self, latent_BChw: Tensor, timestep_B: Tensor) -> Tensor:
        """v (B, C, h, w) for all prepared rows, or for the conditioned ones, which come first."""
        num_rows = len(latent_BChw)
        is_all = num_rows == self.prepared.num_rows
        deep = self._reusable(num_rows)
        found = self.model.denoise_reusing(
            latent_BChw,
            timestep_B=timestep_B,
            prepared=self.prepared if is_all else self.prepared.first(num_rows),
            deep_BCHW=deep,
        )
        if deep is not None:
            self._num_left -= 1
        elif self.reuse_features > 1:
            self._deep, self._num_left = found.deep, self.reuse_features - 1
        return found.v

    def _reusable(self, num_rows: int) -> Tensor | None:
        if self._deep is None or self._num_left == 0 or len(self._deep) < num_rows:
            return None
        return self._deep[:num_rows]


def check_reuse(reuse_features: int) -> None:
    """Raises ConfigError unless it is 1 to MAX_REUSE."""
    if not 1 <= reuse_features <= MAX_REUSE:
        raise ConfigError(
            f"reuse_features: {reuse_features} is outside 1..{MAX_REUSE}; 1 computes every step in full"
        )
