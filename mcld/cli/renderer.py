"""The renderer that `mcld pose` and `mcld edit` ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcld.cli.engine_options import EngineOptions, open_engine

if TYPE_CHECKING:
    from mcld.inference.photos.preparation import Preparation
    from mcld.inference.render_jobs import JobRenderer
    from mcld.inference.settings import RenderSettings


def open_renderer(
    options: EngineOptions,
    *,
    settings_for: Callable[[Preparation], RenderSettings],
    batch_size: int = 1,
    person: int | None = None,
    pose_person: int | None = None,
) -> JobRenderer:
    """A renderer of the engine that the options name. Raises ConfigError and WeightsError."""
    from mcld.inference.recipe import machine_of
    from mcld.inference.render_jobs import JobRenderer

    engine, directory = open_engine(options)
    return JobRenderer(
        engine=engine,
        model_dir=directory,
        machine=machine_of(device=str(engine.pipeline.device), precision=options.dtype),
        settings=settings_for(engine.preparation),
        batch_size=batch_size,
        person_number=person,
        pose_number=pose_person,
    )
