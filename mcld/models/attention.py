"""Attention of the denoiser: self-attention that also reads reference features, and focal cross-attention.

Both are processors for stock diffusers `Attention` modules and hold no state between calls: what they attend
to comes as keys and values in arguments. `project_block` makes those keys and values; at sampling it runs
once per image, because reference features, embeddings and face tokens do not change from step to step.

Shapes: B rows, K <= B rows that have a reference, L tokens of this block, N reference tokens, T condition
tokens, F face tokens, C width of the block, D width of the condition tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class KeyValue:
    """Tokens projected for attention, heads still side by side in C."""

    key: Tensor  # (B, L, C)
    value: Tensor  # (B, L, C)

    def first(self, num_rows: int) -> KeyValue:
        """The first rows, not copied."""
        return KeyValue(self.key[:num_rows], self.value[:num_rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContext:
    """All that one transformer block attends to besides its own tokens."""

    reference: KeyValue | None  # K rows; the other B - K rows have no reference and see only themselves
    condition_key: Tensor | None  # (B, T, C) None: one token, whose softmax is 1 whatever its key
    condition_value: Tensor  # (B, T, C)
    face: KeyValue | None

    @property
    def needs_query(self) -> bool:
        """False when cross-attention gives every pixel the same vector, whatever its query."""
        return self.condition_key is not None or self.face is not None

    def first(self, num_rows: int) -> BlockContext:
        """What the first rows attend to, not copied."""
        return BlockContext(
            reference=None if self.reference is None else self.reference.first(num_rows),
            condition_key=None if self.condition_key is None else self.condition_key[:num_rows],
            condition_value=self.condition_value[:num_rows],
            face=None if self.face is None else self.face.first(num_rows),
        )


def attend(query_BLC: Tensor, *, key_BMC: Tensor, value_BMC: Tensor, heads: int) -> Tensor:
    """Multi-head attention without projections. Explicit sizes, so that a batch of no rows works too."""
    head_dim = query_BLC.shape[-1] // heads
    query, key, value = (
        token.view(token.shape[0], token.shape[1], heads, head_dim).transpose(1, 2)
        for token in (query_BLC, key_BMC, value_BMC)
    )
    mixed = F.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).reshape(query_BLC.shape)


class ReferenceSelfAttention:
    """Self-attention over [n; n_ref] (MCLD, arXiv 2503.15686): texture tokens join the keys and values.

    The first K rows have a reference and the rest have none, so no mask is needed: rows without one attend
    exactly as the stock UNet does, and fast attention kernels stay usable.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        reference: KeyValue | None = None,
    ) -> Tensor:
        """Attended tokens (B, L, C). The signature is that of diffusers processors."""
        assert encoder_hidden_states is None, "what is attended to comes as `reference`"
        assert attention_mask is None, "rows without a reference come last; nothing is masked"
        query, key, value = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if reference is None:
            mixed = attend(query, key_BMC=key, value_BMC=value, heads=attn.heads)
        else:
            mixed = _attend_with_reference(
                query, own=KeyValue(key, value), reference=reference, heads=attn.heads
            )
        return _project_out(attn, mixed)


