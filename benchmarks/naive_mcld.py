"""MCLD straight from its equations (arXiv 2503.15686), with nothing saved: the yardstick of the real one.

    model = NaiveMCLD(config)
    model.load_authors_states(states)
    v = model(noisy_latent, timestep=t, conditions=c)
    latent = naive_sample(model, conditions=c, noise=noise, num_steps=20, guidance_scale=3.5, scheduler=ddim)

Stock UNets run whole, attention is an explicit softmax with every projection computed, and each sampling step
computes all conditions anew. It shares settings and types with `mcld`, and no computation.

Shapes: B rows, C latent channels, H W latent size, L tokens of a block, N reference tokens, F face tokens,
D embedding width, A face embedding width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from mcld.models.config import FaceProjectorConfig, ModelConfig, unet_settings
from mcld.types import Conditions

Features = dict[str, Tensor]


class NaiveMCLD(nn.Module):
    """The full model of the paper, not its ablations. ReferenceNet's last up block is frozen."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.use_texture, "only the full model is written here"
        assert config.use_face, "only the full model is written here"
        assert config.aggregation == "mfca", "only the full model is written here"
        self.config = config
        self.reference_unet = _reference_unet(config)
        self.denoising_unet = _denoising_unet(config)
        # Apart, because the pose is added between it and the rest of the stock UNet.
        self.denoising_conv_in = self.denoising_unet.conv_in
        self.denoising_unet.conv_in = nn.Identity()
        self.pose_guider = NaivePoseGuider(config)
        self.image_proj_model = NaiveFaceProjector(config.face, output_dim=config.cross_attention_dim)

    def forward(
        self, noisy_latent: Tensor, *, timestep: Tensor, conditions: Conditions, with_reference: bool = True
    ) -> Tensor:
        """v (B, C, H, W); without reference, the tokens and the pose stay."""
        features = self.reference_features(conditions) if with_reference else None
        tokens = self.tokens(conditions)
        return self.denoise(noisy_latent, timestep, tokens, self.pose(conditions), features)

    def forward_null(self, noisy_latent: Tensor, *, timestep: Tensor, conditions: Conditions) -> Tensor:
        """v (B, C, H, W) of the null conditions: zero tokens, no reference, the same pose."""
        tokens = torch.zeros_like(self.tokens(conditions))
        return self.denoise(noisy_latent, timestep, tokens, self.pose(conditions), None)

    def reference_features(self, conditions: Conditions) -> Features:
        """The LayerNorm1 output (B, N, C) of every transformer block of ReferenceNet, by name."""
        features: Features = {}
        latent = conditions.texture_latent
        self.reference_unet(
            latent,
            torch.zeros(len(latent), dtype=torch.long, device=latent.device),
            encoder_hidden_states=conditions.image_embedding[:, None],
            cross_attention_kwargs={"features": features},
        )
        if self.config.reference_precision == "float16":
            return {name: feature.half().to(feature.dtype) for name, feature in features.items()}
        return features

    def face_tokens(self, conditions: Conditions) -> Tensor:
        """(B, F, D); zero where there is no face."""
        tokens: Tensor = self.image_proj_model(conditions.face_embedding)
        return tokens * conditions.face_found[:, None, None]

    def authors_parameters(self) -> dict[str, nn.Parameter]:
        """All parameters by `file.key` of the authors' four state dicts."""
        parts: dict[str, nn.Module] = {
            "reference_unet": self.reference_unet,
            "denoising_unet": self.denoising_unet,
            "denoising_unet.conv_in": self.denoising_conv_in,
            "pose_guider": self.pose_guider,
            "image_proj_model": self.image_proj_model,
        }
        return {
            f"{part}.{name}": parameter
            for part, module in parts.items()
            for name, parameter in module.named_parameters()
        }

    @torch.no_grad()
    def load_authors_states(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Copy in the four state dicts, by file name without suffix."""
        given = {f"{file}.{key}": value for file, state in states.items() for key, value in state.items()}
        own = self.authors_parameters()
        assert own.keys() == given.keys(), "state dicts of another configuration"
        for name, parameter in own.items():
            parameter.copy_(given[name])

    def tokens(self, conditions: Conditions) -> Tensor:
        """[e1; e2; f] (B, 2 + F, D)."""
        image, texture = conditions.image_embedding[:, None], conditions.texture_embedding[:, None]
        return torch.cat([image, texture, self.face_tokens(conditions)], dim=1)

    def pose(self, conditions: Conditions) -> Tensor:
        """The pose feature (B, width of conv_in, H, W)."""
        is_reversed = self.config.iuv_channel_order == "vui"
        iuv = conditions.target_iuv.flip(1) if is_reversed else conditions.target_iuv
        pose: Tensor = self.pose_guider(iuv.to(self.denoising_conv_in.weight.dtype) / 255)
        return pose

    def denoise(
        self, latent: Tensor, timestep: Tensor, tokens: Tensor, pose: Tensor, features: Features | None
    ) -> Tensor:
        """v (B, C, H, W) from what the conditions became."""
        v: Tensor = self.denoising_unet(
            self.denoising_conv_in(latent) + pose,
            timestep,
            encoder_hidden_states=tokens,
            cross_attention_kwargs={"features": features},
        ).sample
        return v


class Mixing(Protocol):
    """softmax(q k^T / sqrt(d)) v for each head; (B, L, heads * d)."""

    def __call__(self, query: Tensor, *, key: Tensor, value: Tensor, heads: int) -> Tensor:
        """From (B, L, heads * d) and (B, M, heads * d), heads side by side."""
        ...


def softmax_attention(query: Tensor, *, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for each head; (B, L, heads * d)."""
    query, key, value = (token.unflatten(2, (heads, -1)).transpose(1, 2) for token in (query, key, value))
    weight = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
    return (weight @ value).transpose(1, 2).flatten(2)


def attend(
    attn: Attention, query_BLC: Tensor, *, memory_BMD: Tensor, mix: Mixing = softmax_attention
) -> Tensor:
    """Attention by the weights of `attn`, before its output projection."""
    query, key, value = attn.to_q(query_BLC), attn.to_k(memory_BMD), attn.to_v(memory_BMD)
    return mix(query, key=key, value=value, heads=attn.heads)


def project_out(attn: Attention, mixed_BLC: Tensor) -> Tensor:
    """W_o x + b_o."""
    result: Tensor = attn.to_out[0](mixed_BLC)
    return result


class NaiveSelfAttention:
    """ReferenceNet's writes n into `features`; the denoiser's reads n_ref there, if there are any."""

    def __init__(self, name: str, *, writes: bool, mix: Mixing = softmax_attention) -> None:
        self.name = name
        self.writes = writes
        self.mix = mix

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,
    ) -> Tensor:
        """Attn(n, M, M) with M = [n; n_ref] or n. The signature is that of diffusers processors."""
        memory = hidden_states
        if features is not None and self.writes:
            features[self.name] = hidden_states
        elif features is not None:
            memory = torch.cat([hidden_states, features[self.name]], dim=1)
        return project_out(attn, attend(attn, hidden_states, memory_BMD=memory, mix=self.mix))


