"""The network's weights: turn the published pickle into safetensors once, and load that.

The published file is detectron2's `densepose_rcnn_R_101_FPN_DL_s1x` (`model_final_844d15.pkl`, CC BY-SA 3.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcld.conditions.densepose.network import DensePoseNetwork, fuse_norms
from mcld.errors import WeightsError
from mcld.storage import atomic_path
from mcld.tensors.files import check_fit, read_safetensors, write_tensors
from mcld.tensors.numpy_files import read_pickled_arrays

PICKLED = ".pkl"
REMEDY = "use model_final_844d15.pkl of detectron2's densepose_rcnn_R_101_FPN_DL_s1x"

IMPORT_REMEDY = "run `mcld weights import-densepose`"


def empty_network() -> DensePoseNetwork:
    """The network without numbers: names and shapes only, on the meta device."""
    with torch.device("meta"):
        return DensePoseNetwork().eval().requires_grad_(False)


def import_densepose(source: Path, *, out_path: Path) -> list[str]:
    """Write the weights of the published pickle as safetensors, float32; returns the names left out.

    Old files also hold anchors and pixel means, which are no weights. Raises WeightsError, and then nothing
    is written, when a weight is missing, of another shape, or no number.
    """
    arrays = read_pickled_arrays(source)
    state = weights_of(arrays, place=str(source))
    with atomic_path(out_path) as temporary:
        write_tensors(temporary, state=state)
    return [name for name in arrays if name not in state]


def weights_of(arrays: Mapping[str, np.ndarray], *, place: str) -> dict[str, Tensor]:
    """The network's weights among `arrays`, float32. `place` is where they came from.

    Raises WeightsError when one is missing, of another shape, or no number.
    """
    wanted = empty_network().state_dict()
    state = {name: _tensor(array) for name, array in arrays.items() if name in wanted}
    check_fit(state, wanted=wanted, place=place, remedy=REMEDY)
    _check_finite(state, place=place)
    return state


def check_weights_file(path: Path) -> None:
    """Look at names and shapes alone, which costs nothing. Raises WeightsError as `load_densepose` does."""
    if path.suffix == PICKLED:
        raise WeightsError(
            f"{path}: is a pickle; `import_densepose` makes safetensors of it, which load here"
        )
    wanted = empty_network().state_dict()
    check_fit(read_safetensors(path), wanted=wanted, place=str(path), remedy=IMPORT_REMEDY)


def load_densepose(
    path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> DensePoseNetwork:
    """The network for inference with the weights that `import_densepose` wrote. Raises WeightsError."""
    check_weights_file(path)
    return network_of(read_safetensors(path), place=str(path), device=device, dtype=dtype)


def network_of(
    state: dict[str, Tensor],
    *,
    place: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> DensePoseNetwork:
    """The network for inference, channels last. `place` is where the weights came from."""
    network = empty_network()
    check_fit(state, wanted=network.state_dict(), place=place, remedy=IMPORT_REMEDY)
    network.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    network.requires_grad_(False)
    if (
        dtype != torch.float32
    ):  # there it saves a rounding; in float32 it doubles the distance from detectron2
        fuse_norms(network)
    network.to(device=device, dtype=dtype)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it
    return network


def _tensor(array: np.ndarray) -> Tensor:
    """A copy: the array is a view of the file's bytes, which nobody may write to."""
    value = torch.from_numpy(array.copy())
    return value.float() if value.is_floating_point() else value


def _check_finite(state: dict[str, Tensor], *, place: str) -> None:
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise WeightsError(f"{place}: '{name}' holds NaN or infinity: the file is damaged; {REMEDY}")
