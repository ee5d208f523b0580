"""Measure how many images a second go through Inception, what preparing them costs, and LPIPS.

    python -m benchmarks.inception                      two threads of a processor
    python -m benchmarks.inception --batch 64           a GPU

The weights are made, since the time does not depend on them. Images are as large as generated ones,
512 x 352. One JSON line a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from benchmarks.measure import machine, measure, show
from mcld.evaluation.trunks import (
    Inception,
    Lpips,
    alexnet,
    prepare_a,
    prepare_clean_fid,
    prepare_fid,
    prepare_lpips,
    squeezenet,
)

HEIGHT_PX, WIDTH_PX = 512, 352
PREPARATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "fid_a": prepare_a,
    "fid": prepare_fid,
    "clean_fid": prepare_clean_fid,
}
TRUNKS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "alex": (alexnet.AlexNet, alexnet.ACTIVATION_CHANNELS),
    "squeeze": (squeezenet.SqueezeNet, squeezenet.ACTIVATION_CHANNELS),
}


def main(
    batch: Annotated[
        list[int] | None, typer.Option(help="Images at once; may be given several times.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Time every part and print what it took."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(2)
    torch.manual_seed(0)
    with torch.inference_mode():
        for num_images in batch or [1, 8, 32]:
            shape = (num_images, HEIGHT_PX, WIDTH_PX, 3)
            images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
            _measure_inception(images, repeats=repeats)
            _measure_lpips(images, repeats=repeats)


def _measure_inception(images: Tensor, *, repeats: int) -> None:
    network = Inception("tf").eval().to(images.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # nn.Module.to takes it
    prepared = prepare_fid(images)
    _report("inception", lambda: network(prepared), images=images, repeats=repeats)
    for metric, prepare in PREPARATIONS.items():
        _report(
            f"inception, input of {metric}",
            lambda prepare=prepare: prepare(images),  # type: ignore[misc]  # bound now, not at the call
            images=images,
            repeats=repeats,
        )


def _measure_lpips(images: Tensor, *, repeats: int) -> None:
    pixels = prepare_lpips(images)
    other = pixels.flip(3)
    for name, (trunk, channels) in TRUNKS.items():
        lpips = Lpips(trunk(), heads=[torch.ones(width) for width in channels]).eval().to(images.device)
        _report(f"lpips_{name}", lambda lpips=lpips: lpips(pixels, other), images=images, repeats=repeats)  # type: ignore[misc]


def _report(name: str, function: Callable[[], Tensor], *, images: Tensor, repeats: int) -> None:
    timing = measure(function, repeats=repeats, warm_ups=1, device=images.device)
    show(
        {
            "benchmark": name,
            "num_images": len(images),
            "height_px": HEIGHT_PX,
            "width_px": WIDTH_PX,
            **timing.rounded(),
            "images_per_s": round(len(images) / timing.median_s, 2),
            **machine(images.device),
        }
    )


if __name__ == "__main__":
    typer.run(main)
