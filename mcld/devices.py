"""Where tensors live: pick a device once, and move frozen values of tensors to it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from mcld.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from _typeshed import DataclassInstance

    from mcld.types import Precision

    Value = TypeVar("Value", bound=DataclassInstance)

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


def visible_device_ids() -> tuple[str, ...]:
    """The GPUs that PyTorch sees, each as a value of CUDA_VISIBLE_DEVICES that shows it alone."""
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get(VISIBLE_DEVICES, "")
    names = given.split(",") if given else [str(index) for index in range(count)]
    return tuple(names[:count])


def pick_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The first GPU if there is one and it is not forbidden, else the CPU.

    Raises ConfigError when a GPU is asked for and there is none.
    """
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("runtime.device: 'cuda' is asked for, but PyTorch sees no GPU; use 'auto' or 'cpu'")
    return torch.device("cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda")


def dtype_of(precision: Precision) -> torch.dtype:
    """PyTorch's name of a precision."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def precision_of(dtype: torch.dtype) -> Precision:
    """A precision by PyTorch's name of it. Raises ConfigError for one in which no model computes."""
    import torch

    names: dict[torch.dtype, Precision] = {
        torch.float32: "float32",
        torch.bfloat16: "bfloat16",
        torch.float16: "float16",
    }
    if dtype not in names:
        raise ConfigError(f"dtype: {dtype} is none in which models compute; use {', '.join(names.values())}")
    return names[dtype]


@contextmanager
def fitting_in_memory(setting: str, *, value: int) -> Iterator[None]:
    """Within it, running out of memory is a ConfigError naming the setting of how much is done at once."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = str(error).partition("\n")[0] or "out of memory"
        raise ConfigError(
            f"{setting}: {value} at once do not fit into memory ({reason}); lower it and repeat the command: "
            "finished parts are kept"
        ) from error


def on_device(value: Value, *, device: torch.device) -> Value:
    """A copy of a dataclass whose tensors are on `device`; other fields are shared.

    Pinned tensors go to a GPU in the background: do not write to them afterwards.
    """
    import torch

    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    moved = {
        name: item.to(device, non_blocking=device.type == "cuda")
        for name, item in fields.items()
        if isinstance(item, torch.Tensor)
    }
    return dataclasses.replace(value, **moved)
