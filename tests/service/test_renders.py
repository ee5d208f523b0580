"""Renders over HTTP: the whole round, the queue, cancellation, limits, several clients at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import httpx
import numpy as np
import pytest
from PIL import Image

from mcld.inference.recipe import Recipe
from mcld.inference.settings import RenderSettings
from mcld.service.limits import Limits
from mcld.storage import sha256_of_bytes
from tests.service.service import (
    MODEL,
    MODEL_SHA256,
    SETTINGS,
    make_app,
    make_engine,
    outcome,
    photo_id,
    photographs,
    pixels_of,
    render_id,
    request_for,
    talking_to,
    until,
)

LONG = 200  # steps: more than a test waits for


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with talking_to(make_app()) as client:
        yield client


@cache
def rendered(source: int, target: int) -> np.ndarray:
    """What the engine itself gives of two of the people."""
    engine, people = make_engine(), photographs().people
    person = engine.person(engine.pose(people[source], name="source"))
    pose = engine.pose(people[target], name="target")
    settings = RenderSettings.model_validate(SETTINGS)
    return engine.render([(person, pose)], settings=settings).pictures[0]


def test_a_render_goes_from_queue_to_picture_and_recipe(client: httpx.Client) -> None:
    source = photo_id(client, photographs().people[0], name="anna.png")
    target = photo_id(client, photographs().people[1], name="pose.png")
    ticket = client.post("/v1/renders", json=request_for(source, target))
    answer = outcome(client, ticket.json()["id"])
    picture = client.get(answer["picture"])
    recipe = Recipe.model_validate_json(client.get(answer["recipe"]).content)

    assert ticket.status_code == 202
    assert ticket.json()["state"] in ("queued", "running")
    assert (answer["state"], answer["step"], answer["num_steps"], answer["error"]) == ("done", 2, 2, None)
    assert answer["seconds"] > 0
    assert answer["attention"] is None
    assert any("no face model" in note for note in answer["notes"])
    assert np.array_equal(pixels_of(picture.content), rendered(0, 1))
    assert picture.headers["Content-Type"] == "image/png"
    assert recipe.picture_sha256 == sha256_of_bytes(picture.content)
    assert recipe.settings == RenderSettings.model_validate(SETTINGS)
    assert (recipe.model, recipe.model_sha256) == (MODEL, MODEL_SHA256)
    assert (recipe.source.path, recipe.target.path) == ("anna.png", "pose.png")
    assert recipe.source.sha256 == sha256_of_bytes(photographs().people[0])


def test_a_person_is_chosen_by_number_and_the_usual_one_without(client: httpx.Client) -> None:
    crowd = photo_id(client, photographs().crowd)
    answers = []
    for person in (None, 1, 2):
        request = request_for(crowd, crowd)
        request["source"]["person"] = request["target"]["person"] = person
        answers.append(outcome(client, render_id(client, request)))
    recipes = [client.get(answer["recipe"]).json() for answer in answers]
    pictures = [client.get(answer["picture"]).content for answer in answers]

    assert [recipe["source"]["number"] for recipe in recipes] == [1, 1, 2]
    assert pictures[0] == pictures[1] != pictures[2]


def test_what_settings_leave_out_is_as_the_models_defaults_say(client: httpx.Client) -> None:
    defaults = client.get("/v1/model").json()["defaults"]
    photo = photo_id(client, photographs().people[0])
    request = {**request_for(photo, photo), "settings": {"num_steps": 1, "scheduler": "euler"}}
    answer = outcome(client, render_id(client, request))

    assert client.get(answer["recipe"]).json()["settings"] == {
        **defaults,
        "num_steps": 1,
        "scheduler": "euler",
    }
    assert defaults["num_steps"] == make_engine().preparation.num_inference_steps


def test_attention_is_shown_where_it_is_asked_for(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    with_maps = outcome(client, render_id(client, {**request_for(photo, photo), "attention": True}))
    without = outcome(client, render_id(client, request_for(photo, photo)))
    shown = Image.open(io.BytesIO(client.get(with_maps["attention"]).content))

    assert shown.width > 300
    assert client.get(with_maps["picture"]).content == client.get(without["picture"]).content
    refused = client.get(f"/v1/renders/{without['id']}/attention.png")
    assert refused.status_code == 404
    assert "without attention" in refused.json()["detail"]


def test_progress_is_told_photographs_are_read_meanwhile_and_a_cancelled_render_ends() -> None:
    with talking_to(make_app()) as client:
        photo = photo_id(client, photographs().people[0])
        running, waiting = (render_id(client, request_for(photo, photo, num_steps=LONG)) for _ in range(2))
        until(client, running, lambda answer: answer["step"] >= 1)
        photo_id(client, photographs().people[1])
        during = client.get(f"/v1/renders/{running}").json()
        behind = client.get(f"/v1/renders/{waiting}").json()
        early = client.get(f"/v1/renders/{running}/picture.png")
        for render in (waiting, running):
            assert client.delete(f"/v1/renders/{render}").status_code == 204
        ends = [outcome(client, render) for render in (running, waiting)]

        assert (during["state"], during["picture"]) == ("running", None)
        assert (behind["state"], behind["position"]) == ("queued", 1)
        assert early.status_code == 404
        assert "is running" in early.json()["detail"]
        assert [end["state"] for end in ends] == ["cancelled", "cancelled"]
        assert ends[0]["step"] < LONG
        assert client.delete(f"/v1/renders/{running}").status_code == 204
        assert client.get(f"/v1/renders/{running}").status_code == 404


def test_a_render_that_takes_too_long_fails_with_a_sentence() -> None:
    with talking_to(make_app(limits=Limits(render_timeout_s=0.0))) as client:
        photo = photo_id(client, photographs().people[0])
        answer = outcome(client, render_id(client, request_for(photo, photo, num_steps=LONG)))

    assert (answer["state"], answer["step"], answer["picture"]) == ("failed", 1, None)
    assert answer["error"] == "the picture took longer than 0 s; ask for fewer steps"


def test_a_full_queue_is_said_with_when_to_ask_again() -> None:
    with talking_to(make_app(limits=Limits(max_queue=2))) as client:
        photo = photo_id(client, photographs().people[0])
        request = request_for(photo, photo, num_steps=LONG)
        running = render_id(client, request)
        until(client, running, lambda answer: answer["state"] == "running")
        for _ in range(2):
            render_id(client, request)
        refused = client.post("/v1/renders", json=request)
        queued = client.get("/health").json()["queued"]

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert queued == 2


def test_a_photograph_may_be_forgotten_while_its_render_waits() -> None:
    with talking_to(make_app()) as client:
        first, second = (photo_id(client, data) for data in photographs().people[:2])
        blocking = render_id(client, request_for(first, first, num_steps=LONG))
        render = render_id(client, request_for(first, second))
        for photo in (first, second):
            client.delete(f"/v1/photos/{photo}")
        client.delete(f"/v1/renders/{blocking}")
        answer = outcome(client, render)

        assert np.array_equal(pixels_of(client.get(answer["picture"]).content), rendered(0, 1))


def test_eight_clients_at_once_all_get_their_own_pictures() -> None:
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2), (3, 1), (1, 3)]

    def round_of(pair: tuple[int, int]) -> np.ndarray:
        with httpx.Client(base_url=address, timeout=60) as client:
            source, target = (photo_id(client, photographs().people[index]) for index in pair)
            answer = outcome(client, render_id(client, request_for(source, target)))
            return pixels_of(client.get(answer["picture"]).content)

    with talking_to(make_app()) as client, ThreadPoolExecutor(len(pairs)) as threads:
        address = str(client.base_url)
        pictures = list(threads.map(round_of, pairs))

    for pair, picture in zip(pairs, pictures, strict=True):
        assert np.array_equal(picture, rendered(*pair)), pair


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"settings": {"num_steps": 500}},
            "settings.num_steps: 500, but input should be less than or equal to 200",
        ),
        ({"settings": {"guidance_scale": 0.5}}, "settings.guidance_scale: 0.5, but"),
        ({"settings": {"scheduler": "pndm"}}, "settings.scheduler: 'pndm', but"),
        ({"settings": {"background": "beach"}}, "'beach' is unknown; choose generated, target, or a colour"),
        ({"settings": {"sampler": "ddim"}}, "settings.sampler"),
        ({"source": {"photo": "../etc"}}, "source.photo: '../etc'"),
        ({"target": {}}, "target.photo: field required"),
        ({"target": None}, "target: None, but"),
    ],
)
def test_a_request_that_does_not_fit_is_a_sentence_of_field_value_and_bound(
    client: httpx.Client, changes: dict[str, object], sentence: str
) -> None:
    photo = photo_id(client, photographs().people[0])
    response = client.post("/v1/renders", json={**request_for(photo, photo), **changes})

    assert response.status_code == 422
    assert sentence in response.json()["detail"]
    assert response.json()["errors"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"source": NaN}',
        b'{"source": {"photo": "\\ud800"}}',
        b'{"\\ud800": 1}',
        b'{"settings": {"seed": 1e999}}',
    ],
)
def test_a_body_that_is_no_request_is_never_the_services_failure(client: httpx.Client, body: bytes) -> None:
    response = client.post("/v1/renders", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code in (400, 422)
    assert isinstance(response.json()["detail"], str)


def test_settings_must_go_together_with_the_defaults_too(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    interval = [0.0, 0.04]  # holds the first of 20 steps' middles, and of the default's 10 steps none
    response = client.post(
        "/v1/renders", json={**request_for(photo, photo), "settings": {"guidance_interval": interval}}
    )

    assert response.status_code == 422
    assert response.json()["detail"].startswith("settings: guidance_interval: 0.0 to 0.04 holds none of 10")


def test_nobody_of_the_number_is_said_before_anything_waits(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0], name="me.png")
    request = request_for(photo, photo)
    request["target"]["person"] = 2
    response = client.post("/v1/renders", json=request)

    assert response.status_code == 422
    assert response.json()["detail"] == "me.png: person 2 was asked for, but there is 1 person"


def test_unknown_renders_and_addresses_are_said_so(client: httpx.Client) -> None:
    for path in ("/v1/renders/x", "/v1/renders/x/picture.png", "/v1/renders/x/recipe.json"):
        assert "may have expired" in client.get(path).json()["detail"], path
    nowhere = client.get("/v2")

    assert nowhere.status_code == 404
    assert "/openapi.json" in nowhere.json()["detail"]
    assert client.put("/v1/renders").status_code == 405
