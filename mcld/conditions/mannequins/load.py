"""The two networks from a folder: safetensors beside a config that says how wide they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from mcld.conditions.mannequins.networks import FaceNetwork, PersonNetwork
from mcld.errors import WeightsError
from mcld.storage import write_json
from mcld.tensors.files import check_fit, read_safetensors, write_tensors

CONFIG_NAME = "config.json"
PERSON_NAME, FACE_NAME = "person.safetensors", "face.safetensors"
REMEDY = "install this version of mcld again, whole"

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class MannequinNetworks:
    """Both, for inference, in float32."""

    person: PersonNetwork
    face: FaceNetwork


@lru_cache(maxsize=1)
def shipped_networks() -> MannequinNetworks:
    """The networks that ship with the package, on the CPU; kept in this process. Raises WeightsError."""
    with as_file(files("mcld") / "assets" / "finders") as directory:
        return load_networks(directory)


def load_networks(directory: Path) -> MannequinNetworks:
    """What `save_networks` wrote. Raises WeightsError naming the file that is missing or damaged."""
    config = _config(directory / CONFIG_NAME)
    return MannequinNetworks(
        person=_filled(PersonNetwork(channels=config["person"]), path=directory / PERSON_NAME),
        face=_filled(FaceNetwork(channels=config["face"]), path=directory / FACE_NAME),
    )


def save_networks(directory: Path, *, person: PersonNetwork, face: FaceNetwork) -> None:
    """Write both in float16, with their config; the folder is there."""
    for name, network in ((PERSON_NAME, person), (FACE_NAME, face)):
        state = network.state_dict()
        write_tensors(
            directory / name,
            state={key: value.half() if value.is_floating_point() else value for key, value in state.items()},
        )
    channels = {"person": list(person.channels), "face": list(face.channels)}
    write_json(directory / CONFIG_NAME, value=channels)


def _config(path: Path) -> dict[str, Sequence[int]]:
    """The widths of both networks' levels."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error}); {REMEDY}") from error
    is_known = isinstance(value, dict) and all(
        isinstance(value.get(name), list)
        and len(value[name]) == 4
        and all(isinstance(width, int) and width > 0 for width in value[name])
        for name in ("person", "face")
    )
    if not is_known:
        raise WeightsError(f"{path}: does not give four widths each for 'person' and 'face'; {REMEDY}")
    assert isinstance(value, dict)
    return {name: value[name] for name in ("person", "face")}


def _filled(network: Network, *, path: Path) -> Network:
    state = read_safetensors(path)
    check_fit(state, wanted=network.state_dict(), place=str(path), remedy=REMEDY)
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path}: '{name}' holds NaN or infinity; {REMEDY}")
    network.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    )
    network.requires_grad_(False)
    network.eval()
    return network
