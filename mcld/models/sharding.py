"""Which modules of a model FSDP2 can shard, and a function that shards a model by them.

FSDP2 gathers a module's weights when its forward begins and frees them when it ends. A UNet's own blocks are
never called here: the walk calls their layers, and the projections of an attention also serve outside its
forward. Such modules cannot be groups; their weights belong to the whole denoiser or ReferenceNet around
them, which is called.

    average = MovingAverage(model, decay=0.999)                  # first: a sharded model cannot be copied
    mesh = init_device_mesh("cuda", (num_ranks,))
    shard(model, mesh=mesh); shard(average.average, mesh=mesh)   # then the optimiser
"""

from __future__ import annotations

from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from mcld.models.mcld import MCLD
from mcld.models.unet_walk import named_blocks, unet_steps


def shardable_modules(model: MCLD) -> list[nn.Module]:
    """The groups of weights to gather together, inner ones first; `fully_shard` each, in this order.

    Weights that need no gradient may share a group with others: FSDP2, unlike FSDP1, reduces by parameter.
    """
    modules = _layers(model.denoiser.unet)
    networks: list[nn.Module | None] = [model.denoiser, model.pose_guider, model.face_projector]
    if model.reference_net is not None:
        modules += _layers(model.reference_net.unet)
        networks.append(model.reference_net)
    return [*modules, *(network for network in networks if network is not None), model]


def shard(model: MCLD, *, mesh: DeviceMesh, policy: MixedPrecisionPolicy | None = None) -> None:
    """Replace the weights by this rank's share of them, in place; training and sampling work as before.

    `mesh` has one dimension, the ranks. Every rank must call the model as often as the others do. `policy`
    says in which precision weights are gathered and gradients added up; by default in their own.
    """
    for module in shardable_modules(model):
        fully_shard(module, mesh=mesh, mp_policy=policy or MixedPrecisionPolicy())
    for module, names in ((model, ("prepare", "denoise")), (model.denoiser, ("project", "denoise"))):
        for name in names:
            register_fsdp_forward_method(module, name)


def gathered(model: MCLD) -> MCLD:
    """A model with whole weights: itself, or of a sharded one a copy on the CPU.

    Every rank must call it; only the first one's copy has the weights.
    """
    if not isinstance(model, FSDPModule):
        return model
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=options)
    whole = MCLD(model.config)
    if state:
        whole.load_state_dict(state)
    return whole


def _layers(unet: UNet2DConditionModel) -> list[nn.Module]:
    """Resnets, samplers and feed-forward networks: 85 % of a UNet's weights at SD-1.5 size."""
    steps = [step.module for step in unet_steps(unet) if not isinstance(step.module, Transformer2DModel)]
    called = [module.conv if isinstance(module, Upsample2D) else module for module in steps]
    return [*called, *(block.ff for _, block in named_blocks(unet))]
