"""The published pickle becomes safetensors once, and what is no such file is one sentence."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose import import_densepose, load_densepose
from mcld.conditions.densepose.weights import empty_network, weights_of
from mcld.errors import WeightsError
from mcld.tensors.files import read_safetensors
from tests.golden import golden_dir, read_golden_json

NAME = "roi_heads.box_head.fc2.bias"
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def zeros() -> Arrays:
    """Every weight as zeros; they take no memory."""
    return {
        name: np.broadcast_to(np.zeros((), np.float32), tuple(value.shape))
        for name, value in empty_network().state_dict().items()
    }


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    recorded = read_golden_json(golden_dir("densepose") / "keys.json")
    ours = {name: list(value.shape) for name, value in empty_network().state_dict().items()}
    assert ours == {name: shape for name, (shape, _) in recorded.items()}
    assert len(ours) == 614


@pytest.mark.slow
def test_the_published_file_is_carried_over_once(state: dict[str, Tensor], tmp_path: Path) -> None:
    source, out = tmp_path / "model_final.pkl", tmp_path / "densepose.safetensors"
    arrays = {name: value.numpy() for name, value in state.items()}
    extra = {"pixel_mean": np.zeros((3, 1, 1), np.float32), "anchors.0": np.zeros((3, 4), np.float32)}
    with source.open("wb") as file:
        pickle.dump({"model": arrays | extra, "__author__": "Detectron2 Model Zoo"}, file)
    assert import_densepose(source, out_path=out) == list(extra)
    source.unlink()
    found = read_safetensors(out)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    network = load_densepose(out)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(network.state_dict()[NAME], state[NAME])


def _without(arrays: Arrays) -> Arrays:
    return {name: value for name, value in arrays.items() if name != NAME}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, rf"does not fit this model: '{re.escape(NAME)}' is missing; use model_final_844d15"),
        (
            lambda arrays: arrays | {NAME: np.zeros((5, 5), np.float32)},
            r"has shape \(5, 5\), expected \(1024,\)",
        ),
        (lambda arrays: arrays | {NAME: np.zeros(1024, np.int64)}, r"holds torch.int64, expected floating"),
        (
            lambda arrays: arrays | {NAME: np.full(1024, np.nan, np.float32)},
            rf"'{re.escape(NAME)}' holds NaN or infinity: the file is damaged",
        ),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(
    change: Callable[[Arrays], Arrays], message: str, zeros: Arrays
) -> None:
    with pytest.raises(WeightsError, match=rf"^model\.pkl: .*{message}") as caught:
        weights_of(change(dict(zeros)), place="model.pkl")
    assert "\n" not in str(caught.value)


def test_a_file_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "model.pkl"
    source.write_bytes(pickle.dumps({"model": {"other": np.zeros(3, np.float32)}}, protocol=4))
    with pytest.raises(WeightsError, match=r"model\.pkl: does not fit this model"):
        import_densepose(source, out_path=tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == [source]


def test_a_damaged_safetensors_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "densepose.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(WeightsError, match=r"densepose\.safetensors: not a readable safetensors file"):
        load_densepose(tmp_path / "densepose.safetensors")
    with pytest.raises(WeightsError, match=r"model\.pkl: is a pickle; `import_densepose` makes safetensors"):
        load_densepose(tmp_path / "model.pkl")
    with pytest.raises(WeightsError, match=r"nothing\.safetensors: not found"):
        load_densepose(tmp_path / "nothing.safetensors")
