"""Multiply-adds of sampling one picture, 20 steps with guidance: ours, and in the authors' order of work.

    python -m benchmarks.sampling_count        both sizes; nothing is computed, so any machine will do

The clock of a small model flatters what is saved in attention; this count says what a full one can save.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.authors_order import use_authors_order, with_null_rows
from benchmarks.measure import show
from benchmarks.model_sizes import SIZES, ModelSize, meta_conditions, random_model
from benchmarks.naive_mcld import NaiveMCLD
from benchmarks.sampling import NUM_STEPS

META = torch.device("meta")


@torch.no_grad()
def main() -> None:
    """Count both, at both sizes."""
    for size in SIZES.values():
        ours, authors = count_ours(size), count_authors(size)
        show(
            {
                "benchmark": f"multiply-adds of sampling, {size.name} size",
                "steps": NUM_STEPS,
                "ours_giga": round(ours / 1e9, 1),
                "authors_giga": round(authors / 1e9, 1),
                "ours_share": round(ours / authors, 3),
            }
        )


def count_ours(size: ModelSize) -> int:
    """Conditions once, then the steps."""
    model = random_model(size, device=META).eval().requires_grad_(False)
    conditions, latent = meta_conditions(size, num_rows=1), _both_rows(size)
    timestep = torch.zeros(2, dtype=torch.long, device=META)
    prepared = model.prepare(conditions, with_null=True)
    once = multiply_adds(lambda: model.prepare(conditions, with_null=True))
    step = multiply_adds(lambda: model.denoise(latent, timestep_B=timestep, prepared=prepared))
    return once + NUM_STEPS * step


def count_authors(size: ModelSize) -> int:
    """The same of benchmarks/authors_order.py."""
    with META:
        model = NaiveMCLD(size.config).eval().requires_grad_(False)
    use_authors_order(model)
    conditions, latent = meta_conditions(size, num_rows=1), _both_rows(size)
    doubled = with_null_rows(conditions)
    timestep = torch.zeros(2, dtype=torch.long, device=META)
    features, tokens, pose = (
        model.reference_features(doubled),
        model.tokens(conditions).repeat(2, 1, 1),
        model.pose(conditions).repeat(2, 1, 1, 1),
    )
    once = multiply_adds(
        lambda: (model.reference_features(doubled), model.tokens(conditions), model.pose(conditions))
    )
    step = multiply_adds(lambda: model.denoise(latent, timestep, tokens, pose, features))
    return once + NUM_STEPS * step


def multiply_adds(call: Callable[[], object]) -> int:
    """Of convolutions, matrix products and attention; a multiply-add is two operations to torch."""
    with FlopCounterMode(display=False) as counter:
        call()
    flops: int = counter.get_total_flops()
    return flops // 2


def _both_rows(size: ModelSize) -> torch.Tensor:
    return torch.empty(2, size.config.latent_channels, *size.latent_hw, device=META)


if __name__ == "__main__":
    main()
