"""Put the rows of a batch that have a reference first, so that attention needs no mask and nothing is wasted.

The denoiser takes features of K rows and gives them to its first K rows. A batch with dropped rows is sorted
on the way in and unsorted on the way out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """An order of the rows of a batch; `rows` None is the order they are in, where all have a reference."""

    rows: Tensor | None  # (B,) long
    num_with_reference: int

    def sort(self, value: Tensor) -> Tensor:
        """The rows with a reference, then the others."""
        return value if self.rows is None else value[self.rows]

    def sort_first(self, value: Tensor) -> Tensor:
        """The rows with a reference only."""
        return value if self.rows is None else value[self.rows[: self.num_with_reference]]

    def unsort(self, value: Tensor) -> Tensor:
        """Undo `sort`."""
        return value if self.rows is None else value[torch.argsort(self.rows)]


def rows_with_reference_first(*, dropped_B: Tensor | None, like: Tensor) -> RowOrder:
    """The order for a batch like `like`, whose rows in `dropped_B` (best on the CPU) have no reference."""
    num_rows = like.shape[0]
    num_dropped = 0 if dropped_B is None else int(dropped_B.sum())
    if dropped_B is None or num_dropped == 0:
        return RowOrder(rows=None, num_with_reference=num_rows)
    rows = torch.argsort(dropped_B.to(torch.uint8), stable=True).to(like.device)
    return RowOrder(rows=rows, num_with_reference=num_rows - num_dropped)


def varying(value: Tensor, *, order: RowOrder) -> Tensor:
    """`value` itself, marked for torch.compile: how many rows it has differs from batch to batch.

    Not told so, the compiler makes code for one number, then anew for another, and again for any: three times
    the minutes before training goes at its speed.
    """
    if order.rows is not None:
        torch._dynamo.maybe_mark_dynamic(value, 0)
    return value


def union(first_B: Tensor | None, second_B: Tensor | None) -> Tensor | None:
    """Rows in either mask; None is the empty mask."""
    if first_B is None or second_B is None:
        return first_B if second_B is None else second_B
    return first_B | second_B.to(first_B.device)
