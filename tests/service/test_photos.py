"""Photographs over HTTP: sent, looked at, forgotten, refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from mcld.service.examples import ExamplePhoto
from mcld.service.limits import Limits
from tests.service.service import (
    make_app,
    make_engine,
    photo_id,
    photographs,
    pixels_of,
    post_photo,
    request_for,
    running,
    talking_to,
)

VIEWS = ("photo", "iuv", "overlay", "texture", "face")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with talking_to(make_app()) as client:
        yield client


def png_of(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def png_that_claims(width_px: int, height_px: int) -> bytes:
    """A header alone, of a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_photograph_is_taken_and_everyone_in_it_found_from_left_to_right(client: httpx.Client) -> None:
    response = post_photo(client, photographs().crowd, name="two of us.png")
    found = response.json()
    first, second = found["people"]

    assert response.status_code == 201
    assert (found["name"], found["width_px"], found["height_px"]) == ("two of us.png", 352, 256)
    assert [first["number"], second["number"], found["usual"]] == [1, 2, 1]  # the first fills more
    assert first["box"][2] <= 176 < second["box"][0]
    assert client.get(f"/v1/photos/{found['id']}").json() == found


def test_views_are_pictures_of_what_the_model_sees(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    pose = make_engine().pose(photographs().people[0], name="me.png")
    views = {what: pixels_of(client.get(f"/v1/photos/{photo}/people/1/{what}.png").content) for what in VIEWS}
    person, background = pose.iuv[..., 0] > 0, pose.iuv[..., 0] == 0

    assert np.array_equal(views["photo"], pose.photo)
    assert (views["iuv"][background] == 255).all()
    assert len(np.unique(views["iuv"][person], axis=0)) > 20
    assert np.array_equal(views["overlay"][background], pose.photo[background])
    assert (views["overlay"][person] != pose.photo[person]).any(axis=-1).mean() > 0.9
    assert np.array_equal(views["texture"], make_engine().person(pose).atlas)
    assert views["face"].shape[0] < pose.photo.shape[0] / 2


def test_a_view_is_drawn_once(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    first, second = (client.get(f"/v1/photos/{photo}/people/1/iuv.png") for _ in range(2))

    assert first.content == second.content
    assert first.headers["Content-Type"] == "image/png"
    assert first.headers["Cache-Control"] == "no-store"


def test_nobody_of_this_number_and_no_such_view_are_sentences(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().crowd, name="crowd.png")
    nobody = client.get(f"/v1/photos/{photo}/people/3/iuv.png")
    nothing = client.get(f"/v1/photos/{photo}/people/1/soul.png")

    assert (nobody.status_code, nothing.status_code) == (404, 422)
    assert nobody.json()["detail"].startswith("crowd.png: person 3 was asked for, but there are 2 people")
    assert "'soul'" in nothing.json()["detail"]


def test_without_a_head_there_is_no_face_to_show(client: httpx.Client) -> None:
    finder = photographs().finder
    image = pixels_of(photographs().people[1])[::-1].copy()
    iuv = np.zeros_like(image)
    iuv[100:200, 40:120] = (2, 100, 100)
    photo = photo_id(client, finder.add(image, iuv), name="torso.png")
    response = client.get(f"/v1/photos/{photo}/people/1/face.png")

    assert response.status_code == 404
    assert response.json()["detail"] == "torso.png: no head shows of person 1"


def test_a_photograph_that_is_forgotten_is_gone_with_its_views(client: httpx.Client) -> None:
    photo = photo_id(client, photographs().people[0])
    assert client.get(f"/v1/photos/{photo}/people/1/iuv.png").status_code == 200

    assert client.delete(f"/v1/photos/{photo}").status_code == 204
    for response in (
        client.get(f"/v1/photos/{photo}"),
        client.get(f"/v1/photos/{photo}/people/1/iuv.png"),
        client.delete(f"/v1/photos/{photo}"),
        client.post("/v1/renders", json=request_for(photo, photo)),
    ):
        assert response.status_code == 404
        assert "may have expired" in response.json()["detail"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"Dear service, this is a letter.", "not a picture"),
        (photographs().people[0][:4000], "damaged or cut off"),
        (png_of(Image.new("RGB", (20, 30))), "20 x 30 pixels are too few"),
        (png_that_claims(100_000, 100_000), "more than 80 million pixels"),
        (png_of(Image.new("RGB", (100, 100))), "no person was found"),
    ],
    ids=["empty", "text", "cut off", "tiny", "bomb", "nobody"],
)
def test_a_photograph_that_cannot_be_used_is_refused_with_a_sentence_that_names_it(
    client: httpx.Client, data: bytes, sentence: str
) -> None:
    response = post_photo(client, data, name="mine.jpg")

    assert response.status_code == 422
    assert response.json()["detail"].startswith("mine.jpg: ")
    assert sentence in response.json()["detail"]


