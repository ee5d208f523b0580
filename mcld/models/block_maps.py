"""The maps of one transformer block of the denoiser: softmax weights, and how much each condition adds.

The block's output is computed as `denoiser_block` does, operation by operation, and looked at in between.

Shapes: B rows, K <= B rows that have a reference, C width of the block, c of a head, h w size at the block's
level, L = h*w its tokens, N = h'*w' texture tokens, M tokens attended to, T condition tokens, F face tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

from mcld.models.attention import BlockContext, KeyValue, attend
from mcld.models.unet_walk import Stage, stage_of

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMaps:
    """The maps of one transformer block, float32. Weights are means over heads and sum to 1.

    `strength`, by condition: the length of what the condition adds to a pixel's token, over the length of
    that token. It tells how much a condition matters where its softmax cannot: over a single token that is
    always 1.
    """

    name: str
    stage: Stage
    reference_share: Tensor  # (B, h, w) part of self-attention that falls on the texture; 0 without reference
    reference_where: Tensor | None  # (B, h, w, h', w') on which texture token; sums to reference_share
    condition_weight: Tensor  # (B, h, w, T) softmax over the condition tokens
    face_weight: Tensor | None  # (B, h, w, F) None where the face tokens have no softmax of their own
    strength: Mapping[str, Tensor]  # each (B, h, w), >= 0


def map_block(
    block: BasicTransformerBlock,
    *,
    token_BLC: Tensor,
    context: BlockContext,
    groups: Mapping[str, slice],
    name: str,
    hw: Size,
    texture_hw: Size | None,
) -> tuple[BlockMaps, Tensor]:
    """The maps of a block, and its output: the three steps of `denoiser_block`, looked at in between."""
    normed_BLC = block.norm1(token_BLC)
    where = _reference_where(block.attn1, normed_BLC, context.reference) if texture_hw is not None else None
    share_BL = _reference_share(block.attn1, normed_BLC, context.reference)
    token_BLC = token_BLC + block.attn1(normed_BLC, reference=context.reference)
    query_BLC = block.norm2(token_BLC) if context.needs_query else token_BLC
    condition_BHLT, face_BHLF = _cross_weights(block.attn2, query_BLC, context)
    strength = _strengths(block.attn2, token_BLC, context, (condition_BHLT, face_BHLF), groups)
    token_BLC = token_BLC + block.attn2(query_BLC, context=context)
    maps = BlockMaps(
        name=name,
        stage=stage_of(name),
        reference_share=share_BL.unflatten(1, hw),
        reference_where=None if where is None else _unflatten_both(where, hw=hw, texture_hw=texture_hw),
        condition_weight=condition_BHLT.mean(1).unflatten(1, hw),
        face_weight=None if face_BHLF is None else face_BHLF.mean(1).unflatten(1, hw),
        strength={key: value_BL.unflatten(1, hw) for key, value_BL in strength.items()},
    )
    return maps, token_BLC + block.ff(block.norm3(token_BLC))


def _reference_share(attn: Attention, normed_BLC: Tensor, reference: KeyValue | None) -> Tensor:
    """(B, L): attention to values that are 1 on the texture's tokens and 0 on the block's own."""
    share_BL = normed_BLC.new_zeros(normed_BLC.shape[:2], dtype=torch.float32)
    if reference is None:
        return share_BL
    rows = reference.key.shape[0]
    query, key, _ = _query_and_keys(attn, normed_BLC, reference)
    is_texture = torch.cat([torch.zeros_like(normed_BLC[:rows]), torch.ones_like(reference.key)], dim=1)
    mixed_KLC = attend(query, key_BMC=key, value_BMC=is_texture.float(), heads=attn.heads)
    share_BL[:rows] = mixed_KLC.mean(
        2
    )  # a head's channels all say its share: their mean is that of the heads
    return share_BL


def _reference_where(attn: Attention, normed_BLC: Tensor, reference: KeyValue | None) -> Tensor | None:
    """(B, L, N): the softmax weights on the texture's tokens, a head at a time, for they are large."""
    if reference is None:
        return None
    rows, num_texture = reference.key.shape[:2]
    query, key, num_own = _query_and_keys(attn, normed_BLC, reference)
    where_BLN = normed_BLC.new_zeros((*normed_BLC.shape[:2], num_texture), dtype=torch.float32)
    for query_KLc, key_KMc in zip(query.chunk(attn.heads, 2), key.chunk(attn.heads, 2), strict=True):
        where_BLN[:rows] += _softmax(query_KLc, key_KMc)[..., num_own:] / attn.heads
    return where_BLN