class ImageCrossAttention:
    """Cross-attention of ReferenceNet to the one image token."""

    def __init__(self, *, mix: Mixing = softmax_attention) -> None:
        self.mix = mix

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,  # attn1 uses it
    ) -> Tensor:
        """Attn(x, e1, e1). The signature is that of diffusers processors."""
        assert encoder_hidden_states is not None
        return project_out(attn, attend(attn, hidden_states, memory_BMD=encoder_hidden_states, mix=self.mix))


class NaiveFocalAttention(nn.Module):
    """Cross-attention of the denoiser: its stage's tokens, and the face tokens in a softmax of their own."""

    def __init__(self, name: str, *, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.focus = {"d": slice(0, 1), "m": slice(0, 2), "u": slice(1, 2)}[name[0]]  # of [e1; e2]
        self.face_scale = config.face_scale
        self.to_k_ip = nn.Linear(config.cross_attention_dim, width, bias=False)
        self.to_v_ip = nn.Linear(config.cross_attention_dim, width, bias=False)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,  # attn1 uses it
    ) -> Tensor:
        """Attn(q, c, c) + scale * Attn(q, f, f), of [e1; e2; f]. The signature is that of diffusers."""
        assert encoder_hidden_states is not None
        face = encoder_hidden_states[:, 2:]
        mixed = attend(attn, hidden_states, memory_BMD=encoder_hidden_states[:, self.focus])
        gathered = softmax_attention(
            attn.to_q(hidden_states), key=self.to_k_ip(face), value=self.to_v_ip(face), heads=attn.heads
        )
        return project_out(attn, mixed + self.face_scale * gathered)


