"""Edits over HTTP: previews, renders and recipes of people who were changed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mcld.inference.editing import REGIONS, preview, read_edits, recolour, wear
from mcld.inference.photos.person import Person
from mcld.inference.recipe import PhotoUse, Recipe
from mcld.inference.remake import remake
from mcld.service.limits import Limits
from mcld.storage import sha256_of_bytes
from tests.service.service import (
    make_app,
    make_engine,
    outcome,
    photo_id,
    photographs,
    pixels_of,
    render_id,
    request_for,
    talking_to,
)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with talking_to(make_app()) as client:
        yield client


def person(index: int, *, name: str = "me.png") -> Person:
    engine = make_engine()
    return engine.person(engine.pose(photographs().people[index], name=name))


def logo() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16), (0, 200, 0, 255)).save(buffer, "PNG")
    return buffer.getvalue()


def ask_preview(client: httpx.Client, source: str, edits: list[dict[str, Any]]) -> httpx.Response:
    return client.post("/v1/previews", json={"source": {"photo": source}, "edits": edits})


def test_a_preview_shows_the_person_after_all_edits_and_says_what_they_were(client: httpx.Client) -> None:
    source, donor = (photo_id(client, photographs().people[index], name=f"{index}.png") for index in range(2))
    edits: list[dict[str, Any]] = [
        {"kind": "clothes", "donor": {"photo": donor}, "parts": ["upper"]},
        {"kind": "recolour", "parts": ["lower"], "colour": "#203050"},
    ]
    response = ask_preview(client, source, edits)
    expected = wear(person(0, name="0.png"), donor=person(1, name="1.png"), parts=["upper"])
    expected = recolour(expected, parts=["lower"], colour="#203050")

    assert response.headers["Content-Type"] == "image/png"
    assert np.array_equal(pixels_of(response.content), preview(expected))
    assert json.loads(response.headers["X-MCLD-Notes"]) == list(expected.edits)


def test_sentences_in_headers_are_of_any_letters(client: httpx.Client) -> None:
    source = photo_id(client, photographs().people[0])
    donor = photo_id(client, photographs().people[1], name="Jörg 猫.png")
    edits = [{"kind": "clothes", "donor": {"photo": donor}, "parts": ["upper"]}]
    (note,) = json.loads(ask_preview(client, source, edits).headers["X-MCLD-Notes"])

    assert "Jörg 猫.png" in note


def test_a_render_of_an_edited_person_is_made_again_from_its_recipe(client: httpx.Client) -> None:
    source, donor = (photo_id(client, data, name="p.png") for data in photographs().people[:2])
    printed = client.post("/v1/pictures", params={"name": "logo.png"}, content=logo()).json()["id"]
    edits: list[dict[str, Any]] = [
        {"kind": "clothes", "donor": {"photo": donor, "person": 1}, "parts": ["upper"], "strength": 0.5},
        {"kind": "print", "picture": printed},
        {"kind": "blend", "other": {"photo": donor}, "weight": 0.25, "what": "appearance"},
    ]
    answer = outcome(client, render_id(client, {**request_for(source, source), "edits": edits}))
    recipe = Recipe.model_validate_json(client.get(answer["recipe"]).content)
    files = {sha256_of_bytes(data): data for data in (*photographs().people, logo())}

    def bytes_of(use: PhotoUse) -> bytes:
        return files[use.sha256]

    picture = pixels_of(client.get(answer["picture"]).content)
    assert np.array_equal(remake(recipe, engine=make_engine(), bytes_of=bytes_of), picture)
    assert {name: use.path for name, use in recipe.named.items()} == {
        "person-1": "p.png",
        "picture-1": "logo.png",
    }
    assert len([note for note in answer["notes"] if "p.png" in note or "printed" in note]) >= 2
    assert recipe.edits == read_edits(
        [
            {**edits[0], "donor": "person-1"},
            {**edits[1], "picture": "picture-1"},
            {**edits[2], "other": "person-1"},
        ],
        place="expected",
    )
    for secret in (source, donor, printed):
        assert secret not in recipe.model_dump_json()


def test_the_regions_that_edits_can_name_are_told(client: httpx.Client) -> None:
    assert client.get("/v1/model").json()["regions"] == list(REGIONS)


@pytest.mark.parametrize(
    ("edit", "status", "sentence"),
    [
        ({"kind": "clothes", "donor": {"photo": "x"}, "parts": ["upper"]}, 404, "there is no photograph 'x'"),
        ({"kind": "print", "picture": "x"}, 404, "there is no picture 'x'"),
        ({"kind": "recolour", "parts": ["uper"], "colour": "#203050"}, 422, "did you mean 'upper'?"),
        ({"kind": "recolour", "parts": ["upper"], "colour": "blue"}, 422, "'blue' is unknown"),
        ({"kind": "hat"}, 422, "edits.0"),
        ({"kind": "clothes", "parts": ["upper"], "donor": "me"}, 422, "edits.0.clothes.donor"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused_with_a_sentence(
    client: httpx.Client, edit: dict[str, Any], status: int, sentence: str
) -> None:
    source = photo_id(client, photographs().people[0])
    render = client.post("/v1/renders", json={**request_for(source, source), "edits": [edit]})

    for response in (ask_preview(client, source, [edit]), render):
        assert response.status_code == status
        assert sentence in response.json()["detail"]


def test_what_only_doing_it_shows_is_the_previews_refusal_and_the_renders_error(
    client: httpx.Client,
) -> None:
    source = photo_id(client, photographs().people[0], name="me.png")
    edits = [{"kind": "identity", "donor": {"photo": source}}]  # no face finder: nobody has a face to give
    refused = ask_preview(client, source, edits)
    failed = outcome(client, render_id(client, {**request_for(source, source), "edits": edits}))

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("me.png: has no face to take")
    assert (failed["state"], failed["error"]) == ("failed", refused.json()["detail"])


def test_more_edits_than_allowed_are_refused() -> None:
    with talking_to(make_app(limits=Limits(max_edits=1))) as client:
        source = photo_id(client, photographs().people[0])
        edit = {"kind": "recolour", "parts": ["upper"], "colour": "#203050"}
        response = ask_preview(client, source, [edit, edit])

    assert response.status_code == 422
    assert response.json()["detail"] == "edits: 2 are asked for, but at most 1 are done"
