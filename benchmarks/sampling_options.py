"""What each way of faster sampling saves and what it changes, on a trained model and its test pairs.

    python -m benchmarks.sampling_options WORKSPACE              stages up to `train` have run there
    python -m benchmarks.sampling_options WORKSPACE --model FOLDER --device cuda --precision bfloat16 \\
        --compiled

Every option renders the same pairs from the same seeds. The yardstick, 20 DDIM steps with guidance 3.5 in
full, is rendered anew before each, so that whatever else the machine does hits both alike: the share of its
time is what to look at. Similarity is to its pictures; beside it stands that to the targets, as the VAE gives
them back. `another seed` says how much two samples of one model differ, which nobody would call an error.

A table, and a JSON line an option at the end of a file. Images are (B, H, W, 3) uint8.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import torch
import typer

from benchmarks.measure import machine, wait
from mcld.config import PARAMS_PATH, Params, load_params
from mcld.devices import dtype_of, pick_device
from mcld.diffusion import ddim_scheduler
from mcld.evaluation.judge import Judge
from mcld.evaluation.networks import Networks, find_networks
from mcld.evaluation.protocols import to_8_bit
from mcld.evaluation.similarity import ssim
from mcld.inference.acceleration import PLAIN, Acceleration, accelerate
from mcld.inference.generate import conditions_of
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from mcld.inference.settings import RenderSettings, scheduler_of
from mcld.inference.test_pairs import pair_seed
from mcld.stages import generate
from mcld.types import Conditions, Precision, Sample
from mcld.workspace import Workspace

SOLVERS: tuple[Literal["ddim", "euler", "dpm-solver++", "unipc"], ...] = (
    "ddim",
    "euler",
    "dpm-solver++",
    "unipc",
)
YARDSTICK = RenderSettings()  # 20 DDIM steps, guidance 3.5, nothing approximated
WARM_UP = RenderSettings(num_steps=2)
RESULTS_DIR = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to sample. `precision` None: that of the run."""

    name: str
    settings: RenderSettings = YARDSTICK
    acceleration: Acceleration = PLAIN
    precision: Precision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Pairs at once: what the model sees, their seeds, and the targets through the VAE."""

    conditions: Conditions
    seeds: list[int]
    targets: np.ndarray


@dataclass(slots=True)
class Measured:
    """An option's pictures and seconds, and the yardstick's beside them, batch by batch."""

    pictures: list[np.ndarray] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    yardstick_wall_s: list[float] = field(default_factory=list)
    yardstick_cpu_s: list[float] = field(default_factory=list)


def options(*, compiled: bool) -> list[Option]:
    """What is compared: exact ones first, then fewer steps, then less work a step, then all of it."""
    found = [
        Option(name="channels last", acceleration=Acceleration(channels_last=True)),
        Option(name="bfloat16", precision="bfloat16"),
        Option(name="another seed", settings=RenderSettings(seed=1)),
        Option(name="ddim 50", settings=RenderSettings(num_steps=50)),
        Option(name="no guidance", settings=RenderSettings(guidance_scale=1.0)),
    ]
    if compiled:
        found.append(Option(name="compiled", acceleration=Acceleration(compile=True, channels_last=True)))
    found += [
        Option(name=f"{solver} {num}", settings=RenderSettings(num_steps=num, scheduler=solver))
        for solver in SOLVERS
        for num in (8, 10, 12)
    ]
    found += [
        Option(name=f"guidance in {start:g}-{end:g}", settings=RenderSettings(guidance_interval=(start, end)))
        for start, end in ((0.0, 0.5), (0.2, 0.8), (0.5, 1.0))
    ]
    found += [Option(name=f"reuse {n}", settings=RenderSettings(reuse_features=n)) for n in (2, 3, 5)]
    together = RenderSettings(
        scheduler="dpm-solver++", num_steps=12, guidance_interval=(0.0, 0.5), reuse_features=2
    )
    return [*found, Option(name="dpm-solver++ 12, guidance in 0-0.5, reuse 2", settings=together)]


def variant(plain: MCLDPipeline, *, option: Option) -> MCLDPipeline:
    """The pipeline that an option runs: its own copy of the models where it changes them."""
    if option.acceleration == PLAIN and option.precision is None:
        return plain
    pipeline = MCLDPipeline(
        model=copy.deepcopy(plain.model), vae=copy.deepcopy(plain.vae), scheduler=plain.scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    if option.precision is not None:
        pipeline.to(dtype_of(option.precision))
    accelerate(pipeline, acceleration=option.acceleration)
    return pipeline


def rendered(pipeline: MCLDPipeline, *, images: Images, settings: RenderSettings) -> np.ndarray:
    """The pictures."""
    solver = MCLDPipeline(
        model=pipeline.model,
        vae=pipeline.vae,
        scheduler=scheduler_of(settings.scheduler, like=pipeline.scheduler),
    )
    solver.set_progress_bar_config(disable=True)
    output = solver(
        images.conditions,
        num_inference_steps=settings.num_steps,
        guidance_scale=settings.guidance_scale,
        guidance_interval=settings.guidance_interval,
        reuse_features=settings.reuse_features,
        seeds=[seed + settings.seed for seed in images.seeds],
        output_type="np",
    )
    assert isinstance(output, MCLDPipelineOutput)
    return to_8_bit(np.asarray(output.images))


def timed(
    pipeline: MCLDPipeline, *, images: Images, settings: RenderSettings
) -> tuple[np.ndarray, float, float]:
    """The pictures, wall seconds, and processor seconds of all threads."""
    wait(pipeline.device)
    wall, processor = time.perf_counter(), time.process_time()
    pictures = rendered(pipeline, images=images, settings=settings)
    wait(pipeline.device)
    return pictures, time.perf_counter() - wall, time.process_time() - processor


def measure_all(
    plain: MCLDPipeline, *, chosen: Sequence[Option], batches: Sequence[Images]
) -> tuple[list[np.ndarray], dict[str, Measured]]:
    """The yardstick's pictures by batch, and each option measured beside it."""
    pipelines = {option.name: variant(plain, option=option) for option in chosen}
    for option in chosen:
        rendered(pipelines[option.name], images=batches[0], settings=WARM_UP)
    found = {option.name: Measured() for option in chosen}
    yardstick: list[np.ndarray] = []
    for images in batches:
        pictures = np.empty(0)
        for option in chosen:
            pictures, wall_s, cpu_s = timed(plain, images=images, settings=YARDSTICK)
            one = found[option.name]
            one.yardstick_wall_s.append(wall_s)
            one.yardstick_cpu_s.append(cpu_s)
            own, wall_s, cpu_s = timed(pipelines[option.name], images=images, settings=option.settings)
            one.pictures.append(own)
            one.wall_s.append(wall_s)
            one.cpu_s.append(cpu_s)
        yardstick.append(pictures)
    return yardstick, found