class NaivePoseGuider(nn.Module):
    """Convolutions with silu between them; each pair halves the size."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.pose_channels
        pairs = (
            (nn.Conv2d(narrow, narrow, 3, padding=1), nn.Conv2d(narrow, wide, 3, padding=1, stride=2))
            for narrow, wide in itertools.pairwise(channels)
        )
        self.conv_in = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(itertools.chain.from_iterable(pairs))
        self.conv_out = nn.Conv2d(channels[-1], config.block_out_channels[0], 3, padding=1)

    def forward(self, pose: Tensor) -> Tensor:
        """(B, 3, 8H, 8W) in 0..1 to (B, width of conv_in, H, W)."""
        for layer in (self.conv_in, *self.blocks):
            pose = F.silu(layer(pose))
        feature: Tensor = self.conv_out(pose)
        return feature


class NaiveFaceProjector(nn.Module):
    """Perceiver resampler (Jaegle et al. 2021)."""

    def __init__(self, config: FaceProjectorConfig, *, output_dim: int) -> None:
        super().__init__()
        dim = config.dim
        self.latents = nn.Parameter(torch.randn(1, config.num_tokens, dim) / dim**0.5)
        self.proj_in = nn.Linear(config.embedding_dim, dim)
        self.proj_out = nn.Linear(dim, output_dim)
        self.norm_out = nn.LayerNorm(output_dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    NaiveResamplerAttention(config),
                    nn.Sequential(
                        nn.LayerNorm(dim),
                        nn.Linear(dim, 4 * dim, bias=False),
                        nn.GELU(),
                        nn.Linear(4 * dim, dim, bias=False),
                    ),
                ]
            )
            for _ in range(config.depth)
        )

    def forward(self, face_embedding_BA: Tensor) -> Tensor:
        """Tokens (B, F, D)."""
        face = self.proj_in(face_embedding_BA[:, None])
        latent = self.latents.repeat(len(face), 1, 1)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            latent = latent + layer[0](face, latent)
            latent = latent + layer[1](latent)
        tokens: Tensor = self.norm_out(self.proj_out(latent))
        return tokens


class NaiveResamplerAttention(nn.Module):
    """W_o softmax(q k^T / sqrt(d)) v with q = W_q LN2(L), [k, v] = W_kv [LN1(x); LN2(L)]."""

    def __init__(self, config: FaceProjectorConfig) -> None:
        super().__init__()
        width = config.heads * config.dim_head
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.to_q = nn.Linear(config.dim, width, bias=False)
        self.to_kv = nn.Linear(config.dim, 2 * width, bias=False)
        self.to_out = nn.Linear(width, config.dim, bias=False)

    def forward(self, face: Tensor, latent: Tensor) -> Tensor:
        """What the learned queries gather from the face and themselves."""
        key_value = self.to_kv(torch.cat([self.norm1(face), self.norm2(latent)], dim=1))
        key, value = key_value.tensor_split(2, dim=2)
        query = self.to_q(self.norm2(latent))
        gathered: Tensor = self.to_out(softmax_attention(query, key=key, value=value, heads=self.heads))
        return gathered


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveStep:
    """One sampling step: what was predicted, and the latent after it."""

    timestep: int
    latent: Tensor
    v_conditioned: Tensor
    v_null: Tensor | None  # None without guidance


@torch.no_grad()
def naive_sample(
    model: NaiveMCLD,
    *,
    conditions: Conditions,
    noise: Tensor,
    num_steps: int,
    guidance_scale: float,
    scheduler: DDIMScheduler,
    on_step: Callable[[NaiveStep], None] | None = None,
) -> Tensor:
    """The final latent (B, C, H, W), by v = v_null + g (v_cond - v_null); every step computes everything."""
    scheduler.set_timesteps(num_steps, device=noise.device)
    latent = noise
    for timestep in scheduler.timesteps:
        rows = timestep.expand(len(latent))
        v = v_conditioned = model(latent, timestep=rows, conditions=conditions)
        v_null = None
        if guidance_scale != 1:
            v_null = model.forward_null(latent, timestep=rows, conditions=conditions)
            v = v_null + guidance_scale * (v_conditioned - v_null)
        latent = scheduler.step(v, timestep, latent, eta=0.0).prev_sample
        if on_step is not None:
            step = NaiveStep(
                timestep=int(timestep), latent=latent, v_conditioned=v_conditioned, v_null=v_null
            )
            on_step(step)
    return latent


def _reference_unet(config: ModelConfig) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(**unet_settings(config))
    unet.conv_norm_out, unet.conv_out = None, nn.Identity()
    for name, block in transformer_blocks(unet):
        block.attn1.set_processor(NaiveSelfAttention(name, writes=True))
        block.attn2.set_processor(ImageCrossAttention())
    unet.up_blocks[-1].requires_grad_(False)
    return unet


def _denoising_unet(config: ModelConfig) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(**unet_settings(config))
    for name, block in transformer_blocks(unet):
        block.attn1.set_processor(NaiveSelfAttention(name, writes=False))
        width = block.attn2.to_q.out_features
        block.attn2.set_processor(NaiveFocalAttention(name, width=width, config=config))
    return unet


def transformer_blocks(unet: UNet2DConditionModel) -> list[tuple[str, BasicTransformerBlock]]:
    """The transformer blocks of a UNet, by name."""
    return [
        (name, module) for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)
    ]
