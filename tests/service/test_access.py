from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mcld.errors import ConfigError
from mcld.service.access import (
    LOOPBACK_NAMES,
    Access,
    access_for,
    is_from_elsewhere,
    is_loopback,
    name_in,
    password_from,
)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert is_loopback(host)
    assert access_for(host, password=None).admits(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "my-machine"])
def test_any_other_host_needs_one(host: str) -> None:
    with pytest.raises(ConfigError, match="password"):
        access_for(host, password=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_needs_the_names_that_it_is_called_by(host: str) -> None:
    with pytest.raises(ConfigError, match="--allowed-host"):
        access_for(host, password="long enough")

    access = access_for(host, password="long enough", allowed_hosts=["Studio.Lan"])
    assert access.knows("studio.lan:8000")


def test_only_known_names_are_answered_to_whatever_the_port() -> None:
    access = access_for("192.168.1.7", password="long enough", allowed_hosts=["studio.lan"])

    for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "192.168.1.7:8000", "STUDIO.lan"):
        assert access.knows(host), host
    for host in ("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "[::2]"):
        assert not access.knows(host), host


@pytest.mark.parametrize(
    ("host", "name"), [("a.b:80", "a.b"), ("[::1]:80", "::1"), ("A", "a"), ("", ""), ("[", "")]
)
def test_the_name_of_a_host_header(host: str, name: str) -> None:
    assert name_in(host) == name


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic /////w==",
        "Bearer correct horse",
        basic("correct horse"),
        basic("me:wrong horse"),
        basic("me:correct horse "),
        basic("me:"),
    ],
)
def test_without_the_password_nobody_is_admitted(header: str | None) -> None:
    assert not Access(password="correct horse").admits(header)


@pytest.mark.parametrize("user", ["", "me", "jörg"])
def test_with_it_anybody_is(user: str) -> None:
    assert Access(password="correct: hörse").admits(basic(f"{user}:correct: hörse"))


def test_a_password_is_the_first_line_of_a_file_before_the_environments(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from the file\nnot this\n")
    environment = {"MCLD_PASSWORD": "from the environment"}

    assert password_from(path, environment=environment) == "from the file"
    assert password_from(None, environment=environment) == "from the environment"
    assert password_from(None, environment={}) is None


def test_a_short_or_unreadable_password_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("\n")

    with pytest.raises(ConfigError, match="too short"):
        password_from(path, environment={})
    with pytest.raises(ConfigError, match="MCLD_PASSWORD: a password of 3 letters"):
        password_from(None, environment={"MCLD_PASSWORD": "abc"})
    with pytest.raises(ConfigError, match="cannot be read"):
        password_from(tmp_path / "missing", environment={})


def test_a_password_is_in_no_text_of_the_rules() -> None:
    assert "correct" not in repr(Access(password="correct horse"))
    assert access_for("127.0.0.1", password=None).names >= LOOPBACK_NAMES


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"origin": "http://localhost:8000", "host": "localhost:8000"}, False),
        ({"origin": "https://localhost:8000", "host": "localhost:8000"}, False),
        ({"origin": "http://localhost:9999", "host": "localhost:8000"}, True),
        ({"origin": "http://evil.example", "host": "localhost:8000"}, True),
        ({"origin": "null", "host": "localhost:8000"}, True),
        (
            {
                "sec-fetch-site": "same-origin",
                "origin": "http://evil.example",
                "host": "localhost:8000",
            },
            True,
        ),
    ],
)
def test_requests_of_other_sites_pages_are_known_by_their_headers(
    headers: dict[str, str], elsewhere: bool
) -> None:
    assert is_from_elsewhere(headers) is elsewhere