def similarity(pictures: np.ndarray, *, targets: np.ndarray, judge: Judge | None) -> dict[str, float | None]:
    """Means over the pictures: SSIM, absolute difference in levels of 255, and LPIPS if it is there."""
    levels = np.abs(pictures.astype(np.float32) - targets.astype(np.float32)).mean()
    distances = None if judge is None else judge.distances(pictures, targets, kind="lpips_alex")
    return {
        "ssim": round(
            statistics.fmean(ssim(one, target=two) for one, two in zip(pictures, targets, strict=True)), 4
        ),
        "levels": round(float(levels), 3),
        "lpips_alex": None if distances is None else round(float(distances.mean()), 4),
    }


def line(
    name: str, *, measured: Measured, yardstick: np.ndarray, targets: np.ndarray, judge: Judge | None
) -> dict[str, object]:
    """An option's figures."""
    pictures = np.concatenate(measured.pictures)
    to_target = similarity(pictures, targets=targets, judge=judge)
    ratios = [one / other for one, other in zip(measured.wall_s, measured.yardstick_wall_s, strict=True)]
    return {
        "option": name,
        "s_per_image": round(sum(measured.wall_s) / len(pictures), 4),
        "cpu_s_per_image": round(sum(measured.cpu_s) / len(pictures), 4),
        "share_of_time": round(statistics.median(ratios), 3),
        "share_of_cpu_time": round(sum(measured.cpu_s) / sum(measured.yardstick_cpu_s), 3),
        **similarity(pictures, targets=yardstick, judge=judge),
        "ssim_to_target": to_target["ssim"],
        "lpips_alex_to_target": to_target["lpips_alex"],
    }


def batches_of(
    params: Params, *, workspace: Workspace, batch_size: int
) -> tuple[generate.Renderer, list[Images]]:
    """The workspace's model, and its test pairs in batches."""
    renderer = generate.load_renderer(generate.renderer_source(params, workspace=workspace))
    pairs = generate.chosen_pairs(params, workspace=workspace)
    found = []
    for start in range(0, len(pairs), batch_size):
        some = pairs[start : start + batch_size]
        samples: list[Sample] = [
            renderer.samples.sample_for(source=pair.source, target=pair.target) for pair in some
        ]
        targets = renderer.generator.reconstruct(samples).permute(0, 2, 3, 1).numpy()
        found.append(
            Images(
                conditions=conditions_of(samples, scaling_factor=renderer.generator.scaling_factor),
                seeds=[pair_seed(0, source=pair.source, target=pair.target) for pair in some],
                targets=to_8_bit(targets),
            )
        )
    return renderer, found


