"""Who is let in, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from mcld.service.access import Access
from tests.service.service import make_app, photo_id, photographs, talking_to

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with talking_to(make_app()) as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    with talking_to(make_app(access=Access(password=PASSWORD))) as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/model", "/v1/renders/x", "/openapi.json", "/x"])
def test_without_the_password_nothing_is_told(guarded: httpx.Client, path: str) -> None:
    for auth in (None, ("me", "wrong horse")):
        response = guarded.get(path, auth=auth)

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert PASSWORD not in response.text


def test_with_the_password_all_is(guarded: httpx.Client) -> None:
    assert guarded.get("/health", auth=("anybody", PASSWORD)).status_code == 200


def test_without_the_password_no_photograph_is_read(guarded: httpx.Client) -> None:
    assert guarded.post("/v1/photos", content=photographs().people[0]).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1:8000", ""])
def test_a_name_that_is_not_ours_is_not_answered_to(client: httpx.Client, host: str) -> None:
    response = client.get("/health", headers={"Host": host})

    assert response.status_code == 400
    assert "--allowed-host" in response.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}],
)
def test_other_sites_pages_change_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    photo = photo_id(client, photographs().people[0])
    for method, path in (
        ("POST", "/v1/photos"),
        ("POST", "/v1/renders"),
        ("DELETE", f"/v1/photos/{photo}"),
    ):
        assert client.request(method, path, headers=headers).status_code == 403
    assert client.get(f"/v1/photos/{photo}").status_code == 200


def test_our_own_pages_may(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": str(client.base_url)}

    assert client.delete(f"/v1/photos/{photo}", headers=headers).status_code == 204


@pytest.mark.parametrize("path", ["/health", "/v1/model", "/nowhere", "/v1/renders/x"])
def test_every_answer_keeps_browsers_from_guessing_and_telling(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers.get("Cache-Control") == ("no-store" if path.startswith("/v1/") else None)


def test_a_refusal_carries_them_too(guarded: httpx.Client) -> None:
    headers = guarded.get("/v1/model").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_there_are_no_pages_that_load_scripts_from_elsewhere(client: httpx.Client) -> None:
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    assert client.get("/openapi.json").json()["info"]["title"] == "MCLD"
