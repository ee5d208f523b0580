"""The studio's page, laid onto the service that it speaks to."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from mcld.inference.engine import Engine
from mcld.service.access import Access
from mcld.service.app import create_app
from mcld.service.limits import Limits
from mcld.studio.examples import examples_for


def create_studio(
    engine: Engine,
    *,
    model: str,  # its folder, as the user named it
    access: Access | None = None,  # None: this machine alone, without a password
    limits: Limits | None = None,  # None: the usual ones
    examples_dir: Path | None = None,  # with people/ and poses/; None: rendered ones, if they fit the model
) -> FastAPI:
    """The application. Raises ConfigError when the folder of examples has none."""
    examples = examples_for(engine.preparation, directory=examples_dir)
    app = create_app(engine, model=model, access=access, limits=limits, examples=examples)
    # Last: what no address of the service answers is a file of the page.
    app.mount("/", StaticFiles(directory=Path(str(files("mcld.studio") / "page")), html=True))
    return app
