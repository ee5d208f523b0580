"""Make the same computation faster: memory layout, what the compiler is told, and attention kernels.

Training and sampling share it. The layout and the kernels change rounding only; what was measured stands in
docs/log.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

# cuDNN's attention first: on Hopper it took 0.6 of the time of PyTorch's flash kernels (docs/log.md).
ATTENTION_KERNELS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def use_channels_last(module: nn.Module) -> None:
    """Store convolution kernels channels last, as convolutions of half precision and the CPU's want them."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it


def compile_options(*, cuda_graphs: bool) -> dict[str, str | int | bool]:
    """What torch.compile is told. `cuda_graphs`: launch a network's kernels at once (GPU)."""
    # Without it 150 of 220 copies of convolution kernels were left in a step (docs/log.md).
    options: dict[str, str | int | bool] = {"force_layout_optimization": True}
    return options | {"triton.cudagraphs": True} if cuda_graphs else options


@contextmanager
def fast_attention(device: torch.device) -> Iterator[None]:
    """Within it, attention on a GPU prefers the kernels that are fastest there.

    Hold it over the backward pass as well: gradient checkpointing attends anew there, and refuses if another
    kernel remembers other things.
    """
    with sdpa_kernel(ATTENTION_KERNELS, set_priority=True) if device.type == "cuda" else nullcontext():
        yield