def test_transparency_is_laid_on_white_and_said(client: httpx.Client) -> None:
    transparent = Image.fromarray(pixels_of(photographs().people[0])).convert("RGBA")
    response = post_photo(client, png_of(transparent))

    assert response.status_code == 201
    assert response.json()["notes"] == ["its transparent parts were laid on white"]


def test_a_photograph_that_was_held_sideways_is_turned_upright(client: httpx.Client) -> None:
    upright = Image.fromarray(pixels_of(photographs().people[0]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees
    response = post_photo(client, png_of(upright.rotate(90, expand=True), exif=exif))

    assert response.status_code == 201
    assert (response.json()["width_px"], response.json()["height_px"]) == upright.size
    assert response.json()["notes"] == ["turned upright, as the camera says it was held"]


@pytest.mark.parametrize("media_type", ["text/html", "multipart/form-data; boundary=x", "application/json"])
def test_what_is_no_picture_by_its_type_is_refused(client: httpx.Client, media_type: str) -> None:
    response = post_photo(client, photographs().people[0], media_type=media_type)

    assert response.status_code == 415
    assert media_type.partition(";")[0] in response.json()["detail"]


def test_too_large_a_file_is_refused_by_its_announced_length_before_it_is_sent() -> None:
    with running(make_app(limits=Limits(max_upload_bytes=1000))) as server:
        host, port = server.address.removeprefix("http://").split(":")
        with httpx.Client(base_url=server.address) as client:
            announced = client.post("/v1/photos", content=b"x" * 1001)
            streamed = client.post("/v1/pictures", content=iter([b"x" * 600, b"x" * 600]))
        waiting = raw_request(
            host,
            int(port),
            b"POST /v1/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        )

    for response in (announced, streamed):
        assert response.status_code == 413
        assert response.json()["detail"] == "more than 1000 bytes are not taken; send a smaller picture"
    assert waiting.startswith(b"HTTP/1.1 413")


def raw_request(host: str, port: int, request: bytes) -> bytes:
    """Send bytes, and wait for the first of the answer."""
    import socket

    with socket.create_connection((host, port)) as connection:
        connection.sendall(request)
        return connection.recv(1000)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with running(make_app(limits=Limits(upload_timeout_s=0.05))) as server:
        host, port = server.address.removeprefix("http://").split(":")
        answer = raw_request(
            host, int(port), b"POST /v1/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc"
        )

    assert answer.startswith(b"HTTP/1.1 408")


def test_requests_that_are_no_pictures_are_bounded_too() -> None:
    with talking_to(make_app(limits=Limits(max_json_bytes=100))) as client:
        response = client.post("/v1/renders", json={"source": {"photo": "x" * 200}})

    assert response.status_code == 413


def test_the_photograph_that_was_not_used_longest_leaves_when_there_are_many() -> None:
    with talking_to(make_app(limits=Limits(max_photos=2))) as client:
        first, second, third = (photo_id(client, data) for data in photographs().people[:3])

        statuses = [client.get(f"/v1/photos/{key}").status_code for key in (first, second, third)]
    assert statuses == [404, 200, 200]


def test_photographs_expire_and_examples_do_not() -> None:
    examples = [ExamplePhoto(data=photographs().people[0], name="one.png", role="person")]
    with talking_to(make_app(limits=Limits(photo_ttl_s=0.0), examples=examples)) as client:
        photo = photo_id(client, photographs().people[1])
        (example,) = client.get("/v1/examples").json()

        assert client.get(f"/v1/photos/{photo}").status_code == 404
        assert (example["name"], example["role"]) == ("one.png", "person")
        assert client.get(f"/v1/photos/{example['photo']}").json()["name"] == "one.png"
        assert client.delete(f"/v1/photos/{example['photo']}").status_code == 404
        assert client.get("/v1/examples").json() == [example]


def test_an_example_in_which_nobody_is_found_is_left_out_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    examples = [ExamplePhoto(data=png_of(Image.new("RGB", (90, 90))), name="empty.png", role="pose")]
    with talking_to(make_app(examples=examples)) as client:
        assert client.get("/v1/examples").json() == []
    assert "empty.png: no person was found" in caplog.text


def test_a_picture_to_print_keeps_its_transparency_and_can_be_forgotten(client: httpx.Client) -> None:
    logo = Image.new("RGBA", (30, 20), (255, 0, 0, 0))
    response = client.post("/v1/pictures", params={"name": "logo.png"}, content=png_of(logo))
    found = response.json()

    assert response.status_code == 201
    assert (found["name"], found["width_px"], found["height_px"]) == ("logo.png", 30, 20)
    assert found["has_alpha"] is True
    assert client.delete(f"/v1/pictures/{found['id']}").status_code == 204
    assert client.delete(f"/v1/pictures/{found['id']}").status_code == 404