class FocalCrossAttention(nn.Module):
    """Cross-attention to image tokens plus, in its own softmax, to face tokens (decoupled as in IP-Adapter).

    Lives on `attn2.processor`, hence the weight names `*.attn2.processor.to_{k,v}_ip.weight`. Without
    `with_face` it has no weights.
    """

    def __init__(self, *, width: int, condition_dim: int, face_scale: float, with_face: bool) -> None:
        super().__init__()
        self.face_scale = face_scale
        self.with_face = with_face
        if with_face:
            self.to_k_ip = nn.Linear(condition_dim, width, bias=False)
            self.to_v_ip = nn.Linear(condition_dim, width, bias=False)

    def project_face(self, face_BFD: Tensor) -> KeyValue:
        """Keys and values of the face tokens."""
        return KeyValue(self.to_k_ip(face_BFD), self.to_v_ip(face_BFD))

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        context: BlockContext | None = None,
    ) -> Tensor:
        """Result (B, L, C), or (B, 1, C) to be broadcast when every pixel gets the same."""
        assert encoder_hidden_states is None, "what is attended to comes as `context`"
        assert attention_mask is None, "every token of the context is attended to"
        assert context is not None, "focal cross-attention needs its context as an argument"
        value = context.condition_value
        if not context.needs_query:
            return _project_out(attn, value)
        query = attn.to_q(hidden_states)
        mixed = value
        if context.condition_key is not None:
            mixed = attend(query, key_BMC=context.condition_key, value_BMC=value, heads=attn.heads)
        if context.face is not None:
            face = attend(query, key_BMC=context.face.key, value_BMC=context.face.value, heads=attn.heads)
            mixed = mixed + self.face_scale * face
        return _project_out(attn, mixed)


def project_block(
    block: BasicTransformerBlock,
    *,
    reference_KNC: Tensor | None,
    condition_BTD: Tensor,
    face_BFD: Tensor | None,
) -> BlockContext:
    """Keys and values, by the denoiser's own projections, of what `block` attends to."""
    own, cross = block.attn1, block.attn2
    processor = cross.processor
    assert isinstance(processor, FocalCrossAttention)
    reference = None
    if reference_KNC is not None:
        reference = KeyValue(own.to_k(reference_KNC), own.to_v(reference_KNC))
    return BlockContext(
        reference=reference,
        # softmax over one token is 1: the key cannot matter, so it is not computed.
        condition_key=cross.to_k(condition_BTD) if condition_BTD.shape[1] > 1 else None,
        condition_value=cross.to_v(condition_BTD),
        face=processor.project_face(face_BFD) if face_BFD is not None else None,
    )


def denoiser_block(block: BasicTransformerBlock, *, token_BLC: Tensor, context: BlockContext) -> Tensor:
    """One transformer block of the denoiser: self-attention, focal cross-attention, feed-forward."""
    token_BLC = token_BLC + block.attn1(block.norm1(token_BLC), reference=context.reference)
    query_BLC = block.norm2(token_BLC) if context.needs_query else token_BLC
    token_BLC = token_BLC + block.attn2(query_BLC, context=context)
    change_BLC: Tensor = block.ff(block.norm3(token_BLC))
    return token_BLC + change_BLC


def reference_block(
    block: BasicTransformerBlock, *, token_BLC: Tensor, condition_B1D: Tensor
) -> tuple[Tensor, Tensor]:
    """One transformer block of ReferenceNet: its feature n_ref = LayerNorm1(x), and its output.

    Cross-attention to the single image token is W_o W_v e1 for every pixel: norm2, to_q and to_k have no
    effect.
    """
    feature_BLC = block.norm1(token_BLC)
    token_BLC = token_BLC + block.attn1(feature_BLC)
    token_BLC = token_BLC + _project_out(block.attn2, block.attn2.to_v(condition_B1D))
    return feature_BLC, token_BLC + block.ff(block.norm3(token_BLC))


def _attend_with_reference(query_BLC: Tensor, *, own: KeyValue, reference: KeyValue, heads: int) -> Tensor:
    rows = reference.key.shape[0]
    with_reference = attend(
        query_BLC[:rows],
        key_BMC=torch.cat([own.key[:rows], reference.key], dim=1),
        value_BMC=torch.cat([own.value[:rows], reference.value], dim=1),
        heads=heads,
    )
    if rows == query_BLC.shape[0]:
        return with_reference
    alone = attend(query_BLC[rows:], key_BMC=own.key[rows:], value_BMC=own.value[rows:], heads=heads)
    return torch.cat([with_reference, alone])


def _project_out(attn: Attention, mixed_BLC: Tensor) -> Tensor:
    result_BLC: Tensor = attn.to_out[1](attn.to_out[0](mixed_BLC))
    return result_BLC
