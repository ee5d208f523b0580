"""Measure what the service adds to a picture, beyond what the engine takes for it.

    python -m benchmarks.service                       the shipped base weights, two steps
    python -m benchmarks.service --steps 10 --repeats 30

Rendered people stand in for photographs, with a finder that knows them: looking at photographs costs the same
with and without the service. `engine_ms` is `Engine.render` and the PNG's encoding, in this thread; `job_ms`
is what the service says that a render took, from its start to its end in the model's thread, while somebody
asks after it every `--poll-ms`. The two are taken in turn. `ticket_ms` is until a render is accepted,
`status_ms` one question after it, `picture_ms` until its picture's bytes are here, all over a real socket of
this machine. Their sum without the engine's own time is `overhead_ms`, of one picture; how late a client
learns that it is done is up to how often it asks. `upload_ms` is until a photograph of 176 x 256 pixels is
looked at. Client and server share one process, and so its interpreter. Medians, in one JSON line.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import torch
import typer

from benchmarks.measure import machine, show
from mcld.data.codec import encode_png
from mcld.inference.settings import RenderSettings
from mcld.service.jobs import OVER
from tests.service.service import (
    make_app,
    make_engine,
    photo_id,
    photographs,
    post_photo,
    request_for,
    running,
)


def main(
    steps: Annotated[int, typer.Option(min=1)] = 2,
    repeats: Annotated[int, typer.Option(min=3)] = 20,
    poll_ms: Annotated[float, typer.Option(min=0.0, help="Between two questions after a render.")] = 200.0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Measure and show one JSON line."""
    torch.set_num_threads(threads)
    engine = make_engine()
    settings = RenderSettings(num_steps=steps, guidance_scale=1.5)
    person, pose = (engine.pose(data, name="photo") for data in photographs().people[:2])
    subject = engine.person(person), pose
    with running(make_app(engine=engine)) as server, httpx.Client(base_url=server.address) as client:
        source, target = (photo_id(client, data) for data in photographs().people[:2])
        request = request_for(source, target, **settings.model_dump(mode="json"))
        ways: dict[str, Callable[[], float]] = {
            "engine": lambda: _timed(
                lambda: encode_png(engine.render([subject], settings=settings).pictures[0])
            ),
            "job": lambda: _rendered(client, request=request, poll_s=poll_ms / 1000)[1],
        }
        taken = _in_turn(ways, repeats=repeats)
        parts = _parts(client, request=request, repeats=repeats)
    added = taken["job"] - taken["engine"] + sum(parts[name] for name in ("ticket", "status", "picture"))
    show(
        {
            "benchmark": "service",
            **{f"{name}_ms": round(value, 2) for name, value in {**taken, **parts}.items()},
            "overhead_ms": round(added, 2),
            "num_steps": steps,
            "repeats": repeats,
            "poll_ms": poll_ms,
            "load_1min": round(os.getloadavg()[0], 2),
            **machine(torch.device("cpu")),
        }
    )


def _in_turn(ways: dict[str, Callable[[], float]], *, repeats: int) -> dict[str, float]:
    """Median milliseconds of each, taken in turn, so that a busy moment meets all alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            milliseconds = way()
            if number:  # the first is a warm-up
                taken[name].append(milliseconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def _parts(client: httpx.Client, *, request: dict[str, Any], repeats: int) -> dict[str, float]:
    """Median milliseconds of single requests, with nothing else under way."""
    done, _ = _rendered(client, request=request, poll_s=0.05)
    photograph = photographs().people[2]

    def ticket() -> float:
        started = time.perf_counter()
        address = _asked(client, request=request)
        taken = 1000 * (time.perf_counter() - started)
        client.delete(address)  # it ends at its next step
        _wait(client, address=address, poll_s=0.05)
        return taken

    return _in_turn(
        {
            "upload": lambda: _timed(lambda: post_photo(client, photograph)),
            "status": lambda: _timed(lambda: client.get(done)),
            "picture": lambda: _timed(lambda: client.get(f"{done}/picture.png")),
            "ticket": ticket,
        },
        repeats=repeats,
    )


def _rendered(client: httpx.Client, *, request: dict[str, Any], poll_s: float) -> tuple[str, float]:
    """Have a picture made. Returns its render's address, and the milliseconds that the service says."""
    address = _asked(client, request=request)
    answer = _wait(client, address=address, poll_s=poll_s)
    assert answer["state"] == "done", answer
    return address, 1000 * float(answer["seconds"])


def _asked(client: httpx.Client, *, request: dict[str, Any]) -> str:
    return f"/v1/renders/{client.post('/v1/renders', json=request).raise_for_status().json()['id']}"


def _wait(client: httpx.Client, *, address: str, poll_s: float) -> dict[str, Any]:
    while True:
        answer: dict[str, Any] = client.get(address).json()
        if answer["state"] in OVER:
            return answer
        time.sleep(poll_s)


if __name__ == "__main__":
    typer.run(main)
