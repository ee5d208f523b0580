"""PyTorch files are read bit for bit, and whatever else a pickle wants is refused and not executed."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mcld.errors import WeightsError
from mcld.tensors.torch_files import MAX_PICKLE_BYTES, read_pickled_tensors

DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool),
)
WRITERS: dict[str, Callable[[object, Path], None]] = {
    "zip": lambda value, path: torch.save(value, path),
    "zip of protocol 4": lambda value, path: torch.save(value, path, pickle_protocol=4),
    "before 1.6": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
}
EVERY_FORMAT = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def many_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 8, generator=generator)
    return {
        **{str(dtype): (base * 50).to(dtype) for dtype in DTYPES},
        "parameter": nn.Parameter(base + 1),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 5),
        "transposed": base.t(),
        "rows": base[2:4],
        "same storage": base,
        "same tensor": base,
        "steps": base[::2, ::3],
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
    }


@EVERY_FORMAT
def test_what_torch_saves_comes_back_bit_for_bit(
    write: Callable[[object, Path], None], tmp_path: Path
) -> None:
    expected = many_tensors()
    write(expected, tmp_path / "tensors.pth")
    found = read_pickled_tensors(tmp_path / "tensors.pth")
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert _bytes(found[name]) == _bytes(value), name
    assert found["same tensor"].data_ptr() == found["same storage"].data_ptr()


def _bytes(value: Tensor) -> bytes:
    return bytes(value.detach().contiguous().flatten().view(torch.uint8).tolist())


@EVERY_FORMAT
def test_a_modules_state_dict_comes_back_without_its_metadata(
    write: Callable[[object, Path], None], tmp_path: Path
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    write(module.state_dict(), tmp_path / "module.bin")
    assert_equal(read_pickled_tensors(tmp_path / "module.bin"), module.state_dict())


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from(DTYPES),
    order=st.randoms(use_true_random=False),
    first=st.integers(0, 3),
    write=st.sampled_from(list(WRITERS.values())),
)
def test_any_view_comes_back(
    shape: list[int],
    dtype: torch.dtype,
    order: Any,
    first: int,
    write: Callable[[object, Path], None],
    tmp_path: Path,
) -> None:
    value = torch.arange(torch.Size(shape).numel()).to(dtype).reshape(shape)
    axes = list(range(len(shape)))
    order.shuffle(axes)
    value = value.permute(axes)
    value = value[first:] if shape else value
    write({"view": value}, tmp_path / "view.pth")
    assert_equal(read_pickled_tensors(tmp_path / "view.pth"), {"view": value})


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3, "lr": 1e-5, "names": ["a"]},
        lambda state: {"model": OrderedDict(state)},
        lambda state: {"state_dict": {"module": {f"module.{key}": value for key, value in state.items()}}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
    ],
)
def test_what_lies_around_a_state_dict_is_taken_off(
    wrapped: Callable[[dict[str, Tensor]], object], tmp_path: Path
) -> None:
    state = {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2)}
    torch.save(wrapped(state), tmp_path / "wrapped.pth")
    assert_equal(read_pickled_tensors(tmp_path / "wrapped.pth"), state)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": {"a": torch.ones(1)}, "state_dict": {"a": torch.ones(1)}}, r"several dicts"),
        ({"model": {"a": torch.ones(1)}, "a": torch.ones(1)}, r"holds a dict under 'model', not a tensor"),
        ({"a": torch.ones(1), "step": 3}, r"holds 3 under 'step', not a tensor under a name"),
        ([torch.ones(1)], r"holds a list, not a dict of tensors"),
        ({"a": torch.ones(3).expand(4, 3)}, r"'a' is larger than the 3 numbers stored for it"),
        ({"a": torch.ones(3, dtype=torch.complex64)}, r"asks for 'torch.ComplexFloatStorage'"),
        ({"a": torch.eye(3).to_sparse()}, r"asks for 'torch._utils._rebuild_sparse_tensor'"),
        ({"a": torch.zeros(2, dtype=torch.uint16)}, r"asks for 'torch.uint16'"),
        ({"a": nn.Linear(1, 1)}, r"asks for 'torch.nn.modules.linear.Linear', .*not executed"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_a_remedy(value: object, message: str, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=rf"other\.pth: .*{message}.*; use a file of tensors alone"):
        read_pickled_tensors(tmp_path / "other.pth")


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile_values(proof: Path) -> dict[str, object]:
    """Values whose unpickling makes the file `proof`, or would reach for what can."""
    command = f"touch {proof}"
    return {
        "system": Calls(os.system, command),
        "eval": Calls(builtins.eval, f"open({str(proof)!r}, 'w')"),
        "exec": Calls(builtins.exec, f"open({str(proof)!r}, 'w')"),
        "open": Calls(builtins.open, str(proof), "w"),
        "getattr": Calls(Calls(builtins.getattr, os, "system"), command),  # type: ignore[arg-type]
        "popen": Calls(subprocess.Popen, ["touch", str(proof)]),
        "nested": {"state_dict": OrderedDict(a=[torch.ones(1), (Calls(os.system, command),)])},
        "in a parameter": Calls(torch._utils._rebuild_parameter, Calls(os.system, command), True, None),
        "load": Calls(torch.load, str(proof)),
        "counter": collections.Counter("ab"),
    }


@pytest.mark.parametrize("name", hostile_values(Path()))
@EVERY_FORMAT
def test_a_hostile_pickle_is_refused_and_not_executed(
    name: str, write: Callable[[object, Path], None], tmp_path: Path
) -> None:
    proof = tmp_path / "executed"
    path = tmp_path / "hostile.pth"
    if name == "getattr":
        _write_pickle(path, _getattr_program(proof))
    else:
        write({"a": hostile_values(proof)[name]}, path)
    with pytest.raises(WeightsError, match=r"hostile\.pth: its pickle asks for .*it was not executed"):
        read_pickled_tensors(path)
    assert not proof.exists()


def _getattr_program(proof: Path) -> bytes:
    call = f"cbuiltins\ngetattr\n(cos\n__dict__\nVsystem\ntR(Vtouch {proof}\ntR."
    return call.encode()


def _write_pickle(path: Path, program: bytes, *, entries: dict[str, bytes] | None = None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, data in (entries or {}).items():
            archive.writestr(f"archive/{name}", data)


STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"


def tensor_program(*, num_elements: bytes = b"K\x04", rest: bytes = b"K\x00K\x04\x85K\x01\x85\x89}") -> bytes:
    """A pickle of {"a": tensor} with its numbers as given."""
    head = b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n"
    return head + STORAGE % num_elements + rest + b"tRs."


def test_the_hand_made_program_is_a_tensor(tmp_path: Path) -> None:
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    _write_pickle(tmp_path / "a.pth", tensor_program(), entries={"data/0": numbers})
    assert_equal(read_pickled_tensors(tmp_path / "a.pth"), {"a": torch.tensor([1.0, 2.0, 3.0, 4.0])})


def test_a_state_dict_of_python_2_is_read(tmp_path: Path) -> None:
    """Its names are byte strings, and its OrderedDict is handed its items: so are LPIPS's published heads."""
    storage = STORAGE.replace(b"X\x07\x00\x00\x00storage", b"U\x07storage") % b"K\x04"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"K\x00K\x04\x85K\x01\x85\x89}tR"
    program = b"\x80\x02ccollections\nOrderedDict\n](](T\x01\x00\x00\x00a" + tensor + b"ee\x85R."
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    _write_pickle(tmp_path / "a.pth", program, entries={"data/0": numbers})
    assert_equal(read_pickled_tensors(tmp_path / "a.pth"), {"a": torch.tensor([1.0, 2.0, 3.0, 4.0])})


