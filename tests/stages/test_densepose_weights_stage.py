"""The published pickle may be named as it is: carried over once, kept by its hash, and doubted aloud."""

from __future__ import annotations

import hashlib
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from mcld.conditions.densepose import check_weights_file
from mcld.conditions.densepose.weights import empty_network
from mcld.config import DenseposeParams
from mcld.errors import WeightsError
from mcld.stages.densepose_weights import ready_weights
from mcld.storage import sha256_of_file
from mcld.workspace import Workspace


def published(path: Path, *, value: float = 0.0) -> Path:
    """A file of the right names and shapes whose arrays take no memory but on the disk."""
    arrays = {
        name: np.full(tuple(tensor.shape), value, np.float32)
        for name, tensor in empty_network().state_dict().items()
    }
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol=4))
    return path


def params(path: Path, *, expected_sha256: str | None = None) -> DenseposeParams:
    return DenseposeParams(estimator="densepose", weights_path=str(path), expected_sha256=expected_sha256)


@pytest.mark.slow
def test_a_pickle_is_carried_over_once_and_another_file_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="mcld")  # whatever other tests have asked for
    workspace = Workspace(root=tmp_path)
    given = published(tmp_path / "weights.pkl")
    kept = ready_weights(params(given), workspace=workspace)
    check_weights_file(kept)
    written = kept.stat().st_mtime_ns
    assert ready_weights(params(given), workspace=workspace) == kept
    assert kept.stat().st_mtime_ns == written
    assert ready_weights(params(kept), workspace=workspace) == kept  # safetensors are used as they are
    assert not caplog.records
    published(given, value=1.0)
    other = ready_weights(params(given), workspace=workspace)
    assert "is another file than at its last use" in caplog.text
    assert sorted(other.parent.iterdir()) == [other]


def test_a_missing_or_unexpected_file_is_an_error_with_its_origin(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    with pytest.raises(WeightsError, match=r"nothing\.pkl: not found; densepose\.weights_path.*844d15\.pkl"):
        ready_weights(params(tmp_path / "nothing.pkl"), workspace=workspace)
    path = tmp_path / "weights.pkl"
    path.write_bytes(b"other bytes")
    wrong = "0" * 64
    with pytest.raises(
        WeightsError, match=rf"sha256 is {sha256_of_file(path)}, expected {wrong} by densepose"
    ):
        ready_weights(params(path, expected_sha256=wrong), workspace=workspace)
    assert not (tmp_path / ".mcld").exists()


def test_a_published_name_with_other_bytes_is_doubted_unless_the_hash_is_expected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = pickle.dumps({"model": {"a": np.zeros(2, np.float32)}}, protocol=4)
    right = tmp_path / f"model_final_{hashlib.md5(data).hexdigest()[:6]}.pkl"
    wrong = tmp_path / "model_final_000000.pkl"
    for path in (right, wrong):
        path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        for path, expected in ((right, None), (wrong, sha256_of_file(wrong)), (wrong, None)):
            before = len(caplog.records)
            with pytest.raises(WeightsError, match="does not fit this model"):
                ready_weights(params(path, expected_sha256=expected), workspace=Workspace(root=tmp_path))
            assert len(caplog.records) - before == (path == wrong and expected is None)
    assert "its MD5 does not begin with 000000" in caplog.text
    assert list((tmp_path / ".mcld" / "densepose").glob("*")) == []


class Malice:
    """Runs a command when unpickled as Python does it."""

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch executed",)


def test_a_pickle_that_would_run_something_is_refused_and_does_not(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": Malice()}}))
    with pytest.raises(WeightsError, match=r"weights\.pkl: .*system"):
        ready_weights(params(path), workspace=Workspace(root=tmp_path))
    assert not Path("executed").exists()
