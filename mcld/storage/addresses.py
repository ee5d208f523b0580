"""Addresses as they may be shown: without the name and the password that may be in them."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")


def without_credentials(text: str) -> str:
    """`text` with `name:password@` cut out of every address in it."""
    return _CREDENTIALS.sub("", text)
