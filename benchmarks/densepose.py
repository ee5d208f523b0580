"""Measure DensePose on images of DeepFashion's size, 750 x 1101, and what half precision changes.

    python -m benchmarks.densepose                        two threads of a processor: float32, bfloat16
    python -m benchmarks.densepose --batch 16             a GPU: float16 as well

The weights are the recipe's (`mcld/parity/densepose_recipe.py`) unless a file is given: as many operations,
and people are found. Half precision is compared with float32 of the same run. One JSON line a result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import machine, measure, product_ceiling_tflops, show
from mcld.conditions.densepose import (
    DensePoseNetwork,
    People,
    best_iuv,
    find_people_in_resized,
    network_of,
    resize,
)
from mcld.conditions.densepose.weights import empty_network
from mcld.parity.densepose_recipe import recipe_image, recipe_state
from mcld.tensors.files import read_safetensors

SEED, UV_SPREAD = 2, 0.1
NUM_NOISES = 4  # different images of a batch; more than that repeat


def main(
    batch: Annotated[
        list[int] | None, typer.Option(help="Images at once; may be given several times.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="What `mcld weights import-densepose` wrote.")] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Time every precision and print what it took and what it changed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(2)
    state = recipe_weights() if weights is None else read_safetensors(weights)
    precisions = [torch.float32, torch.bfloat16]
    if device.type == "cuda":
        precisions.append(torch.float16)  # the processor has no fast kernels for it
    for num_images in batch or [1]:
        images = [photograph(index % NUM_NOISES) for index in range(num_images)]
        _show_processor_work(images[0], repeats=repeats)
        expected: list[People] = []
        for dtype in precisions:
            network = network_of(state, place="the recipe", device=device, dtype=dtype)
            found = _show_network(network, images=images, repeats=repeats)
            expected = expected or found
            if found is not expected:
                _show_difference(found, expected=expected, dtype=dtype)


def _show_network(network: DensePoseNetwork, *, images: list[np.ndarray], repeats: int) -> list[People]:
    resized = [resize(image) for image in images]
    image_hw = (images[0].shape[0], images[0].shape[1])

    def find() -> list[People]:
        return find_people_in_resized(network, resized=resized, image_hw=image_hw)

    with FlopCounterMode(display=False) as counter:
        found = find()
    timing = measure(find, repeats=repeats, warm_ups=1, device=network.device)
    tera_operations = counter.get_total_flops() / 1e12
    ceiling = product_ceiling_tflops(network.device, dtype=network.dtype)
    show(
        {
            "benchmark": "densepose, network",
            "precision": str(network.dtype),
            "num_images": len(images),
            **timing.rounded(),
            "images_per_s": round(len(images) / timing.median_s, 3),
            "gflop_per_image": round(1000 * tera_operations / len(images), 1),
            "tflops": round(tera_operations / timing.median_s, 3),
            "product_ceiling_tflops": round(ceiling, 3),
            **machine(network.device),
        }
    )
    return found


def _show_processor_work(image: np.ndarray, *, repeats: int) -> None:
    """What is left to the processor, an image: resizing."""
    timing = measure(lambda: resize(image), repeats=repeats, warm_ups=1, device=torch.device("cpu"))
    show({"benchmark": "densepose, resize", **timing.rounded(), **machine(torch.device("cpu"))})


def _show_difference(found: list[People], *, expected: list[People], dtype: torch.dtype) -> None:
    """Largest differences of boxes and scores, and how much of the IUV maps is another part."""
    pairs = list(zip(found, expected, strict=True))
    maps = [[best_iuv(people, uv_overflow="clamp") for people in pair] for pair in pairs]
    both = [(first, second) for first, second in maps if first is not None and second is not None]
    same_part = [first[..., 0] == second[..., 0] for first, second in both]
    steps = [
        np.abs(first[..., 1:].astype(int) - second[..., 1:].astype(int))[same]
        for (first, second), same in zip(both, same_part, strict=True)
    ]
    show(
        {
            "benchmark": "densepose, difference from float32",
            "precision": str(dtype),
            "num_images": len(pairs),
            "people_lost_or_gained": len(maps) - len(both),
            "box_px": max(_top(a.detections.boxes, b.detections.boxes) for a, b in pairs),
            "score": max(_top(a.detections.scores, b.detections.scores) for a, b in pairs),
            "share_of_pixels_of_another_part": float(1 - np.mean(same_part)),
            "mean_uv_step_of_255": float(np.mean([step.mean() for step in steps])),
        }
    )


def _top(found: Tensor, expected: Tensor) -> float:
    """The largest difference of the best detection."""
    return float((found[:1] - expected[:1]).abs().max()) if len(found) and len(expected) else float("nan")


def recipe_weights() -> dict[str, Tensor]:
    """The recipe's weights by name, float32."""
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    arrays = recipe_state(shapes, seed=SEED, uv_spread=UV_SPREAD)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def photograph(index: int) -> np.ndarray:
    """(1101, 750, 3) uint8 RGB, the recipe's image of DeepFashion's size, with its columns moved along."""
    return np.ascontiguousarray(np.roll(recipe_image(0)[..., ::-1], 40 * index, axis=1))


if __name__ == "__main__":
    typer.run(main)
