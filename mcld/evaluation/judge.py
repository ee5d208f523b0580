"""The networks of the metrics at work, a batch of images at a time: features and distances.

    features    fid_a, fid (also kid's), clean_fid   one vector an image
    distances   lpips_alex, lpips_squeeze            one number a pair of images

Shapes: B images, H W pixels, D = 2048 features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mcld.evaluation.networks import NetworkFiles, NetworkName, Networks
from mcld.evaluation.trunks import (
    Inception,
    Lpips,
    load_inception,
    load_lpips,
    prepare_a,
    prepare_clean_fid,
    prepare_fid,
    prepare_lpips,
)

FeatureKind = Literal["fid_a", "fid", "clean_fid"]
DistanceKind = Literal["lpips_alex", "lpips_squeeze"]
NETWORK_OF: dict[FeatureKind | DistanceKind, NetworkName] = {
    "fid_a": "inception",
    "fid": "inception_tf",
    "clean_fid": "inception_tf",
    "lpips_alex": "lpips_alex",
    "lpips_squeeze": "lpips_squeeze",
}
_PREPARE: dict[FeatureKind, Callable[[np.ndarray | Tensor], Tensor]] = {
    "fid_a": prepare_a,
    "fid": prepare_fid,
    "clean_fid": prepare_clean_fid,
}


class Judge:
    """Loaded networks on one device. In float32 throughout: TF32 would move a FID in its fourth digit."""

    def __init__(self, networks: Networks, *, device: torch.device) -> None:
        """Raises WeightsError naming the file, and what is wrong with it."""
        self.device = device
        self._inceptions: dict[NetworkName, Inception] = {}
        self._lpips: dict[NetworkName, Lpips] = {}
        for files in networks.files:
            if files.name in ("inception", "inception_tf"):
                self._inceptions[files.name] = _inception(files).to(device)
            else:
                self._lpips[files.name] = _lpips(files).to(device)

    def features(self, images_BHWC: np.ndarray, *, kind: FeatureKind) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB to (B, D) float32, as the metric of that name sees the images."""
        network = self._inceptions[NETWORK_OF[kind]]
        with _exact(), torch.inference_mode():
            features_BD: Tensor = network(_PREPARE[kind](self._moved(images_BHWC)))
            return features_BD.cpu().numpy()

    def distances(
        self, images_BHWC: np.ndarray, targets_BHWC: np.ndarray, *, kind: DistanceKind
    ) -> np.ndarray:
        """Two times (B, H, W, 3) uint8 RGB to (B,) float32, from 0 on."""
        network = self._lpips[NETWORK_OF[kind]]
        with _exact(), torch.inference_mode():
            images_BCHW = prepare_lpips(self._moved(images_BHWC))
            distances_B: Tensor = network(images_BCHW, prepare_lpips(self._moved(targets_BHWC)))
            return distances_B.cpu().numpy()

    def _moved(self, images_BHWC: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images_BHWC)).to(self.device)


@lru_cache(maxsize=1)
def load_judge(networks: Networks, *, device: torch.device) -> Judge:
    """The judge, kept in this process until `load_judge.cache_clear()`."""
    return Judge(networks, device=device)


def check_networks(networks: Networks) -> None:
    """Load every network once. Raises WeightsError naming a file that is not what it should be."""
    Judge(networks, device=torch.device("cpu"))


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Of two vectors, (dim,), neither of them zero; in -1..1."""
    wide_first, wide_second = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(wide_first) * np.linalg.norm(wide_second))
    return float(np.clip(wide_first @ wide_second / lengths, -1.0, 1.0))


def _inception(files: NetworkFiles) -> Inception:
    layout: Literal["torchvision", "tf"] = "torchvision" if files.name == "inception" else "tf"
    return load_inception(files.paths[0], layout=layout, expected_sha256=files.sha256[0])


def _lpips(files: NetworkFiles) -> Lpips:
    trunk_path, heads_path = files.paths
    network: Literal["alex", "squeeze"] = "alex" if files.name == "lpips_alex" else "squeeze"
    expected = {path.name: sha256 for path, sha256 in zip(files.paths, files.sha256, strict=True)}
    return load_lpips(trunk_path, heads_path=heads_path, network=network, expected_sha256=expected)


@contextmanager
def _exact() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
