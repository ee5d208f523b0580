"""Muon's update is nearly orthogonal, whatever the gradient's scale, and it descends."""

import torch
from torch import nn

from mcld.training.muon import Muon, orthogonalised, split_parameters


def test_singular_values_are_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((16, 64), (64, 16), (32, 32)):
        matrices = torch.randn((2, *shape), generator=generator) * torch.tensor([1e-3, 10.0]).view(2, 1, 1)
        for values in torch.linalg.svdvals(orthogonalised(matrices)):
            assert values.max() < 1.35
            assert values.median() > 0.6


def test_kernels_go_to_muon_and_ends_and_vectors_do_not() -> None:
    net = nn.Sequential()
    net.add_module("conv_in", nn.Conv2d(3, 4, 3))
    net.add_module("middle", nn.Conv2d(4, 4, 3))
    net.add_module("norm", nn.GroupNorm(1, 4))
    matrices, rest = split_parameters(net, ends=("conv_in",))
    assert [tuple(matrix.shape) for matrix in matrices] == [(4, 4, 3, 3)]
    assert len(matrices) + len(rest) == len(list(net.parameters()))


def test_it_fits_a_linear_map() -> None:
    torch.manual_seed(0)
    wanted = torch.linalg.qr(torch.randn(8, 8)).Q
    layer = nn.Linear(8, 8, bias=False)
    optimizer = Muon(layer.parameters(), lr=0.05)
    inputs = torch.randn(64, 8)
    for step in range(100):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 100)
        layer.zero_grad()
        loss = (layer(inputs) - inputs @ wanted.T).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2
