"""Sampling in the order of work of the authors' code, with the naive model's weights.

    use_authors_order(model)
    latent = authors_sample(model, conditions=c, noise=noise, num_steps=20, ...)

What their pipeline computes, as facts read from their pipeline, unchanged since it was published:

- once per image: pose features, face tokens, and ReferenceNet to its end on two rows, a null one among them;
- at every step, on rows [null; conditioned]: keys and values of [n; n_ref] for both; self-attention of both
  to [n; n_ref], then of the null rows once more to n alone; of the two results for them the second is kept;
- cross-attention with every query and key, though most have no effect, and beside it two attention maps,
  which nothing but drawing them reads;
- attention by torch's scaled_dot_product_attention; weights and activations in float32.

The frame axis of length one that their UNet carries is left out, in their favour.

Shapes: B images, R = 2B rows [null; conditioned], L tokens of a block, C its width, T condition tokens.
"""

from __future__ import annotations

import dataclasses

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.naive_mcld import (
    Features,
    ImageCrossAttention,
    NaiveFocalAttention,
    NaiveMCLD,
    NaiveSelfAttention,
    attend,
    project_out,
    transformer_blocks,
)
from mcld.types import Conditions


def use_authors_order(model: NaiveMCLD) -> None:
    """Replace the attention of both UNets; the weights stay."""
    for name, block in transformer_blocks(model.reference_unet):
        block.attn1.set_processor(NaiveSelfAttention(name, writes=True, mix=torch_attention))
        block.attn2.set_processor(ImageCrossAttention(mix=torch_attention))
    for name, block in transformer_blocks(model.denoising_unet):
        block.attn1.set_processor(ReadingAttention(name))
        block.attn2.set_processor(MappedFocalAttention(block.attn2.processor))


@torch.no_grad()
def authors_sample(
    model: NaiveMCLD,
    *,
    conditions: Conditions,
    noise: Tensor,
    num_steps: int,
    guidance_scale: float,
    scheduler: DDIMScheduler,
) -> Tensor:
    """The final latent (B, C, H, W), by v = v_null + g (v_cond - v_null)."""
    scheduler.set_timesteps(num_steps, device=noise.device)
    features = model.reference_features(with_null_rows(conditions))
    tokens = model.tokens(conditions)
    tokens = torch.cat([torch.zeros_like(tokens), tokens])
    pose = model.pose(conditions).repeat(2, 1, 1, 1)
    latent = noise
    for timestep in scheduler.timesteps:
        rows = torch.cat([latent, latent])
        v_null, v_conditioned = model.denoise(rows, timestep, tokens, pose, features).chunk(2)
        v = v_null + guidance_scale * (v_conditioned - v_null)
        latent = scheduler.step(v, timestep, latent, eta=0.0).prev_sample
    return latent


class ReadingAttention:
    """The denoiser's self-attention: all rows see the reference, then the null rows again do not."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,
    ) -> Tensor:
        """Attn(n, [n; n_ref], [n; n_ref]), or Attn(n, n, n) in the first half."""
        assert features is not None
        memory = torch.cat([hidden_states, features[self.name]], dim=1)
        attended = project_out(attn, attend(attn, hidden_states, memory_BMD=memory, mix=torch_attention))
        null = hidden_states[: len(hidden_states) // 2]
        attended[: len(null)] = project_out(attn, attend(attn, null, memory_BMD=null, mix=torch_attention))
        return attended


class MappedFocalAttention(nn.Module):
    """The denoiser's cross-attention, and the two maps that it keeps."""

    def __init__(self, naive: NaiveFocalAttention) -> None:
        super().__init__()
        self.focus, self.face_scale = naive.focus, naive.face_scale
        self.to_k_ip, self.to_v_ip = naive.to_k_ip, naive.to_v_ip
        self.maps: tuple[Tensor, Tensor] | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,  # attn1 uses it
    ) -> Tensor:
        """Attn(q, c, c) + scale * Attn(q, f, f), of [e1; e2; f]."""
        assert encoder_hidden_states is not None
        focal, face = encoder_hidden_states[:, self.focus], encoder_hidden_states[:, 2:]
        query, key, value = attn.to_q(hidden_states), attn.to_k(focal), attn.to_v(focal)
        face_key, face_value = self.to_k_ip(face), self.to_v_ip(face)
        mixed = torch_attention(query, key=key, value=value, heads=attn.heads)
        gathered = torch_attention(query, key=face_key, value=face_value, heads=attn.heads)
        # Theirs take the softmax of the keys, not of the scores: wrong as maps, and computed all the same.
        query, key, face_key = (_apart(token, heads=attn.heads) for token in (query, key, face_key))
        self.maps = (
            query @ face_key.transpose(-2, -1).softmax(dim=-1),
            query @ key.transpose(-2, -1).softmax(dim=-1),
        )
        return project_out(attn, mixed + self.face_scale * gathered)


def torch_attention(query: Tensor, *, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """What `softmax_attention` computes, by torch's own kernel."""
    query, key, value = (_apart(token, heads=heads) for token in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def with_null_rows(conditions: Conditions) -> Conditions:
    """What ReferenceNet reads, for the rows [null; conditioned]."""
    image = conditions.image_embedding
    return dataclasses.replace(
        conditions,
        texture_latent=conditions.texture_latent.repeat(2, 1, 1, 1),
        image_embedding=torch.cat([torch.zeros_like(image), image]),
    )


def _apart(token_RLC: Tensor, *, heads: int) -> Tensor:
    apart: Tensor = token_RLC.unflatten(2, (heads, -1)).transpose(1, 2)
    return apart
