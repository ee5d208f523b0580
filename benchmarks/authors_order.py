"""Sampling in the order of work of the authors' code, with the naive model's weights.

    use_authors_order(model)
    latent = authors_sample(model, conditions=c, noise=noise, num_steps=20, ...)

What their pipeline computes, as facts read from their code (commit 6279ff7):

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

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.naive_mcld import Features, NaiveFocalAttention, NaiveMCLD, project_out
from mcld.types import Conditions


def use_authors_order(model: NaiveMCLD) -> None:
    """Replace the attention of both UNets; the weights stay."""
    for name, attn in _attentions(model.reference_unet):
        attn.set_processor(WritingAttention(name) if name.endswith("attn1") else AllCrossAttention())
    for name, attn in _attentions(model.denoising_unet):
        focal = attn.processor
        is_focal = isinstance(focal, NaiveFocalAttention)
        attn.set_processor(MappedFocalAttention(focal) if is_focal else ReadingAttention(name))


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
    features = _reference_of_both_rows(model, conditions=conditions)
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


class WritingAttention:
    """ReferenceNet's self-attention, which keeps n."""

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
        """Attn(n, n, n). The signature is that of diffusers processors."""
        assert features is not None
        features[self.name] = hidden_states
        return _attend(attn, hidden_states, memory_RMC=hidden_states)


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
        attended = _attend(attn, hidden_states, memory_RMC=memory)
        null = hidden_states[: len(hidden_states) // 2]
        attended[: len(null)] = _attend(attn, null, memory_RMC=null)
        return attended


class AllCrossAttention:
    """ReferenceNet's cross-attention to its one token, query and key computed in vain."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        features: Features | None = None,  # attn1 uses it
    ) -> Tensor:
        """Attn(x, e1, e1)."""
        assert encoder_hidden_states is not None
        return _attend(attn, hidden_states, memory_RMC=encoder_hidden_states)


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
        query = _heads(attn.to_q(hidden_states), attn=attn)
        key, value = _heads(attn.to_k(focal), attn=attn), _heads(attn.to_v(focal), attn=attn)
        face_key, face_value = _heads(self.to_k_ip(face), attn=attn), _heads(self.to_v_ip(face), attn=attn)
        mixed = _joined(F.scaled_dot_product_attention(query, key, value))
        gathered = _joined(F.scaled_dot_product_attention(query, face_key, face_value))
        # Theirs take the softmax of the keys, not of the scores: wrong as maps, and computed all the same.
        self.maps = (
            query @ face_key.transpose(-2, -1).softmax(dim=-1),
            query @ key.transpose(-2, -1).softmax(dim=-1),
        )
        return project_out(attn, mixed + self.face_scale * gathered)


def _reference_of_both_rows(model: NaiveMCLD, *, conditions: Conditions) -> Features:
    """ReferenceNet's features (R, L, C) by name of the attention that reads them."""
    latent, image = conditions.texture_latent, conditions.image_embedding
    features: Features = {}
    model.reference_unet(
        latent.repeat(2, 1, 1, 1),
        torch.zeros(2 * len(latent), dtype=torch.long, device=latent.device),
        encoder_hidden_states=torch.cat([torch.zeros_like(image), image])[:, None],
        cross_attention_kwargs={"features": features},
    )
    if model.config.reference_precision == "float16":
        return {name: feature.half().to(feature.dtype) for name, feature in features.items()}
    return features


def _attentions(unet: UNet2DConditionModel) -> list[tuple[str, Attention]]:
    return [(name, module) for name, module in unet.named_modules() if isinstance(module, Attention)]


def _attend(attn: Attention, query_RLC: Tensor, *, memory_RMC: Tensor) -> Tensor:
    query, key, value = (
        _heads(token, attn=attn)
        for token in (attn.to_q(query_RLC), attn.to_k(memory_RMC), attn.to_v(memory_RMC))
    )
    return project_out(attn, _joined(F.scaled_dot_product_attention(query, key, value)))


def _heads(token_RLC: Tensor, *, attn: Attention) -> Tensor:
    apart: Tensor = token_RLC.unflatten(2, (attn.heads, -1)).transpose(1, 2)
    return apart


def _joined(token: Tensor) -> Tensor:
    return token.transpose(1, 2).flatten(2)
