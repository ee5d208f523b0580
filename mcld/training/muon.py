"""Muon for kernels and matrices (Jordan et al. 2024): momentum, orthogonalised before it is applied.

What it gained on the tiny autoencoder stands in docs/log.md. `torch.optim.Muon` takes matrices only; here a
kernel (out, in, 3, 3) is the matrix (out, in * 9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

NUM_ITERATIONS = 5
# Quintic Newton-Schulz coefficients that push all singular values towards 1 fastest (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """For parameters of two or more dimensions; give the others to AdamW.

    The learning rate is a relative change.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Apply one update; the closure, if any, computes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(tuple(parameter.shape), []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, lr=group["lr"], momentum=group["momentum"])
        return loss

    def _update(self, parameters: list[nn.Parameter], *, lr: float, momentum: float) -> None:
        """Update parameters of one shape together: one batch of products costs less than many small ones."""
        directions = []
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffer = state["momentum_buffer"].lerp_(gradient, 1.0 - momentum)
            directions.append(gradient.lerp(buffer, momentum).flatten(1))
        updates = orthogonalised(torch.stack(directions))
        num_rows, num_columns = updates.shape[1:]
        scale = max(1.0, num_rows / num_columns) ** 0.5  # tall matrices: keep the change of each output alike
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.add_(update.view_as(parameter), alpha=-lr * scale)


def split_parameters(
    module: nn.Module, *, ends: tuple[str, ...]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable kernels and matrices for Muon; the rest: vectors, and the layers that `ends` names."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.dim() >= 2 and not any(end in name for end in ends)
            (matrices if is_matrix else rest).append(parameter)
    return matrices, rest


def orthogonalised(matrices: Tensor) -> Tensor:
    """The semi-orthogonal matrices nearest to (K, M, N), roughly: singular values end near 0.7 to 1.2."""
    first, second, third = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    # Half precision is enough and fast on a GPU; processors without bfloat16 units would crawl.
    precision = torch.bfloat16 if matrices.is_cuda else torch.float32
    current = (matrices.mT if is_tall else matrices).to(precision)
    current = current / (current.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = current @ current.mT
        current = first * current + (second * gram + third * gram @ gram) @ current
    result: Tensor = (current.mT if is_tall else current).float()
    return result
