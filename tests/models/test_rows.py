"""Rows with a reference come first, and come back in their order."""

from __future__ import annotations

import torch
from torch import Tensor

from mcld.models.rows import rows_with_reference_first, varying


def test_rows_without_a_reference_go_last_and_come_back() -> None:
    dropped = torch.tensor([True, False, True, False])
    values = torch.arange(4.0)
    order = rows_with_reference_first(dropped_B=dropped, like=values)
    assert order.sort(values).tolist() == [1, 3, 0, 2]
    assert order.sort_first(values).tolist() == [1, 3]
    assert order.unsort(order.sort(values)).tolist() == [0, 1, 2, 3]


def test_a_batch_that_keeps_all_references_is_left_in_its_order() -> None:
    values = torch.arange(3.0)
    order = rows_with_reference_first(dropped_B=torch.zeros(3, dtype=torch.bool), like=values)
    assert order.rows is None
    assert order.sort_first(values) is values


def test_one_compilation_serves_batches_that_lose_different_numbers_of_rows() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    double = torch.compile(lambda value: value * 2, backend=count)
    for num_dropped in (1, 2, 3):
        dropped = torch.arange(6) < num_dropped
        values = torch.ones(6, 2)
        order = rows_with_reference_first(dropped_B=dropped, like=values)
        doubled = double(varying(order.sort_first(values), order=order))
        assert doubled.shape == (6 - num_dropped, 2)
    assert len(graphs) == 1
