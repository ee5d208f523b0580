"""Files of tensors, whatever their format: safetensors and PyTorch's pickles.

Public: `read_tensors(paths)`, `read_safetensors(path)`, `write_tensors(path, *, state)`, `check_fit`. Reading
maps the file into memory: bytes are read when used, so that looking at names and shapes costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mcld.errors import WeightsError
from mcld.tensors.torch_files import read_pickled_tensors

SAFETENSORS = ".safetensors"
PICKLED = (".pth", ".bin", ".pt")
LFS_POINTER = b"version https://git-lfs"
NUM_NAMES_SHOWN = 3


def read_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """All tensors of a file, or of a file's shards, on the CPU. Raises WeightsError naming the file."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        _refuse_pointer(path)
        found = read_safetensors(path) if path.suffix == SAFETENSORS else read_pickled_tensors(path)
        for name in tensors.keys() & found.keys():
            raise WeightsError(f"{path}: '{name}' is in another shard too; copy the folder again")
        tensors |= found
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU; a missing or damaged file is a WeightsError."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: not found; the folder is incomplete, copy or save it again") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a readable safetensors file ({error}); copy or save it again"
        ) from error


def write_tensors(path: Path, *, state: Mapping[str, Tensor]) -> None:
    """Write a safetensors file. Tensors that share numbers are written apart, as the format wants."""
    owners: set[int] = set()
    apart = {}
    for name, value in state.items():
        plain = value.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        is_whole = storage.nbytes() == plain.nbytes and storage.data_ptr() not in owners
        apart[name] = plain if is_whole else plain.clone()
        owners.add(storage.data_ptr())
    save_file(apart, path, metadata={"format": "pt"})


def check_fit(state: Mapping[str, Tensor], *, wanted: Mapping[str, Tensor], place: str, remedy: str) -> None:
    """Raises WeightsError with the first keys that are missing, unexpected, or of another shape or kind."""
    problems = [f"'{key}' is missing" for key in wanted if key not in state]
    problems += [f"'{key}' is unexpected" for key in state if key not in wanted]
    for key, value in wanted.items():
        if key in state and state[key].shape != value.shape:
            problems.append(f"'{key}' has shape {tuple(state[key].shape)}, expected {tuple(value.shape)}")
        elif key in state and value.is_floating_point() and not state[key].is_floating_point():
            problems.append(f"'{key}' holds {state[key].dtype}, expected floating-point numbers")
    if problems:
        more = f" and {len(problems) - NUM_NAMES_SHOWN} more" if len(problems) > NUM_NAMES_SHOWN else ""
        raise WeightsError(
            f"{place}: does not fit this model: {'; '.join(problems[:NUM_NAMES_SHOWN])}{more}; {remedy}"
        )


def _refuse_pointer(path: Path) -> None:
    """A clone without Git LFS has a few lines of text in the place of each big file."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise WeightsError(
                    f"{path}: is a Git LFS pointer, not the weights; run 'git lfs pull' where it came from"
                )
