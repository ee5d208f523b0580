"""Focal conditions: which appearance tokens each stage of the denoiser attends to.

MCLD's multi-focal aggregation (arXiv 2503.15686): down blocks see the image token e1, the middle sees e1 and
the texture token e2, up blocks see e2; face tokens go everywhere, apart. The ablation "concat" shows all
tokens to every stage, in one sequence. A dropped token is a zero vector.

Shapes: B rows, D embedding width, T condition tokens, F face tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mcld.models.config import ModelConfig
from mcld.models.unet_walk import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The appearance tokens of each row: e1, e2 and f of the paper."""

    image: Tensor  # (B, 1, D)
    texture: Tensor  # (B, 1, D)
    face: Tensor | None  # (B, F, D)


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalConditions:
    """The tokens by stage of the UNet; `face_BFD` are those attended to apart, the same at every stage."""

    down_BTD: Tensor  # noqa: N815
    mid_BTD: Tensor  # noqa: N815
    up_BTD: Tensor  # noqa: N815
    face_BFD: Tensor | None  # noqa: N815

    def condition_of(self, stage: Stage) -> Tensor:
        """The tokens (B, T, D) that blocks of `stage` attend to."""
        return {"down": self.down_BTD, "mid": self.mid_BTD, "up": self.up_BTD}[stage]


def focal_conditions(tokens: Tokens, *, config: ModelConfig) -> FocalConditions:
    """Distribute the tokens over the stages."""
    image, texture, face = tokens.image, tokens.texture, tokens.face
    both = torch.cat([image, texture], dim=1) if config.use_texture else image
    if config.aggregation == "concat":
        every = torch.cat([both, face], dim=1) if face is not None else both
        return FocalConditions(down_BTD=every, mid_BTD=every, up_BTD=every, face_BFD=None)
    if not config.use_texture:
        return FocalConditions(down_BTD=image, mid_BTD=image, up_BTD=image, face_BFD=face)
    return FocalConditions(down_BTD=image, mid_BTD=both, up_BTD=texture, face_BFD=face)


def num_condition_tokens(config: ModelConfig, *, stage: Stage) -> int:
    """How many tokens the blocks of `stage` attend to, but for those apart: T of `focal_conditions`."""
    if config.aggregation == "concat":
        return 1 + int(config.use_texture) + (config.face.num_tokens if config.use_face else 0)
    return 2 if stage == "mid" and config.use_texture else 1


def zero_rows(token_BTD: Tensor, *, where_B: Tensor | None) -> Tensor:
    """The tokens with the rows of a mask (on any device) set to zero."""
    if where_B is None:
        return token_BTD
    return token_BTD.masked_fill(where_B.to(token_BTD.device)[:, None, None], 0.0)


def with_null_rows(tokens: Tokens) -> Tokens:
    """All rows, then as many rows of nothing: the second half is what guidance leads away from."""

    def doubled(token_BTD: Tensor) -> Tensor:
        return torch.cat([token_BTD, torch.zeros_like(token_BTD)])

    return Tokens(
        image=doubled(tokens.image),
        texture=doubled(tokens.texture),
        face=doubled(tokens.face) if tokens.face is not None else None,
    )
