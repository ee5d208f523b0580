"""What a training step keeps in memory besides weights, gradients and optimisers, found on shapes alone.

One step runs on the meta device, and every tensor is counted from its making to its end. Two things differ
there from a GPU, and are put right: `torch.autocast` does nothing on the meta device, and attention would
write down its whole matrix of weights. What comes out is of eager training. Beside a full-size model it was
within 1 % of what an H200 used (docs/scale.md). A compiled step keeps less.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mcld.models import ModelConfig
from mcld.training.flops import meta_inputs, meta_model

# What autocast on CUDA does in half precision, and what in full, of all that MCLD calls.
HALVED = frozenset({F.linear, F.conv2d, torch.matmul, torch.bmm, torch.baddbmm, torch.addmm})
FULL = frozenset({F.group_norm, F.layer_norm, F.softmax})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Peak bytes of a step of n rows are `constant + n * per_row`, besides weights and gradients.

    The constant is mostly the copy of the weights in half precision. `num_operations` is how many kernels a
    step of eager PyTorch starts, about.
    """

    constant: int
    per_row: int
    num_operations: int

    def of(self, num_rows: int) -> int:
        """Bytes of a step of so many rows, all of which have a reference."""
        return self.constant + num_rows * self.per_row


@lru_cache(maxsize=16)
def step_memory(
    config: ModelConfig,
    *,
    latent_hw: tuple[int, int],
    texture_hw: tuple[int, int],
    half: bool,
    checkpointing: bool,
) -> StepMemory:
    """What a step keeps, from a step of one row and one of two; a few seconds, then remembered.

    `half` is bfloat16 autocast over float32 weights, `checkpointing` is gradient checkpointing.
    """
    one, two = (
        _track(
            config,
            num_rows=rows,
            latent_hw=latent_hw,
            texture_hw=texture_hw,
            half=half,
            checkpointing=checkpointing,
        )
        for rows in (1, 2)
    )
    per_row = two.peak_bytes - one.peak_bytes
    return StepMemory(
        constant=max(0, one.peak_bytes - per_row), per_row=per_row, num_operations=one.num_operations
    )


def _track(
    config: ModelConfig,
    *,
    num_rows: int,
    latent_hw: tuple[int, int],
    texture_hw: tuple[int, int],
    half: bool,
    checkpointing: bool,
) -> _Tracker:
    model = meta_model(config)
    model.set_gradient_checkpointing(checkpointing)
    tracker = _Tracker()
    for parameter in model.parameters():
        tracker.leave_out(parameter)
        if parameter.requires_grad:
            # As after an earlier step or piece: what is added to it is no new memory for long.
            parameter.grad = torch.empty_like(parameter)
            tracker.leave_out(parameter.grad)
    latent, timestep, conditions = meta_inputs(
        config, num_rows=num_rows, latent_hw=latent_hw, texture_hw=texture_hw
    )
    gpu = _AsOnGpu(half=half)
    with tracker:
        with gpu:
            loss = model(latent, timestep_B=timestep, conditions=conditions).float().sum()
        gpu.forget_weights()
        with gpu:  # gradient checkpointing runs parts of the forward pass again
            # What torch.autograd.backward calls. That itself is handed to the mode, which is off within.
            torch.autograd.Variable._execution_engine.run_backward(
                (loss,),
                (torch.ones_like(loss),),
                False,
                False,
                (),
                allow_unreachable=True,
                accumulate_grad=True,
            )
    return tracker


class _AsOnGpu(TorchFunctionMode):
    """Casts as autocast does on CUDA, and attends with a kernel that keeps no matrix of weights."""

    def __init__(self, *, half: bool) -> None:
        super().__init__()
        self._half = half
        self._weights: dict[int, Tensor] | None = {}  # None: none are kept, as behind autocast's end

    def forget_weights(self) -> None:
        """Let go of the halved weights; what the backward pass needs of them stays with the graph."""
        self._weights = None

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        if function is F.scaled_dot_product_attention:
            query, key, value = (self._halved(token) for token in args)
            return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]
        if function in HALVED:
            args = tuple(self._halved(item) for item in args)
            named = {name: self._halved(item) for name, item in named.items()}
        elif function in FULL:
            args = tuple(item.float() if _is_half(item) else item for item in args)
        return function(*args, **named)

    def _halved(self, item: object) -> object:
        if not self._half or not isinstance(item, Tensor) or item.dtype != torch.float32:
            return item
        # Autocast remembers the halved copies of weights that are trained, until it ends.
        if self._weights is None or not isinstance(item, nn.Parameter) or not item.requires_grad:
            return item.to(torch.bfloat16)
        if id(item) not in self._weights:
            self._weights[id(item)] = item.to(torch.bfloat16)
        return self._weights[id(item)]


class _Tracker(TorchDispatchMode):
    """Counts the bytes of every storage that is made within, while it lives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[int, int] = {}
        self._bytes = 0
        self.peak_bytes = 0
        self.num_operations = 0

    def leave_out(self, tensor: Tensor) -> None:
        """Do not count what is there already, even where an operation returns it."""
        self._live[tensor.untyped_storage()._cdata] = 0

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        result = function(*args, **(kwargs or {}))
        self.num_operations += 1
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._live:
            self._live[key] = storage.nbytes()
            self._bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self._bytes)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self._bytes -= self._live.pop(key)


def _is_half(item: object) -> bool:
    return isinstance(item, Tensor) and item.dtype == torch.bfloat16
