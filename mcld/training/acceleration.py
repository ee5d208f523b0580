"""Make the same training faster: memory layout, compiled modules and attention kernels. Numbers stay.

The layout and the kernels change rounding only; what was measured stands in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from mcld.config import RuntimeParams
from mcld.errors import ConfigError
from mcld.models import MCLD

# cuDNN's attention first: on Hopper it took 0.6 of the time of PyTorch's flash kernels (docs/log.md).
ATTENTION_KERNELS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
# Without it 150 of 220 copies of convolution kernels were left in a step (docs/log.md).
COMPILE_OPTIONS: dict[str, str | int | bool] = {"force_layout_optimization": True}


def make_fast(
    model: MCLD, *, runtime: RuntimeParams, device: torch.device, keeps_layout: bool = False
) -> None:
    """What training on `device` gains from; compiling takes minutes first, so it is asked for.

    `keeps_layout`: weights must stay as they are in memory, as for FSDP2. Raises ConfigError for graphs
    without the compiler.
    """
    if runtime.cuda_graphs and not runtime.compile:
        raise ConfigError(
            "runtime.cuda_graphs: graphs are made by the compiler; set runtime.compile to true as well"
        )
    if device.type == "cuda" and not keeps_layout:
        use_channels_last(model)
    if runtime.compile:
        compile_parts(model, cuda_graphs=runtime.cuda_graphs)


def use_channels_last(model: MCLD) -> None:
    """Store convolution kernels channels last, as convolutions of half precision and the CPU's want them."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it


def compile_parts(model: MCLD, *, cuda_graphs: bool = False) -> None:
    """Let torch.compile have each network whole; the choice of rows between them stays in Python.

    `cuda_graphs`: launch a network's kernels at once; a graph is kept for every number of rows that is met.
    """
    options = {**COMPILE_OPTIONS, **({"triton.cudagraphs": True} if cuda_graphs else {})}
    for network in (model.denoiser, model.reference_net, model.pose_guider, model.face_projector):
        if network is not None:
            network.compile(options=options)


@contextmanager
def fast_attention(device: torch.device) -> Iterator[None]:
    """Within it, attention on a GPU prefers the kernels that are fastest there.

    Hold it over the backward pass as well: gradient checkpointing attends anew there, and refuses if another
    kernel remembers other things.
    """
    with sdpa_kernel(ATTENTION_KERNELS, set_priority=True) if device.type == "cuda" else nullcontext():
        yield
