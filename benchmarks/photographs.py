"""Seconds from photographs to a picture, and until the studio's page can be used, for a model's folder.

    mcld export my-model && python -m benchmarks.photographs my-model

Of people that are rendered, for models of rendered people. `given` has the conditions of both photographs
already; `photographs` finds people, texture and face in both. The page counts as ready when it answers and
knows its examples.
"""

from __future__ import annotations

import io
import os
import threading
import time
import urllib.request
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image

from benchmarks.measure import machine, measure, show
from mcld.data.mannequins import render_view, sample_mannequin
from mcld.devices import pick_device
from mcld.inference.engine import Engine
from mcld.inference.open import open_engine
from mcld.service.run import address_of, bind, server_for
from mcld.studio.app import create_studio

SEED = 2025


def main(
    model: Annotated[Path, typer.Argument(help="A folder that `mcld export` wrote.")],
    repeats: Annotated[int, typer.Option(min=1)] = 5,
    device: str = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="0: one a core.")] = 0,
) -> None:
    """Measure and show one JSON line each."""
    torch.set_num_threads(threads or os.cpu_count() or 1)
    where = pick_device("cuda" if device == "cuda" else "cpu")
    started = time.perf_counter()
    engine = open_engine(model, device="cuda" if where.type == "cuda" else "cpu")
    loaded_s = time.perf_counter() - started
    settings = engine.defaults
    me, pose = (_jpeg(index, engine=engine) for index in (0, 1))
    given = engine.person(engine.pose(me, name="me.jpg")), engine.pose(pose, name="pose.jpg")

    def from_photographs() -> None:
        subject = engine.person(engine.pose(me, name="me.jpg")), engine.pose(pose, name="pose.jpg")
        engine.render([subject], settings=settings)

    facts = {
        "num_steps": settings.num_steps,
        "guidance_scale": settings.guidance_scale,
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        **machine(where),
    }
    for way, work in (
        ("given", lambda: engine.render([given], settings=settings)),
        ("photographs", from_photographs),
    ):
        timing = measure(work, repeats=repeats, warm_ups=1, device=where)
        show({"benchmark": "picture", "way": way, **timing.rounded(), **facts})
    show(
        {
            "benchmark": "studio ready",
            "seconds": round(_ready_s(engine, model=str(model)), 2),
            "engine_loaded_s": round(loaded_s, 2),
            **facts,
        }
    )


def _ready_s(engine: Engine, *, model: str) -> float:
    """From a loaded model to a page that answers and knows its examples."""
    started = time.perf_counter()
    app = create_studio(engine, model=model)
    ready = threading.Event()
    with bind("127.0.0.1", port=0) as bound:
        server = server_for(app, on_ready=ready.set)
        thread = threading.Thread(target=lambda: server.run(sockets=[bound]))
        thread.start()
        ready.wait()
        for path in ("/", "/studio.js", "/v1/model", "/v1/examples"):
            with urllib.request.urlopen(address_of(bound) + path) as answer:
                answer.read()
        seconds = time.perf_counter() - started
        server.should_exit = True
        thread.join()
    return seconds


def _jpeg(index: int, *, engine: Engine) -> bytes:
    mannequin = sample_mannequin(SEED, index=index)
    rendered = render_view(
        mannequin,
        view=mannequin.views[0],
        height_px=engine.preparation.image_height_px,
        width_px=engine.preparation.image_width_px,
    )
    buffer = io.BytesIO()
    Image.fromarray(rendered.image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
