"""Pickled dicts of arrays are read bit for bit; whatever else a pickle wants is refused, not executed."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcld.errors import WeightsError
from mcld.tensors.numpy_files import read_pickled_arrays

EVERY_PROTOCOL = pytest.mark.parametrize("protocol", [3, 4, 5])


def many_arrays() -> dict[str, np.ndarray]:
    base = np.random.default_rng(0).normal(size=(6, 8))
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
    shared = base.astype("f4")
    return {
        **{kind: (base * 50).astype(kind) for kind in kinds},
        "scalar": np.array(3.5, "f4"),
        "empty": np.zeros((0, 5), "f4"),
        "columns first": np.asfortranarray(base),
        "steps": base[::2, ::3],
        "nan": np.array([np.nan, -0.0, np.inf]),
        "same": shared,
        "same again": shared,
    }


def write(path: Path, value: object, *, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@EVERY_PROTOCOL
@pytest.mark.parametrize(
    "wrap", [dict, lambda arrays: {"model": arrays, "__author__": "somebody"}, OrderedDict]
)
def test_arrays_come_back_bit_for_bit(wrap: Any, protocol: int, tmp_path: Path) -> None:
    expected = many_arrays()
    found = read_pickled_arrays(write(tmp_path / "a.pkl", wrap(expected), protocol=protocol))
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


@EVERY_PROTOCOL
def test_files_of_older_numpy_are_read(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.arange(4.0)}, protocol=protocol)
    renamed = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    renamed = renamed.replace(b"numpy._core.numeric", b"numpy.core.numeric")
    if protocol > 3:  # names carry their length there, and frames theirs
        renamed = renamed.replace(b"\x8c\x16numpy.core.m", b"\x8c\x15numpy.core.m")
        renamed = renamed.replace(b"\x8c\x13numpy.core.n", b"\x8c\x12numpy.core.n")
    (tmp_path / "a.pkl").write_bytes(renamed)
    assert read_pickled_arrays(tmp_path / "a.pkl")["a"].tolist() == [0.0, 1.0, 2.0, 3.0]


class Calls:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    for value in (
        Calls(os.system, f"touch {proof}"),
        {"model": {"a": Calls(eval, f"open({str(proof)!r}, 'w')")}},
        {"model": {"a": np.array([Calls(os.system, f"touch {proof}")], dtype=object)}},
    ):
        path = write(tmp_path / "hostile.pkl", value)
        with pytest.raises(WeightsError, match=r"hostile\.pkl: its pickle .*; use a dict of arrays"):
            read_pickled_arrays(path)
        assert not proof.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": {"a": 3}}, r"it holds 3 under 'a', not an array under a name"),
        ({"model": {1: np.zeros(1)}}, r"under 1, not an array"),
        ([np.zeros(2)], r"it holds a list, not a dict of arrays"),
        ({}, r"it holds a dict, not a dict of arrays"),
        ({"a": np.zeros(2, "c8")}, r"an array of 'c8', not of plain numbers"),
        ({"a": np.zeros(2, "O")}, r"an array of 'O8', not of plain numbers"),
        ({"a": np.zeros(2, ">f4")}, r"a machine of the other byte order"),
        ({"a": np.float32(3)}, r"asks for 'numpy\._core\.multiarray\.scalar', .* not executed"),
    ],
)
def test_what_is_no_dict_of_arrays_is_refused(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"other\.pkl: .*{message}.*; use a dict of arrays"):
        read_pickled_arrays(write(tmp_path / "other.pkl", value))


def test_an_array_of_another_size_than_its_bytes_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.zeros((3, 5), "u1")}, protocol=4)
    (tmp_path / "a.pkl").write_bytes(data.replace(b"K\x03K\x05\x86", b"K\x7fK\x05\x86"))
    with pytest.raises(WeightsError, match=r"its array of shape \(127, 5\) has 15 bytes: it is damaged"):
        read_pickled_arrays(tmp_path / "a.pkl")


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pkl: not found"):
        read_pickled_arrays(tmp_path / "nothing.pkl")
    (tmp_path / "empty.pkl").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"empty\.pkl: it is empty; use"):
        read_pickled_arrays(tmp_path / "empty.pkl")


@EVERY_PROTOCOL
def test_a_file_cut_off_anywhere_is_refused_in_one_sentence(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    whole = pickle.dumps({"model": {"a": np.arange(10.0), "b": np.arange(5)}}, protocol=protocol)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"^[^\n]*cut\.pkl: it[^\n]*$"):
            read_pickled_arrays(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), protocol=st.sampled_from([3, 4, 5]))
def test_a_flipped_byte_gives_arrays_or_one_sentence(
    position: int, byte: int, protocol: int, tmp_path: Path
) -> None:
    data = bytearray(pickle.dumps({"a": np.arange(10.0), "b": np.arange(5)}, protocol=protocol))
    data[position % len(data)] = byte
    path = tmp_path / "flipped.pkl"
    path.write_bytes(bytes(data))
    try:
        found = read_pickled_arrays(path)
    except WeightsError as error:
        assert "\n" not in str(error)
    else:
        assert all(array.nbytes <= len(data) for array in found.values())