def plain_pipeline(
    model: Path | None, *, renderer: generate.Renderer, device: torch.device, precision: Precision
) -> MCLDPipeline:
    """An exported folder's models, or the workspace's own."""
    if model is not None:
        pipeline = MCLDPipeline.from_pretrained(model, torch_dtype=dtype_of(precision), local_files_only=True)
    else:
        generator = renderer.generator
        pipeline = MCLDPipeline(
            model=generator.model, vae=generator.vae, scheduler=ddim_scheduler(generator.schedule)
        )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    if precision != "float32":
        pipeline.to(dtype_of(precision))
    return pipeline


def alexnet_judge(params: Params, *, root: Path, device: torch.device) -> Judge | None:
    """LPIPS with AlexNet, where the workspace names its weights; says so where it does not."""
    networks, lacking = find_networks(params.evaluate, root=root)
    if "lpips_alex" in lacking:
        print(f"lpips_alex is absent: {lacking['lpips_alex']}", flush=True)
        return None
    only = tuple(files for files in networks.files if files.name == "lpips_alex")
    return Judge(Networks(files=only), device=device)


def table(lines: Sequence[dict[str, object]]) -> str:
    """For people, and for docs/speed.md."""
    head = "| option | s a picture | of the time | of processor time | SSIM | levels | LPIPS | to target |"
    keys = (
        *("option", "s_per_image", "share_of_time", "share_of_cpu_time"),
        *("ssim", "levels", "lpips_alex", "ssim_to_target"),
    )
    rows = [
        "| " + " | ".join("absent" if found[key] is None else str(found[key]) for key in keys) + " |"
        for found in lines
    ]
    return "\n".join([head, "|" + "---|" * len(keys), *rows])


def main(
    workspace: Annotated[Path, typer.Argument(help="Folder of a params.yaml whose `train` has finished.")],
    model: Annotated[Path | None, typer.Option(help="An exported folder instead of its model.")] = None,
    pairs: Annotated[int, typer.Option(min=2)] = 16,
    batch: Annotated[int, typer.Option(min=1)] = 4,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    compiled: Annotated[bool, typer.Option(help="Time torch.compile as well: minutes before.")] = False,
    results: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/DATE.jsonl.")] = None,
) -> None:
    """Measure every option."""
    torch.set_num_threads(threads)
    torch_device = pick_device(cast("Literal['cpu', 'cuda']", device))
    params = load_params(workspace / PARAMS_PATH)
    params = params.model_copy(
        update={
            "generate": params.generate.model_copy(update={"num_pairs": pairs}),
            "runtime": params.runtime.model_copy(update={"device": device}),
        }
    )
    renderer, batches = batches_of(params, workspace=Workspace(root=workspace), batch_size=batch)
    wanted = cast("Precision", precision)
    plain = plain_pipeline(model, renderer=renderer, device=torch_device, precision=wanted)
    judge = alexnet_judge(params, root=workspace, device=torch_device)
    load_before = os.getloadavg()[0]
    yardstick, found = measure_all(plain, chosen=options(compiled=compiled), batches=batches)
    targets, shown = np.concatenate([images.targets for images in batches]), np.concatenate(yardstick)
    every = [one for measured in found.values() for one in measured.yardstick_wall_s]
    every_cpu = [one for measured in found.values() for one in measured.yardstick_cpu_s]
    num_rendered = len(found) * len(shown)
    itself = Measured(list(yardstick), [1.0], [1.0], [1.0], [1.0])
    first = line("ddim 20", measured=itself, yardstick=shown, targets=targets, judge=judge)
    first["s_per_image"] = round(sum(every) / num_rendered, 4)
    first["cpu_s_per_image"] = round(sum(every_cpu) / num_rendered, 4)
    lines = [first] + [
        line(name, measured=one, yardstick=shown, targets=targets, judge=judge) for name, one in found.items()
    ]
    print(table(lines), flush=True)
    about = {
        "num_pairs": len(shown),
        "batch_size": batch,
        "size_px": list(shown.shape[1:3]),
        "precision": precision,
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        **machine(torch_device),
    }
    path = results or RESULTS_DIR / f"{date.today().isoformat()}.jsonl"
    with path.open("a") as file:
        file.writelines(json.dumps({"benchmark": "sampling options", **one, **about}) + "\n" for one in lines)


if __name__ == "__main__":
    typer.run(main)
