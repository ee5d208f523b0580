"""Optimisers on one schedule: AdamW for everything, or Muon for kernels and AdamW for the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.training.muon import Muon, split_parameters

# Of the AdamW beside Muon: vectors and end layers should follow as quickly as kernels do.
MUON_BETAS = (0.9, 0.99)


def adamw(module: nn.Module, *, learning_rate: float, weight_decay: float) -> dict[str, Optimizer]:
    """AdamW over every parameter that is trained, as in the paper."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return _with_peaks(
        {"adamw": torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay, fused=True)}
    )


def muon_and_adamw(
    module: nn.Module, *, ends: tuple[str, ...], kernel_learning_rate: float, learning_rate: float
) -> dict[str, Optimizer]:
    """Muon over kernels and matrices, AdamW over vectors and the layers named in `ends`."""
    matrices, rest = split_parameters(module, ends=ends)
    muon = Muon(matrices, lr=kernel_learning_rate)
    return _with_peaks(
        {"muon": muon, "adamw": torch.optim.AdamW(rest, lr=learning_rate, betas=MUON_BETAS, fused=True)}
    )


def apply_gradients(
    module: nn.Module, *, loss: Tensor, optimizers: dict[str, Optimizer], factor: float, max_grad_norm: float
) -> bool:
    """One step of all optimisers at `factor` of their peak learning rates.

    False, and nothing changed, when the gradient's norm is not a number.
    """
    module.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if not torch.isfinite(torch.nn.utils.clip_grad_norm_(module.parameters(), max_grad_norm)):
        return False
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.step()
    return True


def _with_peaks(optimizers: dict[str, Optimizer]) -> dict[str, Optimizer]:
    """Remember each group's learning rate as its peak: `lr` itself follows the schedule."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
