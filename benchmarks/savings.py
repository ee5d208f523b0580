"""Measure each piece of exact algebra apart: the same numbers, with the work left out and with it done.

    python -m benchmarks.savings        two threads of a processor, forward passes without gradients

- image token: ReferenceNet's cross-attention to one token, whose softmax is 1: W_o W_v e1 for every pixel,
  against queries, keys and softmax;
- last feature: ReferenceNet up to the last feature that is read, against to its end;
- dropped rows: ReferenceNet on the nine rows of ten that keep their reference, against all ten.

What is computed once per image and not once per step is in benchmarks/sampling.py. One JSON line a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor

from benchmarks.measure import machine, measure, show
from benchmarks.model_sizes import CPU, random_model
from mcld.models import MCLD
from mcld.models.attention import attend, reference_block
from mcld.models.reference_net import ReferenceNet
from mcld.models.unet_walk import embed_time, named_blocks, unet_steps, walk

NUM_ROWS = 10
NUM_DROPPED = 1
REPEATS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Two ways to the same numbers."""

    name: str
    spared: Callable[[], Tensor]
    full: Callable[[], Tensor]


@torch.no_grad()
def main() -> None:
    """Time every pair, and say how far apart their results are."""
    torch.set_num_threads(2)
    device = torch.device("cpu")
    model = random_model(CPU, device=device).eval()
    for saving in savings(model):
        error = float((saving.spared() - saving.full()).norm() / saving.full().norm())
        spared, full = (
            measure(function, repeats=REPEATS, warm_ups=1, device=device)
            for function in (saving.spared, saving.full)
        )
        show(
            {
                "benchmark": f"saving: {saving.name}",
                "spared_s": round(spared.median_s, 4),
                "full_s": round(full.median_s, 4),
                "times": round(full.median_s / spared.median_s, 2),
                "error": float(f"{error:.1e}"),
                "repeats": REPEATS,
                **machine(device),
            }
        )


def savings(model: MCLD) -> list[Saving]:
    """The pairs, on ReferenceNet of the CPU size."""
    net = model.reference_net
    assert net is not None
    texture = torch.randn(NUM_ROWS, CPU.config.latent_channels, *CPU.latent_hw)
    token = torch.randn(NUM_ROWS, 1, CPU.config.cross_attention_dim)
    kept = slice(NUM_DROPPED, None)
    tokens = {name: torch.randn(NUM_ROWS, *_shape(name, block)) for name, block in named_blocks(net.unet)}
    return [
        Saving(
            name="image token",
            spared=lambda: _sums(
                net, tokens, lambda block, hidden: _image_token(block, token).expand_as(hidden)
            ),
            full=lambda: _sums(net, tokens, lambda block, hidden: _image_attention(block, hidden, token)),
        ),
        Saving(
            name="last feature",
            spared=lambda: _last_feature(net(texture, image_token_K1D=token)),
            full=lambda: _last_feature(_to_the_end(net, texture, token)),
        ),
        Saving(
            name="dropped rows",
            spared=lambda: _last_feature(net(texture[kept], image_token_K1D=token[kept])),
            full=lambda: _last_feature(net(texture, image_token_K1D=token))[kept],
        ),
    ]


def _shape(name: str, block: BasicTransformerBlock) -> tuple[int, int]:
    """Tokens and width of a block: a level halves height and width."""
    height, width = CPU.latent_hw
    num_levels = len(CPU.config.block_out_channels)
    stage, _, rest = name.partition(".")
    number = int(rest.split(".")[0]) if stage != "mid_block" else num_levels - 1
    level = num_levels - 1 - number if stage == "up_blocks" else number
    return (height >> level) * (width >> level), block.attn1.to_q.in_features


def _sums(
    net: ReferenceNet, tokens: dict[str, Tensor], attention: Callable[[BasicTransformerBlock, Tensor], Tensor]
) -> Tensor:
    return torch.stack([attention(block, tokens[name]).sum() for name, block in named_blocks(net.unet)])


def _image_token(block: BasicTransformerBlock, token_B1D: Tensor) -> Tensor:
    result: Tensor = block.attn2.to_out[0](block.attn2.to_v(token_B1D))
    return result


def _image_attention(block: BasicTransformerBlock, hidden_BLC: Tensor, token_B1D: Tensor) -> Tensor:
    attention = block.attn2
    mixed = attend(
        attention.to_q(block.norm2(hidden_BLC)),
        key_BMC=attention.to_k(token_B1D),
        value_BMC=attention.to_v(token_B1D),
        heads=attention.heads,
    )
    result: Tensor = attention.to_out[0](mixed)
    return result


def _last_feature(features: dict[str, Tensor]) -> Tensor:
    return list(features.values())[-1]


def _to_the_end(net: ReferenceNet, texture: Tensor, token_B1D: Tensor) -> dict[str, Tensor]:
    """ReferenceNet as a stock UNet runs: every layer, also behind the last feature."""
    features: dict[str, Tensor] = {}

    def transform(name: str, block: BasicTransformerBlock, hidden_BLC: Tensor) -> Tensor:
        features[name], hidden_BLC = reference_block(block, token_BLC=hidden_BLC, condition_B1D=token_B1D)
        return hidden_BLC

    timestep = torch.zeros(len(texture), dtype=torch.long)
    walk(
        unet_steps(net.unet),
        hidden_BCHW=net.unet.conv_in(texture),
        time_BE=embed_time(net.unet, timestep_B=timestep, dtype=texture.dtype),
        transform=transform,
        checkpointing=False,
    )
    return features


if __name__ == "__main__":
    main()
