"""A service over the shipped base weights, with a finder that knows the maps of the pictures it is shown."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from mcld.data.codec import encode_png
from mcld.inference.engine import Engine
from mcld.inference.photos.finders import Found
from mcld.inference.photos.reader import PhotoReader
from mcld.inference.pipeline import MCLDPipeline
from mcld.service.access import Access
from mcld.service.app import create_app
from mcld.service.examples import ExamplePhoto
from mcld.service.jobs import OVER
from mcld.service.limits import Limits
from mcld.service.run import address_of, bind, server_for
from mcld.storage import sha256_of_bytes
from tests.embedded_engine import embedded_person, embedded_pipeline, embedded_preparation

MODEL = "exports/tiny"
MODEL_SHA256 = "ab" * 32
SETTINGS = {"num_steps": 2, "guidance_scale": 1.5, "seed": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMaps:
    """A `PersonFinder` that knows the people of some pictures, by their pixels, and nobody else."""

    maps: dict[str, tuple[np.ndarray, ...]] = field(default_factory=dict)

    def find(self, photo: np.ndarray) -> tuple[Found, ...]:
        """Those whom the picture was made of."""
        known = self.maps.get(sha256_of_bytes(photo.tobytes()), ())
        return tuple(Found(iuv=iuv, score=0.5 + 0.1 * index) for index, iuv in enumerate(known))

    def add(self, image: np.ndarray, *iuvs: np.ndarray) -> bytes:
        """Learn a picture; returns its PNG."""
        self.maps[sha256_of_bytes(image.tobytes())] = iuvs
        return encode_png(image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photographs:
    """Encoded pictures of rendered people."""

    finder: KnownMaps
    people: tuple[bytes, ...]  # of one person each
    crowd: bytes  # of the first and the second, side by side


@cache
def photographs() -> Photographs:
    """Four people; rendered once."""
    finder = KnownMaps()
    views = [embedded_person(index).rendered for index in range(4)]
    people = tuple(finder.add(view.image, view.iuv) for view in views)
    first, second = views[:2]
    nobody = np.zeros_like(first.iuv)
    crowd = finder.add(
        np.hstack([first.image, second.image]),
        np.hstack([nobody, second.iuv]),  # not in order: people are numbered from the left
        np.hstack([first.iuv, nobody]),
    )
    return Photographs(finder=finder, people=people, crowd=crowd)


@cache
def shared_pipeline() -> MCLDPipeline:
    """Loaded once: the models are never changed."""
    return embedded_pipeline()


def make_engine(pipeline: MCLDPipeline | None = None) -> Engine:
    """The shipped weights, no face finder, and people who are known."""
    preparation = embedded_preparation()
    return Engine(
        pipeline=pipeline or shared_pipeline(),
        preparation=preparation,
        reader=PhotoReader(preparation=preparation, person_finder=photographs().finder, face_finder=None),
        model_sha256=MODEL_SHA256,
    )


def make_app(
    *,
    engine: Engine | None = None,
    limits: Limits | None = None,
    access: Access | None = None,
    examples: Sequence[ExamplePhoto] = (),
) -> FastAPI:
    """A service."""
    return create_app(engine or make_engine(), model=MODEL, limits=limits, access=access, examples=examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A real server in a thread of this process."""

    address: str
    server: uvicorn.Server
    thread: Thread

    def stop(self) -> None:
        """As Ctrl-C does, and wait for the end."""
        self.server.should_exit = True
        self.thread.join()


@contextmanager
def running(app: FastAPI) -> Iterator[RunningServer]:
    """Serve on a free port of this machine."""
    bound, ready = bind("127.0.0.1", port=0), Event()
    server = server_for(app, on_ready=ready.set)
    thread = Thread(target=lambda: server.run(sockets=[bound]))
    thread.start()
    ready.wait()
    started = RunningServer(address=address_of(bound), server=server, thread=thread)
    try:
        yield started
    finally:
        started.stop()
        bound.close()


@contextmanager
def talking_to(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of such a server."""
    with running(app) as started, httpx.Client(base_url=started.address, timeout=60) as client:
        yield client


def pixels_of(png: bytes) -> np.ndarray:
    """(h, w, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def post_photo(
    client: httpx.Client, data: bytes, *, name: str = "me.png", media_type: str = "image/png"
) -> httpx.Response:
    """Send a photograph."""
    headers = {"Content-Type": media_type}
    return client.post("/v1/photos", params={"name": name}, content=data, headers=headers)


def photo_id(client: httpx.Client, data: bytes, *, name: str = "me.png") -> str:
    """Send a photograph that is taken."""
    response = post_photo(client, data, name=name)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def request_for(source: str, target: str, **settings: object) -> dict[str, Any]:
    """A render's request, of two steps unless told otherwise."""
    return {
        "source": {"photo": source},
        "target": {"photo": target},
        "settings": {**SETTINGS, **settings},
    }


def render_id(client: httpx.Client, request: dict[str, Any]) -> str:
    """Ask for a render that is taken."""
    response = client.post("/v1/renders", json=request)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def until(client: httpx.Client, render: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask after a render until it is so far."""
    while True:
        answer: dict[str, Any] = client.get(f"/v1/renders/{render}").json()
        if reached(answer):
            return answer
        time.sleep(0.01)


def outcome(client: httpx.Client, render: str) -> dict[str, Any]:
    """The render's answer when it is over."""
    return until(client, render, lambda answer: answer["state"] in OVER)
