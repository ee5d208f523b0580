"""How the tiny base's networks are optimised: Muon for kernels, AdamW for the rest, on one schedule."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.training.muon import Muon, split_parameters

MAX_GRAD_NORM = 1.0


def make_optimizers(
    module: nn.Module, *, ends: tuple[str, ...], kernel_learning_rate: float, learning_rate: float
) -> dict[str, Optimizer]:
    """Muon over kernels and matrices, AdamW over vectors and the layers named in `ends`."""
    matrices, rest = split_parameters(module, ends=ends)
    muon, adamw = (
        Muon(matrices, lr=kernel_learning_rate),
        torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.99)),
    )
    for optimizer in (muon, adamw):
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return {"muon": muon, "adamw": adamw}


def apply_gradients(
    module: nn.Module, *, loss: Tensor, optimizers: dict[str, Optimizer], factor: float
) -> None:
    """One step of all optimisers at `factor` of their peak learning rates."""
    module.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), MAX_GRAD_NORM)
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.step()
