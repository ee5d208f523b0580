"""Measure a whole evaluation: all metrics, five rows, random weights, step by step; and Inception alone.

    python -m benchmarks.evaluation --device cuda                 8,570 pairs at 512 x 352, as is the test set
    python -m benchmarks.evaluation --pairs 32 --train-images 32  a processor

What was asked of a GPU: less than three minutes without generation, once the training images have been looked
at, which happens once for a data set; that step is shown apart. One JSON line a result.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import cv2
import numpy as np
import torch
import typer

from benchmarks.evaluation_workspace import EvaluationSize, make_workspace
from benchmarks.measure import machine, measure, show
from mcld.config import Params, RuntimeParams, num_workers
from mcld.data.codec import decode_iuv
from mcld.data.columns import Column
from mcld.devices import pick_device
from mcld.evaluation.judge import NETWORK_OF, FeatureKind, Judge
from mcld.evaluation.metrics import pair_metrics
from mcld.evaluation.protocols import read_generated, resize_iuv
from mcld.evaluation.scores import ScoredPair
from mcld.stages import evaluate
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.evaluation_networks import evaluation_networks
from mcld.stages.mapper import Mapper, local_mapper
from mcld.workspace import Workspace

# The folder of a step's parts, as it begins, and what is done there.
STEPS = {
    "evaluate": "pixels, shapes and colours",
    "seen": "networks, generated rows",
    "targets": "networks, targets",
    "train": "networks, training images",
    "faces": "faces",
}
REST = "statistics, distances and tables"
REPEATS = 4  # of each of the few people
Item = TypeVar("Item")
Result = TypeVar("Result")


class TimedMapper:
    """Another mapper, and how many seconds each step took."""

    def __init__(self, inner: Mapper) -> None:
        self._inner = inner
        self.seconds: dict[str, float] = {}

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """As the other one."""
        directory: Path = cast("Any", function).out_dir
        step = STEPS[directory.name.partition("-")[0]]
        started = time.perf_counter()
        yield from self._inner.map(function, items, description=description, uses_device=uses_device)
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started


def main(
    pairs: Annotated[int, typer.Option(min=2)] = 8570,
    train_images: Annotated[int, typer.Option(min=2)] = 48_674,
    height_px: Annotated[int, typer.Option(min=64)] = 512,
    width_px: Annotated[int, typer.Option(min=64)] = 352,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images through a network at once.")] = 128,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0,
    faces: Annotated[bool, typer.Option(help="A stand-in for antelopev2, which sees nobody.")] = False,
) -> None:
    """Make the workspace, evaluate it, evaluate it again, and print what each step took."""
    choice = cast("Literal['auto', 'cpu', 'cuda']", device)
    runtime = RuntimeParams(device=choice, num_workers=workers)
    size = EvaluationSize(num_pairs=pairs, num_train=train_images, height_px=height_px, width_px=width_px)
    with tempfile.TemporaryDirectory() as temporary:
        workspace, params = make_workspace(
            Path(temporary), size=size, runtime=runtime, batch_size=batch, faces=faces
        )
        details: dict[str, object] = {
            "num_pairs": pairs,
            "num_train": train_images,
            "height_px": height_px,
            "width_px": width_px,
            "batch_size": batch,
            "workers": num_workers(runtime),
            "faces": faces,
            **machine(pick_device(choice)),
        }
        _evaluate("evaluation", params, workspace=workspace, details=details)
        _evaluate("evaluation, repeated", params, workspace=workspace, details=details)
        _inception(params, workspace=workspace, details=details)
        _pixels(workspace, details=details)


def _evaluate(name: str, params: Params, *, workspace: Workspace, details: dict[str, object]) -> None:
    """One line a step, and one for all."""
    mapper = TimedMapper(local_mapper(params.runtime))
    started = time.perf_counter()
    evaluate.run(params, workspace=workspace, mapper=mapper)
    total = time.perf_counter() - started
    steps = {**mapper.seconds, REST: total - sum(mapper.seconds.values())}
    for step, seconds in steps.items():
        show({"benchmark": f"{name}: {step}", "seconds": round(seconds, 2), **details})
    first_only = steps.get(STEPS["train"], 0.0)
    found = {"seconds": round(total, 2), "seconds_without_training_images": round(total - first_only, 2)}
    show({"benchmark": name, **found, **details})


def _inception(params: Params, *, workspace: Workspace, details: dict[str, object]) -> None:
    """Batches from memory to features in memory, by protocol."""
    networks, _ = evaluation_networks(params, workspace=workspace)
    device = pick_device(params.runtime.device)
    judge = Judge(networks, device=device)
    section = params.generate
    shape = (params.evaluate.batch_size, section.height_px, section.width_px, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).numpy()
    kinds: tuple[FeatureKind, ...] = ("fid_a", "fid", "clean_fid")
    for kind in kinds:
        timing = measure(
            lambda kind=kind: judge.features(images, kind=kind),  # type: ignore[misc]  # bound now
            repeats=3,
            warm_ups=1,
            device=device,
        )
        rate = {"images_per_s": round(len(images) / timing.median_s, 1)}
        show({"benchmark": f"{NETWORK_OF[kind]}, as {kind}", **timing.rounded(), **rate, **details})


def _pixels(workspace: Workspace, *, details: dict[str, object]) -> None:
    """What each metric without a network takes of one core, a picture, in the order of the registry."""
    size = {"height_px": int(str(details["height_px"])), "width_px": int(str(details["width_px"]))}
    directory = workspace.stage_dir("generate") / "kinds"
    paths = sorted(directory.glob("generated-*.png"))
    pictures = [read_generated(path, **size) for path in paths]
    column = Column.open(workspace.stage_dir("densepose"))
    iuvs = [resize_iuv(decode_iuv(item[IUV_MEMBER]), **size) for item in column.read_part(0).values()]
    seconds: dict[str, list[float]] = {}
    for target, iuv in zip(pictures * REPEATS, iuvs * REPEATS, strict=False):
        image = np.asarray(cv2.GaussianBlur(target, (0, 0), 1.0))
        pair = ScoredPair(image=image, target=target, target_iuv=iuv)
        for metric in pair_metrics(**size):
            assert metric.function is not None
            started = time.process_time()
            metric.function(pair)
            seconds.setdefault(metric.name, []).append(time.process_time() - started)
    medians = {name: round(1e3 * statistics.median(values), 2) for name, values in seconds.items()}
    total = {"cpu_ms_a_picture": round(sum(medians.values()), 2), "cpu_ms": medians}
    show({"benchmark": "evaluation: pixels, a picture", **total, **details, "threads": 1})


if __name__ == "__main__":
    typer.run(main)
