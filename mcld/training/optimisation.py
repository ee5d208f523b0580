"""Optimisers on one schedule: AdamW for everything, or Muon for kernels and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mcld.training.muon import Muon, split_parameters
from mcld.training.shares import local_shares

# Of the AdamW beside Muon: vectors and end layers should follow as quickly as kernels do.
MUON_BETAS = (0.9, 0.99)
CLIP_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_


class AdamW(torch.optim.AdamW):
    """PyTorch's fused AdamW, on each process's own shares of weights that are shared out.

    The update is elementwise, so shares suffice. Given whole DTensors, PyTorch plans their placement anew
    whenever a scalar changes, as the learning rate does every step; the time for that grows with the square
    of the number of weights.
    """

    def _init_group(self, group: dict[str, Any], *columns: list[Tensor]) -> bool:
        has_complex: bool = super()._init_group(group, *columns)  # type: ignore[no-untyped-call]
        for column in columns:
            column[:] = local_shares(column)
        return has_complex


def adamw(module: nn.Module, *, learning_rate: float, weight_decay: float) -> dict[str, Optimizer]:
    """AdamW over every parameter that is trained, as in the paper."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return _with_peaks({"adamw": AdamW(trained, lr=learning_rate, weight_decay=weight_decay, fused=True)})


def muon_and_adamw(
    module: nn.Module, *, ends: tuple[str, ...], kernel_learning_rate: float, learning_rate: float
) -> dict[str, Optimizer]:
    """Muon over kernels and matrices, AdamW over vectors and the layers named in `ends`."""
    matrices, rest = split_parameters(module, ends=ends)
    muon = Muon(matrices, lr=kernel_learning_rate)
    return _with_peaks({"muon": muon, "adamw": AdamW(rest, lr=learning_rate, betas=MUON_BETAS, fused=True)})


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
    step_optimizers(optimizers, factor=factor)
    return True


def local_gradients(module: nn.Module) -> list[Tensor]:
    """Every gradient, and of one that is shared out over processes this process's share."""
    return local_shares(parameter.grad for parameter in module.parameters() if parameter.grad is not None)


def gradient_norm(gradients: list[Tensor], *, device: torch.device) -> Tensor:
    """() of all numbers in them, at least in float32."""
    if not gradients:
        return torch.zeros((), device=device)
    return torch.nn.utils.get_total_norm(gradients)


def clip_gradients(gradients: list[Tensor], *, norm: Tensor, max_norm: float) -> None:
    """Scale them in place so that their whole `norm` (over all processes) is at most `max_norm`."""
    if gradients:
        coefficient = (max_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
        torch._foreach_mul_(gradients, coefficient.to(gradients[0].dtype))


def step_optimizers(optimizers: dict[str, Optimizer], *, factor: float) -> None:
    """One step of each at `factor` of its peak learning rate."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer.step()


def _with_peaks(optimizers: dict[str, Optimizer]) -> dict[str, Optimizer]:
    """Remember each group's learning rate as its peak: `lr` itself follows the schedule."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
