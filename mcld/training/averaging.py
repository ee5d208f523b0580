"""Exponential moving average of weights, as a module so that it is saved like any other."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mcld.training.shares import local_shares


class MovingAverage(nn.Module):
    """Keeps average = decay * average + (1 - decay) * weights; the decay warms up (Karras et al. 2024).

    At step t the decay is min(decay, (1 + t) / (10 + t)), so that early averages forget the initial weights.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        super().__init__()
        self.average = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, *, step: int) -> None:
        """Fold the weights after `step` (counted from 0) into the average."""
        decay = min(self.decay, (1 + step) / (10 + step))
        # Shares suffice, and a decay that changes would make PyTorch plan the placement of DTensors anew.
        averages = local_shares(self.average.parameters())
        torch._foreach_lerp_(averages, local_shares(module.parameters()), 1.0 - decay)
