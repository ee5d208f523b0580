"""`mcld pose` and `mcld remake`: people of photographs in poses of photographs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcld.cli.engine_options import (
    Accelerate,
    DensePose,
    Device,
    Dtype,
    EngineOptions,
    FaceDir,
    Model,
    SFace,
    YuNet,
)
from mcld.cli.render_options import (
    Background,
    Guidance,
    GuidanceInterval,
    ReuseFeatures,
    Scheduler,
    Seed,
    Steps,
    settings_of,
)
from mcld.cli.renderer import open_renderer
from mcld.errors import ConfigError, DataError
from mcld.progress import track

if TYPE_CHECKING:
    from mcld.inference.jobs import Job
    from mcld.inference.render_jobs import JobRenderer, Outcome

FILM_RATE = 8.0


def pose_command(
    source: Annotated[
        Path | None, typer.Argument(metavar="SOURCE", help="Who: a photograph, or a folder of them.")
    ] = None,
    target: Annotated[
        Path | None, typer.Argument(metavar="TARGET", help="In which pose: a photograph, or a folder.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write; of several, a folder.")] = Path(
        "out.png"
    ),
    pairs: Annotated[
        Path | None,
        typer.Option(help="Instead of SOURCE and TARGET: a CSV with the columns source and target."),
    ] = None,
    film: Annotated[
        Path | None, typer.Option(help="Also the pictures as a film, in the poses' order: .gif or .mp4.")
    ] = None,
    film_rate: Annotated[float, typer.Option(help="Its frames a second.")] = FILM_RATE,
    person: Annotated[
        int | None, typer.Option(min=1, help="Which of SOURCE's people, from the left; default: the biggest.")
    ] = None,
    pose_person: Annotated[int | None, typer.Option(min=1, help="Which of TARGET's people.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Pictures made at once.")] = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    scheduler: Scheduler = "ddim",
    guidance_interval: GuidanceInterval = (0.0, 1.0),
    reuse_features: ReuseFeatures = 1,
    background: Background = "generated",
    model: Model = None,
    densepose: DensePose = None,
    face_dir: FaceDir = None,
    yunet: YuNet = None,
    sface: SFace = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    accelerate: Accelerate = None,
) -> None:
    """Render SOURCE's person in TARGET's pose. Beside each picture goes its recipe, a JSON."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.inference.film import check_film

    if film is not None:
        check_film(film, frames_a_second=film_rate)
    jobs = _jobs(source, target=target, pairs=pairs, out=out)
    options = EngineOptions(
        model=model,
        densepose=densepose,
        face_dir=face_dir,
        yunet=yunet,
        sface=sface,
        device=device,
        dtype=dtype,
        accelerate=accelerate or (),
    )
    renderer = open_renderer(
        options,
        settings_for=partial(
            settings_of,
            seed=seed,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            guidance_interval=guidance_interval,
            reuse_features=reuse_features,
            background=background,
        ),
        batch_size=batch,
        person=person,
        pose_person=pose_person,
    )
    tell(render_all(renderer, jobs=jobs, film=film, film_rate=film_rate))


def render_all(
    renderer: JobRenderer, *, jobs: Sequence[Job], film: Path | None, film_rate: float
) -> list[Outcome]:
    """Render with progress, then the film. A single job that fails is the command's error: DataError."""
    from mcld.inference.film import write_film

    outcomes, frames = [], []
    for outcome in track(renderer.render(jobs), description="pose", total=len(jobs)):
        if outcome.reason is not None:
            print(f"left out: {outcome.reason}", file=sys.stderr)
        elif film is not None and outcome.picture is not None:
            frames.append(outcome.picture)
        outcomes.append(dataclasses.replace(outcome, picture=None))  # a long list must not fill the memory
    if all(outcome.reason is not None for outcome in outcomes):
        raise DataError(
            str(outcomes[0].reason)
            if len(outcomes) == 1
            else f"pose: none of {len(outcomes)} pictures could be made; see the reasons above"
        )
    if film is not None:
        write_film(film, frames=frames, frames_a_second=film_rate)
        print(f"{film}: {len(frames)} frames, {film_rate:g} a second")
    return outcomes


def tell(outcomes: Sequence[Outcome]) -> None:
    """Say what was made, and what a user should know of how photographs were read, each thing once."""
    made = [outcome for outcome in outcomes if outcome.reason is None]
    for note in dict.fromkeys(note for outcome in made for note in outcome.notes):
        print(f"note: {note}", file=sys.stderr)
    if len(outcomes) == 1:
        print(
            f"{made[0].job.out}: done; {made[0].job.out.with_suffix('.json').name} says how to make it again"
        )
        return
    print(f"{made[0].job.out.parent}: {len(made)} pictures, {len(outcomes) - len(made)} left out")


def _jobs(source: Path | None, *, target: Path | None, pairs: Path | None, out: Path) -> tuple[Job, ...]:
    from mcld.inference.jobs import jobs_for, jobs_in_list

    if pairs is not None:
        if source is not None or target is not None:
            raise ConfigError("pose: --pairs takes the place of SOURCE and TARGET; give one or the other")
        return jobs_in_list(pairs, out=out)
    if source is None or target is None:
        raise ConfigError("pose: name SOURCE and TARGET, photographs or folders of them, or a list: --pairs")
    return jobs_for(source, target=target, out=out)
