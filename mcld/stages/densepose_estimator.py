"""The stage `densepose` with its network: images of one size go through it together, the best person counts.

Threads of the processor read and resize the next batches while the network works, and encode the last ones,
so that a GPU need not wait for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from mcld.conditions.densepose import (
    DensePoseNetwork,
    People,
    best_iuv,
    find_people_in_resized,
    load_densepose,
    resize,
)
from mcld.config import DenseposeParams
from mcld.data.codec import decode_image
from mcld.data.columns import write_part
from mcld.errors import DataError
from mcld.stages.columns import Images, read_image_bytes
from mcld.stages.densepose import encode_or_reason, item_or_exclusion
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord

NUM_BATCHES_AHEAD = 2
SURE_SCORE = 0.5  # of a second person, to be counted as one


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedIuv(PartWork[Images]):
    """Estimates a part's IUV maps. Holds a loaded network, so it stays in its process."""

    network: DensePoseNetwork
    weights_sha256: str
    params: DenseposeParams
    root_dir: Path
    num_threads: int

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the weights."""
        images = [[image.key, image.sha256] for image in payload]
        return {"images": images, "weights": self.weights_sha256}

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part in the images' order; images without a person are excluded."""
        results: dict[str, Future[bytes | str]] = {}
        num_crowded = 0
        with ThreadPoolExecutor(self.num_threads) as pool:
            for image, people in self._people(payload, pool=pool):
                num_crowded += int((people.detections.scores > SURE_SCORE).sum() > 1)
                results[image.key] = pool.submit(self._encode, people)
        exclusions: list[Exclusion] = []
        found = ((image.key, results[image.key].result()) for image in payload)
        num_items = write_part(path, items=item_or_exclusion(found, exclusions=exclusions))
        return PartOutput(
            num_items=num_items,
            exclusions=tuple(exclusions),
            counts={"images_with_several_people": num_crowded},
        )

    def _people(self, images: Images, *, pool: ThreadPoolExecutor) -> Iterator[tuple[ImageRecord, People]]:
        """Who is in each image, batch by batch."""
        for batch, resized in _ahead(self._batches(images), pool=pool, root_dir=self.root_dir):
            image_hw = (batch[0].height_px, batch[0].width_px)
            found = find_people_in_resized(self.network, resized=resized, image_hw=image_hw)
            yield from zip(batch, found, strict=True)

    def _batches(self, images: Images) -> Iterator[Images]:
        """Images of one size together, up to `batch_size` of them."""
        by_size = sorted(images, key=_size)  # stable: equal sizes keep the index's order
        for _, group in groupby(by_size, key=_size):
            same = tuple(group)
            for start in range(0, len(same), self.params.batch_size):
                yield same[start : start + self.params.batch_size]

    def _encode(self, people: People) -> bytes | str:
        iuv = best_iuv(people, uv_overflow=self.params.uv_overflow)
        return encode_or_reason(iuv, min_person_fraction=self.params.min_person_fraction)


def estimated_iuv(
    params: DenseposeParams, *, weights_path: Path, root_dir: Path, device: torch.device, num_threads: int
) -> EstimatedIuv:
    """The work of the stage with its network loaded. Raises WeightsError."""
    network = load_densepose(weights_path, device=device, dtype=getattr(torch, params.precision))
    return EstimatedIuv(
        network=network,
        weights_sha256=sha256_of_file(weights_path),
        params=params,
        root_dir=root_dir,
        num_threads=num_threads,
    )


def _size(image: ImageRecord) -> tuple[int, int]:
    return image.height_px, image.width_px


def _ahead(
    batches: Iterable[Images], *, pool: ThreadPoolExecutor, root_dir: Path
) -> Iterator[tuple[Images, list[np.ndarray]]]:
    """Batches with their images at network size; the next ones are being read meanwhile."""
    waiting: deque[tuple[Images, list[Future[np.ndarray]]]] = deque()
    for batch in batches:
        waiting.append((batch, [pool.submit(_read, image, root_dir) for image in batch]))
        if len(waiting) > NUM_BATCHES_AHEAD:
            yield _waited_for(waiting.popleft())
    while waiting:
        yield _waited_for(waiting.popleft())


def _waited_for(item: tuple[Images, list[Future[np.ndarray]]]) -> tuple[Images, list[np.ndarray]]:
    batch, futures = item
    return batch, [future.result() for future in futures]


def _read(image: ImageRecord, root_dir: Path) -> np.ndarray:
    """The image's pixels at network size."""
    try:
        pixels = decode_image(read_image_bytes(image, root_dir=root_dir))
    except DataError as error:
        raise DataError(f"{image.key}: {error}") from error
    if pixels.shape[:2] != _size(image):
        raise DataError(f"{image.key}: another size than the index says; run the stage 'dataset' again")
    return resize(pixels)
