"""Face projector: a perceiver resampler that turns one face embedding into tokens for cross-attention.

Perceiver (Jaegle et al. 2021) as used by IP-Adapter-FaceID: learned queries read the embedding, layer by
layer.

Shapes: B rows, A width of the face embedding, F face tokens, X inner width, D width of the denoiser's
contexts, S tokens read by a layer (the embedding and the queries themselves).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mcld.models.attention import attend
from mcld.models.config import FaceProjectorConfig

FEED_FORWARD_FACTOR = 4


class FaceProjector(nn.Module):
    """`forward(face_embedding (B, A)) -> face tokens (B, F, D)`."""

    def __init__(self, config: FaceProjectorConfig, *, output_dim: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, config.num_tokens, config.dim) / config.dim**0.5)
        self.proj_in = nn.Linear(config.embedding_dim, config.dim)
        self.proj_out = nn.Linear(config.dim, output_dim)
        self.norm_out = nn.LayerNorm(output_dim)
        self.layers = nn.ModuleList(
            nn.ModuleList([ResamplerAttention(config), _feed_forward(config.dim)])
            for _ in range(config.depth)
        )

    def forward(self, face_embedding_BA: Tensor) -> Tensor:
        """Tokens of the embedding as the recogniser gives it, not normalised."""
        face_B1X = self.proj_in(face_embedding_BA)[:, None]
        query_BFX = self.latents.expand(face_embedding_BA.shape[0], -1, -1)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            attention, feed_forward = layer
            query_BFX = query_BFX + attention(face_B1X, query_BFX=query_BFX)
            query_BFX = query_BFX + feed_forward(query_BFX)
        face_BFD: Tensor = self.norm_out(self.proj_out(query_BFX))
        return face_BFD


class ResamplerAttention(nn.Module):
    """The queries attend to [embedding; queries], each with its own LayerNorm."""

    def __init__(self, config: FaceProjectorConfig) -> None:
        super().__init__()
        inner_dim = config.dim_head * config.heads
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.to_q = nn.Linear(config.dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(config.dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, config.dim, bias=False)

    def forward(self, face_B1X: Tensor, *, query_BFX: Tensor) -> Tensor:
        """What each query gathers, (B, F, X)."""
        normed_BFX = self.norm2(query_BFX)
        read_BSX = torch.cat([self.norm1(face_B1X), normed_BFX], dim=1)
        key, value = self.to_kv(read_BSX).chunk(2, dim=-1)
        mixed = attend(self.to_q(normed_BFX), key_BMC=key, value_BMC=value, heads=self.heads)
        gathered_BFX: Tensor = self.to_out(mixed)
        return gathered_BFX


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, dim * FEED_FORWARD_FACTOR, bias=False),
        nn.GELU(),
        nn.Linear(dim * FEED_FORWARD_FACTOR, dim, bias=False),
    )
