"""`mcld edit`: a person in other clothes, with another face, in another colour, in any pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.inference.changes import Changes
    from mcld.inference.editing import Edit
    from mcld.inference.engine import Engine
    from mcld.inference.render_jobs import JobRenderer


def edit_command(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Who: a photograph.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")] = Path("out.png"),
    pose: Annotated[
        Path | None, typer.Option(help="In which pose: a photograph; default: the person's own.")
    ] = None,
    clothes_from: Annotated[Path | None, typer.Option(help="Whose clothes: a photograph.")] = None,
    parts: Annotated[
        str,
        typer.Option(help="Which of them: upper, lower, whole, torso, arms, legs, …, with commas between."),
    ] = "whole",
    identity_from: Annotated[Path | None, typer.Option(help="Whose face and hair: a photograph.")] = None,
    blend_with: Annotated[Path | None, typer.Option(help="On the way to whom: a photograph.")] = None,
    weight: Annotated[float, typer.Option(help="How far: 0 to 1.")] = 0.5,
    recolour: Annotated[
        list[str] | None,
        typer.Option(metavar="PARTS=#RRGGBB", help="Garments in another colour; several times for several."),
    ] = None,
    print_picture: Annotated[
        Path | None, typer.Option("--print", help="A picture on the chest; its transparency is kept.")
    ] = None,
    strength: Annotated[float, typer.Option(help="How much of clothes and identity, 0 to 1.")] = 1.0,
    edits: Annotated[
        Path | None,
        typer.Option(help="Instead: a JSON list of changes, as recipes hold it; files relative to it."),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Also what the model sees, photograph and texture, as a PNG.")
    ] = None,
    person: Annotated[
        int | None, typer.Option(min=1, help="Which of SOURCE's people, from the left.")
    ] = None,
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
    """Change a photograph's person, then render them. Beside the picture goes its recipe, a JSON."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.cli.pose import render_all, tell
    from mcld.inference.jobs import jobs_for

    flags = [
        *_clothes(clothes_from, parts=parts, strength=strength),
        *_identity(identity_from, strength=strength),
        *_blend(blend_with, weight=weight),
        *_recolours(recolour or []),
        *([{"kind": "print", "picture": str(print_picture)}] if print_picture else []),
    ]
    wanted = _wanted(flags, edits=edits)
    jobs = jobs_for(source, target=source if pose is None else pose, out=out)
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
        person=person,
        pose_person=person if pose is None else None,
    )
    directory = edits.parent if edits else Path()
    renderer = replace(renderer, changes=_changes(wanted, engine=renderer.engine, directory=directory))
    outcomes = render_all(renderer, jobs=jobs, film=None, film_rate=1.0)
    if preview is not None:
        _write_preview(preview, renderer=renderer, source=source)
    tell(outcomes)


def _wanted(flags: list[dict[str, Any]], *, edits: Path | None) -> tuple[Edit, ...]:
    """The edits, of options or of a file. Raises ConfigError for both, or none."""
    from mcld.inference.editing.edits import read_edits
    from mcld.storage import read_json

    if edits is not None and flags:
        raise ConfigError("edit: --edits takes the place of the other changes; give one or the other")
    if edits is not None:
        return read_edits(read_json(edits), place=str(edits))
    if not flags:
        raise ConfigError(
            "edit: nothing is to be changed; give --clothes-from, --identity-from, --recolour, --print, "
            "--blend-with or --edits, or use `mcld pose`"
        )
    return read_edits(flags, place="edit")


def _changes(edits: Sequence[Edit], *, engine: Engine, directory: Path) -> Changes:
    """The edits with everyone and everything they name, files relative to `directory`."""
    from mcld.inference.changes import read_changes
    from mcld.inference.photos.photo import read_file

    return read_changes(
        edits,
        person_of=lambda name: engine.person(
            engine.pose(read_file(directory / name), name=str(directory / name))
        ),
        bytes_of=lambda name: read_file(directory / name),
        path_of=lambda name: str(directory / name),
    )


def _write_preview(path: Path, *, renderer: JobRenderer, source: Path) -> None:
    from mcld.data.codec import encode_png
    from mcld.inference.editing.preview import preview
    from mcld.storage import write_bytes

    picture = preview(renderer.person(source))
    write_bytes(path, data=encode_png(picture))
    print(f"{path}: what the model sees")


def _clothes(donor: Path | None, *, parts: str, strength: float) -> list[dict[str, Any]]:
    names = [name.strip() for name in parts.split(",")]
    if donor is None:
        return []
    return [{"kind": "clothes", "donor": str(donor), "parts": names, "strength": strength}]


def _identity(donor: Path | None, *, strength: float) -> list[dict[str, Any]]:
    return [] if donor is None else [{"kind": "identity", "donor": str(donor), "strength": strength}]


def _blend(other: Path | None, *, weight: float) -> list[dict[str, Any]]:
    return [] if other is None else [{"kind": "blend", "other": str(other), "weight": weight}]


def _recolours(wanted: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for text in wanted:
        parts, equals, colour = text.rpartition("=")
        if not equals:
            raise ConfigError(f"--recolour: '{text}' is not of the form PARTS=#rrggbb, such as upper=#b03060")
        names = [name.strip() for name in parts.split(",")]
        found.append({"kind": "recolour", "parts": names, "colour": colour})
    return found
