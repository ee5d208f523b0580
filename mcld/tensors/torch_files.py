"""Read the tensors of a PyTorch file (`.pth`, `.bin`) without executing the pickle in it.

Both formats that `torch.save` has written since 2017: a zip archive (PyTorch 1.6 and later) and a row of
pickles followed by raw numbers. Either way the numbers stay in the file, mapped into memory when used, and
every tensor is checked against the bytes that are really there.

Public: `read_pickled_tensors(path)`.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from mcld.errors import WeightsError
from mcld.tensors.pickle_program import UnsafePickleError, shown
from mcld.tensors.torch_pickle import Interpreted, StorageReference, StoredTensor, interpret

MAX_PICKLE_BYTES = 4 << 20  # the pickle of a full-size state dict takes 0.1 MB; the numbers lie outside it
MAX_WRAPPERS = 3
WRAPPERS = ("state_dict", "model", "module")
PARALLEL_PREFIX = "module."  # DistributedDataParallel puts it before every name
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, length of the name, length of the extra field
ENCRYPTED = 1
ALIGNMENT_BYTES = 8
MAX_DIMENSIONS = 64
MAX_LENGTH = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Region:
    """Where a storage's bytes lie in the file."""

    start: int
    num_bytes: int


def read_pickled_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name, on the CPU; their numbers are read from the file when used.

    A dict around it (`state_dict`, `model`, `module`) and a `module.` before every name are taken off.
    Raises WeightsError naming what is wrong, also for anything that a state dict has no need of.
    """
    try:
        with path.open("rb") as file:
            interpreted, regions = _read_zip(file) if _is_zip(file) else _read_legacy(file)
        return _tensors(path, stored=_state_dict(interpreted.value), regions=regions)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: not found") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}); copy it again") from error
    except UnsafePickleError as error:
        raise WeightsError(
            f"{path}: {error}; use a file of tensors alone: a .safetensors file, or what "
            "torch.save(model.state_dict(), …) writes, copied whole"
        ) from error


def _is_zip(file: BinaryIO) -> bool:
    magic = file.read(len(ZIP_MAGIC))
    file.seek(0)
    return magic == ZIP_MAGIC


def _read_zip(file: BinaryIO) -> tuple[Interpreted, dict[str, _Region]]:
    """The pickle `data.pkl`, and the entries `data/<key>`, each a storage."""
    entries = _zip_entries(file)
    pickle = entries.get("data.pkl")
    if pickle is None or "constants.pkl" in entries:
        raise UnsafePickleError("it is a zip archive, but not one of torch.save")
    if pickle.num_bytes > MAX_PICKLE_BYTES:
        raise UnsafePickleError(f"its pickle has {pickle.num_bytes} bytes, more than {MAX_PICKLE_BYTES}")
    byte_order = (
        _bytes_at(file, entries["byteorder"]).decode("latin-1") if "byteorder" in entries else "little"
    )
    _check_byte_order(is_little=byte_order == "little")
    interpreted = interpret(io.BytesIO(_bytes_at(file, pickle)))
    regions = {}
    for key, reference in interpreted.storages.items():
        region = entries.get(f"data/{key}")
        if region is None or region.num_bytes != _num_bytes(reference):
            found = "missing" if region is None else f"{region.num_bytes} bytes long"
            raise UnsafePickleError(f"its storage {shown(key)} is {found}, not {_num_bytes(reference)} bytes")
        regions[key] = region
    return interpreted, regions


def _zip_entries(file: BinaryIO) -> dict[str, _Region]:
    """Where each entry's bytes are, by name below the archive's one folder."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise UnsafePickleError("it is damaged or cut off") from error
    file_bytes = file.seek(0, io.SEEK_END)
    entries: dict[str, _Region] = {}
    for info in infos:
        _, _, name = info.filename.partition("/")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED:
            raise UnsafePickleError(f"its entry {shown(info.filename)} is compressed or encrypted")
        if name in entries:
            raise UnsafePickleError(f"its entry {shown(info.filename)} is there twice")
        entries[name] = _region_of(file, info=info, file_bytes=file_bytes)
    return entries


def _region_of(file: BinaryIO, *, info: zipfile.ZipInfo, file_bytes: int) -> _Region:
    file.seek(min(max(info.header_offset, 0), file_bytes))
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(ZIP_MAGIC):
        raise UnsafePickleError(f"its entry {shown(info.filename)} is damaged")
    _, name_length, extra_length = LOCAL_HEADER.unpack(header)
    start = info.header_offset + LOCAL_HEADER.size + name_length + extra_length
    if start + info.file_size > file_bytes:
        raise UnsafePickleError(f"its entry {shown(info.filename)} is cut off")
    return _Region(start=start, num_bytes=info.file_size)


def _bytes_at(file: BinaryIO, region: _Region) -> bytes:
    file.seek(region.start)
    return file.read(min(region.num_bytes, MAX_PICKLE_BYTES))


