from __future__ import annotations

import httpx

from tests.service.service import (
    make_app,
    outcome,
    photo_id,
    photographs,
    render_id,
    request_for,
    talking_to,
)


def samples(client: httpx.Client) -> dict[str, float]:
    """By name and labels, as the text says them."""
    lines = client.get("/metrics").text.splitlines()
    split = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in split}


def test_requests_are_counted_by_route_and_renders_by_outcome() -> None:
    with talking_to(make_app()) as client:
        photo = photo_id(client, photographs().people[0], name="private name.png")
        outcome(client, render_id(client, request_for(photo, photo)))
        cancelled = render_id(client, request_for(photo, photo, num_steps=200))
        client.delete(f"/v1/renders/{cancelled}")
        outcome(client, cancelled)
        client.get("/wp-login.php")
        text, found = client.get("/metrics").text, samples(client)

    assert found['mcld_http_requests_total{method="POST",route="/v1/photos",status="201"}'] == 1
    assert found['mcld_http_requests_total{method="POST",route="/v1/renders",status="202"}'] == 2
    assert found['mcld_http_requests_total{method="GET",route="other",status="404"}'] == 1
    assert found['mcld_renders_total{outcome="done"}'] == 1
    assert found['mcld_renders_total{outcome="cancelled"}'] == 1
    assert found['mcld_renders_total{outcome="failed"}'] == 0
    assert found["mcld_render_seconds_count"] == 1
    assert found["mcld_render_seconds_sum"] > 0
    assert found["mcld_queue_length"] == 0
    for secret in ("private", photo, "wp-login"):
        assert secret not in text


def test_two_services_of_a_process_count_apart() -> None:
    with talking_to(make_app()) as first, talking_to(make_app()) as second:
        first.get("/health")

        assert not any("/health" in name for name in samples(second))
