"""What a person is told of a stack that is up."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from infra.stack.credentials import BUCKET
from infra.stack.service import Service
from infra.stack.settings import Settings


def table(settings: Settings, *, services: Sequence[Service]) -> str:
    """Addresses, logs, and how a shell comes to use them."""
    width = max(len(service.name) for service in services)
    lines = [f"  {service.name:<{width}}  {service.address}" for service in services]
    place = settings.state_dir
    if place.is_relative_to(settings.checkout):
        place = place.relative_to(settings.checkout)
    return "\n".join(
        [
            "stack: up, on this machine alone",
            *lines,
            f"  bucket s3://{BUCKET}; logs in {place}/logs; in another shell:",
            f"    . {shlex.quote(str(place / 'env'))}",
            "    prefect deployment run mcld/pipeline --watch",
            "stack: Ctrl-C ends it; what it knows stays",
        ]
    )


def exports(client: Mapping[str, str]) -> str:
    """A file for a shell to source."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in client.items()]
    return "# How a shell uses the stack. Holds no secret: the keys are in the file that it names.\n" + (
        "\n".join(lines) + "\n"
    )
