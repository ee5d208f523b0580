"""The stage `densepose` with its network: images of one size go through it together, one person counts.

Threads of the processor read and resize the next batches while the network works, and encode the last ones,
so that a GPU need not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mcld.conditions.densepose import (
    DensePoseNetwork,
    People,
    best_iuv,
    check_weights_file,
    find_people_in_resized,
    load_densepose,
    resize,
)
from mcld.config import DenseposeParams
from mcld.data.columns import write_part
from mcld.devices import dtype_of, fitting_in_memory, pick_device
from mcld.stages.ahead import ahead
from mcld.stages.columns import Images, read_pixels
from mcld.stages.densepose import Members, item_or_exclusion, members_or_reason
from mcld.stages.densepose_weights import ready_weights
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord, Precision
from mcld.workspace import Workspace

DeviceChoice = Literal["auto", "cpu", "cuda"]
Read = np.ndarray | str  # an image at network size, or why it cannot be decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedIuv(PartWork[Images]):
    """Estimates a part's IUV maps. Each process that works on parts loads the network once."""

    weights_path: Path
    weights_sha256: str
    params: DenseposeParams
    root_dir: Path
    device: DeviceChoice
    num_threads: int

    uses_device = True

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the weights."""
        images = [[image.key, image.sha256] for image in payload]
        return {"images": images, "weights": self.weights_sha256}

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part in the images' order; those without a person, or damaged, are excluded."""
        results: dict[str, str | Future[Members | str]] = {}
        num_crowded = 0
        with ThreadPoolExecutor(min(self.num_threads, torch.get_num_threads())) as pool:
            for image, found in self._found(payload, pool=pool):
                if isinstance(found, People):
                    num_crowded += found.num_sure > 1
                    results[image.key] = pool.submit(self._encode, found)
                else:
                    results[image.key] = found
        exclusions: list[Exclusion] = []
        in_order = ((image.key, _value(results[image.key])) for image in payload)
        num_items = write_part(path, items=item_or_exclusion(in_order, exclusions=exclusions))
        return PartOutput(
            num_items=num_items,
            exclusions=tuple(exclusions),
            counts={"images_with_several_people": num_crowded},
        )

    def release(self) -> None:
        """Forget the network."""
        _network.cache_clear()

    def _found(
        self, images: Images, *, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[ImageRecord, People | str]]:
        """Who is in each image, batch by batch; or why it cannot be looked at."""
        network = _network(
            self.weights_path,
            sha256=self.weights_sha256,
            device=self.device,
            precision=self.params.precision,
        )
        reading = partial(_read, root_dir=self.root_dir)
        for batch, read in ahead(self._batches(images), read=reading, pool=pool):
            pixels = [item for item in read if not isinstance(item, str)]
            people = iter(self._people(network, resized=pixels, image_hw=_size(batch[0])))
            for image, item in zip(batch, read, strict=True):
                yield image, item if isinstance(item, str) else next(people)

    def _people(
        self, network: DensePoseNetwork, *, resized: list[np.ndarray], image_hw: tuple[int, int]
    ) -> list[People]:
        if not resized:
            return []
        person = self.params.person
        with fitting_in_memory("densepose.batch_size", value=self.params.batch_size):
            return find_people_in_resized(network, resized=resized, image_hw=image_hw, person=person)

    def _batches(self, images: Images) -> Iterator[Images]:
        """Images of one size together, up to `batch_size` of them."""
        by_size = sorted(images, key=_size)  # stable: equal sizes keep the index's order
        for _, group in groupby(by_size, key=_size):
            same = tuple(group)
            for start in range(0, len(same), self.params.batch_size):
                yield same[start : start + self.params.batch_size]

    def _encode(self, people: People) -> Members | str:
        return members_or_reason(
            best_iuv(people, uv_overflow=self.params.uv_overflow),
            min_person_fraction=self.params.min_person_fraction,
            score=float(people.detections.scores[0]) if len(people.detections.scores) else None,
            num_people=people.num_sure,
        )


def estimated_iuv(
    params: DenseposeParams, *, workspace: Workspace, root_dir: Path, device: DeviceChoice, num_threads: int
) -> EstimatedIuv:
    """The work of the stage, its weights checked. Raises WeightsError."""
    weights_path = ready_weights(params, workspace=workspace)
    check_weights_file(weights_path)
    return EstimatedIuv(
        weights_path=weights_path,
        weights_sha256=sha256_of_file(weights_path),
        params=params,
        root_dir=root_dir,
        device=device,
        num_threads=num_threads,
    )


@lru_cache(maxsize=1)
def _network(path: Path, *, sha256: str, device: DeviceChoice, precision: Precision) -> DensePoseNetwork:
    """The network of this process. `sha256` tells a file from another that came under its name."""
    return load_densepose(path, device=pick_device(device), dtype=dtype_of(precision))


def _value(result: str | Future[Members | str]) -> Members | str:
    return result.result() if isinstance(result, Future) else result


def _size(image: ImageRecord) -> tuple[int, int]:
    return image.height_px, image.width_px


def _read(image: ImageRecord, *, root_dir: Path) -> Read:
    """The image's pixels at network size."""
    pixels = read_pixels(image, root_dir=root_dir)
    return pixels if isinstance(pixels, str) else resize(pixels)
