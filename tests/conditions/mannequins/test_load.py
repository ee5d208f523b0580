"""Networks on disk: what is saved comes back, what ships is small, and damage is a sentence."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mcld.conditions.mannequins import FaceNetwork, PersonNetwork, load_networks, save_networks
from mcld.errors import WeightsError
from mcld.storage import sha256_of_file
from mcld.tensors.files import read_safetensors, write_tensors

MAX_BYTES = 2_000_000


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the folder that ships."""
    with as_file(files("mcld") / "assets" / "finders") as directory:
        return Path(shutil.copytree(directory, tmp_path / "finders"))


def test_networks_come_back_as_they_were_saved_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    person, face = PersonNetwork(channels=(4, 8, 8, 8)), FaceNetwork(channels=(4, 8, 8, 8))
    save_networks(tmp_path, person=person, face=face)
    loaded = load_networks(tmp_path)
    for before, after in ((person, loaded.person), (face, loaded.face)):
        state = after.state_dict()
        for name, value in before.state_dict().items():
            assert torch.equal(state[name], value.half().float() if value.is_floating_point() else value)
        assert not after.training


def test_what_ships_is_safetensors_of_less_than_two_megabytes_and_its_cards_hashes_are_right(
    shipped: Path,
) -> None:
    paths = sorted(shipped.iterdir())
    assert [path.name for path in paths] == [
        "card.json",
        "config.json",
        "face.safetensors",
        "person.safetensors",
    ]
    assert sum(path.stat().st_size for path in paths) < MAX_BYTES
    for path in paths[2:]:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            assert {file.get_tensor(name).dtype for name in names} == {torch.float16, torch.int64}
    hashes = json.loads((shipped / "card.json").read_text())["sha256"]
    assert hashes == {path.name: sha256_of_file(path) for path in paths[1:]}


def test_a_missing_or_damaged_file_is_named(shipped: Path) -> None:
    (shipped / "face.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"face\.safetensors"):
        load_networks(shipped)
    (shipped / "person.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"person\.safetensors.*not found"):
        load_networks(shipped)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"person": [1, 2, 3, 4]}', '{"person": [1, 2], "face": [0, 1, 1, 1]}']
)
def test_a_config_that_says_no_widths_is_a_weights_error(shipped: Path, text: str) -> None:
    (shipped / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_networks(shipped)


def test_weights_of_other_widths_or_that_are_no_numbers_are_refused(shipped: Path) -> None:
    state = read_safetensors(shipped / "face.safetensors")
    write_tensors(shipped / "face.safetensors", state=state | {"seen.bias": torch.tensor([float("nan")])})
    with pytest.raises(WeightsError, match=r"'seen\.bias' holds NaN"):
        load_networks(shipped)
    (shipped / "config.json").write_text('{"person": [8, 8, 8, 8], "face": [8, 8, 8, 8]}')
    with pytest.raises(WeightsError, match="has shape"):
        load_networks(shipped)