HUGE = b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01"  # LONG1 of 2 ** 64
MILLIONS = b"J\xff\xff\xff\x7f"
PROGRAMS = {
    "more elements than stored": tensor_program(num_elements=MILLIONS),
    "a size beyond the storage": tensor_program(rest=b"K\x00" + MILLIONS + b"\x85K\x01\x85\x89}"),
    "an expanded view of absurd size": tensor_program(rest=b"K\x00" + MILLIONS + b"\x85K\x00\x85\x89}"),
    "a size beyond 64 bits": tensor_program(rest=b"K\x00" + HUGE + b"\x85K\x01\x85\x89}"),
    "an offset beyond the storage": tensor_program(rest=b"K\x03K\x04\x85K\x01\x85\x89}"),
    "a negative offset": tensor_program(rest=b"J\xff\xff\xff\xffK\x04\x85K\x01\x85\x89}"),
    "a negative stride": tensor_program(rest=b"K\x03K\x04\x85J\xff\xff\xff\xff\x85\x89}"),
    "a stride beyond the storage": tensor_program(rest=b"K\x00K\x04\x85K\x02\x85\x89}"),
    "sizes without strides": tensor_program(rest=b"K\x00K\x04\x85)\x89}"),
    "a list for a size": tensor_program(rest=b"K\x00]K\x01\x85\x89}"),
    "an empty tensor of absurd size": tensor_program(
        rest=b"K\x00(K\x00" + MILLIONS * 3 + b"t(K\x01K\x01K\x01K\x01t\x89}"
    ),
    "a conjugate view": tensor_program(rest=b"K\x00K\x04\x85K\x01\x85\x89}}X\x04\x00\x00\x00conj\x88s"),
    "a storage that is not there": tensor_program().replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x009"),
    "a storage above the folder": tensor_program().replace(b"X\x01\x00\x00\x000", b"X\x02\x00\x00\x00.."),
    "attributes of a function": b"\x80\x02ctorch._utils\n_rebuild_parameter\n}X\x04\x00\x00\x00nameK\x01sb.",
    "slots of a tensor": tensor_program()[:-2] + b"N}X\x05\x00\x00\x00shapeK\x01s\x86bs.",
    "a memo of four thousand million": b"\x80\x02}r\xff\xff\xff\xffN.",
    "a string longer than the file": b"\x80\x02\x8d" + struct.pack("<Q", 2**40) + b".",
    "a byte array longer than the file": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "a frame longer than the file": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b".",
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a number of many bits": b"\x80\x02\x8b" + struct.pack("<i", 100_000) + b"\x01" * 100_000 + b".",
    "a deep tuple as a key": b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.",
    "a deep tuple as a persistent id": b"\x80\x02)" + b"\x85" * 100_000 + b"Q.",
    "a deep tuple as a module": b"\x80\x04)" + b"\x85" * 100_000 + b"\x8c\x01a\x93.",
    "an object of ours": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "an OrderedDict of a text": b"\x80\x02ccollections\nOrderedDict\nX\x02\x00\x00\x00ab\x85R.",
    "an OrderedDict of dicts": b"\x80\x02ccollections\nOrderedDict\n](}]K\x01e\x85R.",
    "an instance": b"(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a text persistent id": b"Pwhatever\n.",
    "a call of a tensor": tensor_program()[:-2] + b")Rs.",
    "a dict in itself": b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.",
    "an empty stack": b"\x80\x02.",
    "nothing": b"",
    "no end": b"\x80\x02}",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_absurd_program_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "absurd.pth"
    _write_pickle(path, PROGRAMS[name], entries={"data/0": bytes(16)})
    with pytest.raises(WeightsError, match=r"absurd\.pth: it.*; use a file of tensors alone") as caught:
        read_pickled_tensors(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_archives_that_torch_does_not_write_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    numbers = {"data/0": bytes(16)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_program())
    with pytest.raises(WeightsError, match=r"'archive/data.pkl' is compressed"):
        read_pickled_tensors(path)
    _write_pickle(path, tensor_program(), entries=numbers | {"constants.pkl": b"."})
    with pytest.raises(WeightsError, match=r"a zip archive, but not one of torch\.save"):
        read_pickled_tensors(path)
    _write_pickle(path, tensor_program(), entries=numbers | {"byteorder": b"big"})
    with pytest.raises(WeightsError, match=r"a machine of the other byte order"):
        read_pickled_tensors(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_program())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", PROGRAMS["an instance"])
    with pytest.raises(WeightsError, match=r"'archive/data.pkl' is there twice"):
        read_pickled_tensors(path)
    _write_pickle(path, b"(" * (MAX_PICKLE_BYTES + 1))
    with pytest.raises(WeightsError, match=r"its pickle has 4194305 bytes, more than 4194304"):
        read_pickled_tensors(path)


def test_a_missing_file_and_a_foreign_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pth: not found"):
        read_pickled_tensors(tmp_path / "nothing.pth")
    for data in (b"", b"hello", b"\x80", b"\x80\x02}.", pickle.dumps([1])):
        (tmp_path / "foreign.pth").write_bytes(data)
        with pytest.raises(WeightsError, match=r"foreign\.pth: it.*; use a file of tensors alone"):
            read_pickled_tensors(tmp_path / "foreign.pth")


@EVERY_FORMAT
def test_a_file_cut_off_anywhere_is_refused_in_one_sentence(
    write: Callable[[object, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "cut.pth"
    write({"a": torch.arange(10.0), "b": torch.arange(5)}, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"^[^\n]*cut\.pth: it[^\n]*$"):
            read_pickled_tensors(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    write=st.sampled_from(list(WRITERS.values())),
)
def test_a_flipped_byte_gives_tensors_or_one_sentence(
    position: int, byte: int, write: Callable[[object, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "flipped.pth"
    write({"a": torch.arange(10.0), "b": torch.arange(5)}, path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = byte
    path.write_bytes(bytes(data))
    try:
        found = read_pickled_tensors(path)
    except WeightsError as error:
        assert "\n" not in str(error)
    else:
        assert all(value.numel() <= 10 for value in found.values())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.binary(max_size=60))
def test_any_bytes_in_the_place_of_the_pickle_give_tensors_or_one_sentence(
    program: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "random.pth"
    _write_pickle(path, program, entries={"data/0": bytes(16)})
    try:
        read_pickled_tensors(path)
    except WeightsError as error:
        assert "\n" not in str(error)


def test_numbers_stay_in_the_file_until_they_are_used(tmp_path: Path) -> None:
    num_bytes = 64 << 20
    torch.save({"big": torch.ones(num_bytes // 4)}, tmp_path / "big.pth")
    before = resident_bytes()
    found = read_pickled_tensors(tmp_path / "big.pth")["big"]
    assert found.nbytes == num_bytes
    assert resident_bytes() - before < num_bytes // 4
    assert found.sum() == num_bytes // 4


def resident_bytes() -> int:
    """Memory of this process that is really there."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_changing_a_tensor_does_not_change_the_file(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "a.pth")
    before = (tmp_path / "a.pth").read_bytes()
    read_pickled_tensors(tmp_path / "a.pth")["a"].fill_(1)
    assert (tmp_path / "a.pth").read_bytes() == before
