"""What one process holds of tensors that are shared out over processes (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


@torch.no_grad()
def local_shares(tensors: Iterable[Tensor]) -> list[Tensor]:
    """This process's share of each, or the tensor itself where it is whole; both lead to the same memory."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
