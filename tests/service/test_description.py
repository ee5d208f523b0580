"""The service does what its own description says, whatever is sent: asked by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.service.service import make_app, photographs, running

NUM_EXAMPLES = 15  # of an address and method, and again of wrong ones
ADDRESSES = (
    "GET /health",
    "GET /metrics",
    "GET /v1/examples",
    "GET /v1/model",
    "GET /v1/photos/{photo_id}",
    "GET /v1/photos/{photo_id}/people/{number}/{what}.png",
    "GET /v1/renders/{render_id}",
    "GET /v1/renders/{render_id}/attention.png",
    "GET /v1/renders/{render_id}/picture.png",
    "GET /v1/renders/{render_id}/recipe.json",
    "DELETE /v1/photos/{photo_id}",
    "DELETE /v1/pictures/{picture_id}",
    "DELETE /v1/renders/{render_id}",
    "POST /v1/photos",
    "POST /v1/pictures",
    "POST /v1/previews",
    "POST /v1/renders",
)
# That bytes are a picture, or that two settings go together, no description can say.
BEYOND_WORDS = ("POST /v1/photos", "POST /v1/pictures", "POST /v1/renders")
# Of other addresses nothing can be wrong but an id that is unknown.
REFUSING = (
    "GET /v1/photos/{photo_id}/people/{number}/{what}.png",
    "POST /v1/photos",
    "POST /v1/pictures",
    "POST /v1/previews",
    "POST /v1/renders",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(make_app()) as server:
        yield server.address


@pytest.fixture(scope="module")
def described(address: str) -> BaseSchema:
    pictures = st.sampled_from(photographs().people) | st.binary(max_size=99)
    for media_type in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
        schemathesis.openapi.media_type(media_type, pictures)
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


@pytest.mark.parametrize("label", ADDRESSES)
def test_every_answer_is_one_that_is_described(described: BaseSchema, label: str) -> None:
    ask(described, label=label, mode=GenerationMode.POSITIVE)


@pytest.mark.parametrize("label", REFUSING)
def test_every_refusal_is_one_that_is_described(described: BaseSchema, label: str) -> None:
    ask(described, label=label, mode=GenerationMode.NEGATIVE)


def ask(described: BaseSchema, *, label: str, mode: GenerationMode) -> None:
    """Send examples to one address, and check the answers against the description."""
    method, path = label.split()

    @settings(max_examples=NUM_EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def answers(case: Case[Any]) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if label in BEYOND_WORDS else [])

    answers()


def test_every_address_has_a_summary_and_says_how_it_refuses(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }

    assert set(operations) == set(ADDRESSES)
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        assert {"400", "401", "403"} <= set(operation["responses"])
