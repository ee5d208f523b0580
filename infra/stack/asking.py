"""Ask a service over HTTP."""

from __future__ import annotations

import json
import urllib.request

TIMEOUT_S = 5.0


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


def get(url: str) -> object:
    """The JSON that a GET is answered with. Raises OSError."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def ask(url: str, *, body: object) -> object:
    """POST JSON, return the JSON of the answer. Raises OSError."""
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)
