"""The moving average forgets its start and never touches the trained weights."""

import torch
from torch import nn

from mcld.training.averaging import MovingAverage


def test_first_update_weighs_the_new_weights_most() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = MovingAverage(module, decay=0.99)
    nn.init.ones_(module.weight)
    average.update(module, step=0)
    assert isinstance(average.average, nn.Linear)
    assert average.average.weight.item() == torch.tensor(0.9).item()  # decay (1 + 0) / (10 + 0)


def test_constant_weights_become_the_average() -> None:
    module = nn.Linear(2, 2)
    average = MovingAverage(nn.Linear(2, 2), decay=0.5)
    for step in range(60):
        average.update(module, step=step)
    torch.testing.assert_close(average.average.weight, module.weight)
    assert not average.average.weight.requires_grad
