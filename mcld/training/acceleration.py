"""Make the same training faster: memory layout and compiled modules. Numbers stay."""

from __future__ import annotations

import torch

from mcld.config import RuntimeParams
from mcld.errors import ConfigError
from mcld.models import MCLD
from mcld.models.acceleration import compile_options, use_channels_last


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


def compile_parts(model: MCLD, *, cuda_graphs: bool = False) -> None:
    """Let torch.compile have each network whole; the choice of rows between them stays in Python.

    `cuda_graphs`: a graph is kept for every number of rows that is met.
    """
    options = compile_options(cuda_graphs=cuda_graphs)
    for network in (model.denoiser, model.reference_net, model.pose_guider, model.face_projector):
        if network is not None:
            network.compile(options=options)