def _query_and_keys(attn: Attention, normed_BLC: Tensor, reference: KeyValue) -> tuple[Tensor, Tensor, int]:
    """For the K rows: queries, keys of their own and the texture's tokens, and how many are their own."""
    own_KLC = normed_BLC[: reference.key.shape[0]]
    key_KMC = torch.cat([attn.to_k(own_KLC), reference.key], dim=1)
    return attn.to_q(own_KLC).float(), key_KMC.float(), own_KLC.shape[1]


def _cross_weights(attn: Attention, query_BLC: Tensor, context: BlockContext) -> tuple[Tensor, Tensor | None]:
    """Softmax (B, heads, L, T) over the condition tokens and (B, heads, L, F) over the face tokens."""
    if not context.needs_query:
        return _all_on_one(query_BLC, heads=attn.heads), None
    query_BHLc = _split_heads(attn.to_q(query_BLC), heads=attn.heads)
    condition = _all_on_one(query_BLC, heads=attn.heads)
    if context.condition_key is not None:
        condition = _softmax(query_BHLc, _split_heads(context.condition_key, heads=attn.heads))
    if context.face is None:
        return condition, None
    return condition, _softmax(query_BHLc, _split_heads(context.face.key, heads=attn.heads))


def _strengths(
    attn: Attention,
    token_BLC: Tensor,
    context: BlockContext,
    weights: tuple[Tensor, Tensor | None],
    groups: Mapping[str, slice],
) -> dict[str, Tensor]:
    """(B, L) by condition: the length of what its tokens add, after W_o, over that of the pixel's token."""
    condition_BHLT, face_BHLF = weights
    length_BL = token_BLC.float().norm(dim=2)

    def strength(weight_BHLM: Tensor, value_BMC: Tensor, scale: float) -> Tensor:
        mixed_BHLc = weight_BHLM @ _split_heads(value_BMC, heads=attn.heads)
        added_BLC = F.linear(mixed_BHLc.transpose(1, 2).flatten(2), attn.to_out[0].weight.float())
        strength_BL: Tensor = scale * added_BLC.norm(dim=2) / length_BL
        return strength_BL

    found = {
        name: strength(condition_BHLT[..., tokens], context.condition_value[:, tokens], 1.0)
        for name, tokens in groups.items()
    }
    if context.face is not None and face_BHLF is not None:
        found["face"] = strength(face_BHLF, context.face.value, attn.processor.face_scale)
    return found


def _softmax(query: Tensor, key: Tensor) -> Tensor:
    return torch.softmax(query.float() @ key.float().mT / query.shape[-1] ** 0.5, dim=-1)


def _split_heads(token_BMC: Tensor, *, heads: int) -> Tensor:
    head_BHMc: Tensor = token_BMC.float().unflatten(2, (heads, -1)).transpose(1, 2)
    return head_BHMc


def _all_on_one(token_BLC: Tensor, *, heads: int) -> Tensor:
    """The softmax over a single token: 1 everywhere, (B, heads, L, 1)."""
    num_rows, num_tokens = token_BLC.shape[:2]
    return token_BLC.new_ones((num_rows, heads, num_tokens, 1), dtype=torch.float32)


def _unflatten_both(where_BLN: Tensor, *, hw: Size, texture_hw: Size | None) -> Tensor:
    assert texture_hw is not None
    where_Bhwhw: Tensor = where_BLN.unflatten(2, texture_hw).unflatten(1, hw)
    return where_Bhwhw