def _read_legacy(file: BinaryIO) -> tuple[Interpreted, dict[str, _Region]]:
    """Five pickles (magic number, protocol, system, value, storage keys), then the storages in a row."""
    head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    if not head.getvalue().startswith(PICKLE_MAGIC) or interpret(head).value != LEGACY_MAGIC:
        raise UnsafePickleError("it is no PyTorch file of weights")
    protocol, system = interpret(head).value, interpret(head).value
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise UnsafePickleError(f"its format is {shown(protocol)}, not {LEGACY_PROTOCOL}")
    _check_byte_order(is_little=system.get("little_endian") is True)
    interpreted = interpret(head)
    keys = _names(interpret(head).value)
    if sorted(keys) != sorted(interpreted.storages):
        raise UnsafePickleError("its list of storages does not fit its tensors")
    return interpreted, _legacy_regions(file, start=head.tell(), keys=keys, storages=interpreted.storages)


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UnsafePickleError("its list of storages is damaged")
    return value


def _legacy_regions(
    file: BinaryIO, *, start: int, keys: list[str], storages: Mapping[str, StorageReference]
) -> dict[str, _Region]:
    """Each storage is its number of elements (8 bytes), then its bytes."""
    file_bytes = file.seek(0, io.SEEK_END)
    regions = {}
    for key in keys:
        reference = storages[key]
        file.seek(start)
        num_elements = int.from_bytes(file.read(8), "little")
        region = _Region(start=start + 8, num_bytes=_num_bytes(reference))
        start = region.start + region.num_bytes
        if num_elements != reference.num_elements or start > file_bytes:
            raise UnsafePickleError(f"its storage {shown(key)} is damaged or cut off")
        regions[key] = region
    return regions


def _num_bytes(reference: StorageReference) -> int:
    return reference.num_elements * (reference.dtype.itemsize if reference.dtype else 1)


def _check_byte_order(*, is_little: bool) -> None:
    if is_little != (sys.byteorder == "little"):
        raise UnsafePickleError("it was written on a machine of the other byte order: save it on this one")


def _state_dict(value: object) -> dict[str, StoredTensor]:
    """The dict of tensors, out of what may lie around it."""
    for _ in range(MAX_WRAPPERS):
        if isinstance(value, dict) and not any(isinstance(item, StoredTensor) for item in value.values()):
            inside = [key for key in WRAPPERS if isinstance(value.get(key), dict)]
            if len(inside) > 1:
                raise UnsafePickleError(
                    f"it holds several dicts ({', '.join(inside)}): save the one that counts"
                )
            value = value[inside[0]] if inside else value
    if not isinstance(value, dict):
        raise UnsafePickleError(f"it holds {shown(value)}, not a dict of tensors")
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, StoredTensor):
            raise UnsafePickleError(f"it holds {shown(item)} under {shown(key)}, not a tensor under a name")
    if value and all(key.startswith(PARALLEL_PREFIX) for key in value):
        return {key.removeprefix(PARALLEL_PREFIX): item for key, item in value.items()}
    return value


def _tensors(
    path: Path, *, stored: Mapping[str, StoredTensor], regions: Mapping[str, _Region]
) -> dict[str, Tensor]:
    # Private mapping: pages are read when touched, and no tensor's change ever reaches the file.
    whole = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
    assert isinstance(whole, torch.UntypedStorage)
    storages: dict[str, torch.UntypedStorage] = {}
    tensors = {}
    for name, tensor in stored.items():
        key, region = tensor.storage.key, regions[tensor.storage.key]
        size, stride, offset = _checked_view(tensor, name=name, num_bytes=region.num_bytes)
        if key not in storages:
            storages[key] = _storage(whole, region=region)
        tensors[name] = torch.empty(0, dtype=tensor.dtype).set_(storages[key], offset, size, stride)
    return tensors


def _storage(whole: torch.UntypedStorage, *, region: _Region) -> torch.UntypedStorage:
    if region.num_bytes == 0:
        return torch.UntypedStorage(0)
    part = whole[region.start : region.start + region.num_bytes]
    assert isinstance(part, torch.UntypedStorage)
    # Numbers that do not begin at a multiple of their size cannot be used in place.
    return part.clone() if region.start % ALIGNMENT_BYTES else part


def _checked_view(
    tensor: StoredTensor, *, name: str, num_bytes: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Size, stride and offset of a view that lies within its storage and is not larger than it."""
    size, stride, offset = tensor.size, tensor.stride, tensor.offset
    if not _are_lengths(size) or not _are_lengths(stride) or not _are_lengths((offset,)):
        raise UnsafePickleError(f"its tensor {shown(name)} has no usable size")
    assert isinstance(size, tuple)
    assert isinstance(stride, tuple)
    assert isinstance(offset, int)
    num_stored = num_bytes // tensor.dtype.itemsize
    if 0 in size and len(size) == len(stride) and math.prod(filter(None, size)) < MAX_LENGTH:
        return size, stride, 0  # no number is read, wherever the view begins
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=False))
    if len(size) != len(stride) or last >= num_stored or math.prod(size) > num_stored:
        raise UnsafePickleError(
            f"its tensor {shown(name)} is larger than the {num_stored} numbers stored for it"
        )
    return size, stride, offset


def _are_lengths(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= MAX_DIMENSIONS
        and all(type(value) is int and 0 <= value < MAX_LENGTH for value in values)
    )
