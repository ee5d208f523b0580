"""Small training states for the tests of checkpoints: model, average and optimiser after some steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mcld.training.averaging import MovingAverage
from mcld.training.checkpoint import TrainingState

Wrap = Callable[[nn.Module], nn.Module]


class TinyNetwork(nn.Module):
    """Weights of many shapes: uneven ones, one with a single row, one without gradients, and a buffer."""

    counts: Tensor

    def __init__(self, *, width: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.last = nn.Linear(width, 1)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.bias = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("counts", torch.zeros(4, dtype=torch.int64))

    def forward(self, x_BC: Tensor) -> Tensor:
        """(B, 3) to (B, 1)."""
        self.counts += 1
        y: Tensor = self.last(self.first(x_BC).relu()) + self.bias.float().sum()
        return y


def as_it_is(module: nn.Module) -> nn.Module:
    return module


def tiny_state(*, seed: int = 0, num_steps: int = 0, width: int = 5, wrap: Wrap = as_it_is) -> TrainingState:
    """A state after some steps; `wrap` replicates or shards its model, and its average alike."""
    torch.manual_seed(seed)
    model = TinyNetwork(width=width)
    average = MovingAverage(model, decay=0.5)
    wrapped = wrap(model)
    # Replicas share an average that is held whole; shares of a model have shares of its average.
    if wrapped is model:
        wrap(average.average)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1)
    state = TrainingState(modules={"model": wrapped, "average": average}, optimizers={"adamw": optimizer})
    train(state, num_steps=num_steps)
    return state


def train(state: TrainingState, *, num_steps: int) -> None:
    """Go on training, on the same rows in every process."""
    model, average = state.modules["model"], state.modules["average"]
    assert isinstance(average, MovingAverage)
    for step in range(num_steps):
        model.zero_grad()
        torch.autograd.backward(model(torch.arange(12.0).view(4, 3) / 12).square().sum())
        state.optimizers["adamw"].step()
        average.update(model, step=step)
