"""Who may ask, and by which names: this machine alone, unless there is a password.

Three dangers are met. Others on the network: any host but loopback needs a password. A page elsewhere whose
name is made to point here (DNS rebinding): a request must call the service by a name that is known. A page
elsewhere that sends requests here: what changes something is refused unless it comes from our own pages.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcld.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PASSWORD_VARIABLE = "MCLD_PASSWORD"
MIN_PASSWORD_LETTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The names that the service is called by, without ports, in small letters; and the password, if any."""

    names: frozenset[str] = LOOPBACK_NAMES
    password: str | None = field(default=None, repr=False)

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this service."""
        return name_in(host) in self.names

    def admits(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header has the password; the user's name may be any."""
        if self.password is None:
            return True
        return hmac.compare_digest(_password_in(authorization or "").encode(), self.password.encode())


def access_for(host: str, *, password: str | None, allowed_hosts: Sequence[str] = ()) -> Access:
    """The rules of a service on `host`. Raises ConfigError when others could reach it unasked."""
    if not is_loopback(host) and password is None:
        raise ConfigError(
            f"host: {host} is reached by other machines, which needs a password; give --password-file FILE, "
            f"or set {PASSWORD_VARIABLE}; or leave --host out for this machine alone"
        )
    if is_every_address(host) and not allowed_hosts:
        raise ConfigError(
            f"host: {host} is every address of this machine; say by which names it is called: "
            "--allowed-host NAME"
        )
    names = {name.lower().strip("[]") for name in (host, *allowed_hosts)}
    return Access(names=LOOPBACK_NAMES | names, password=password)


def password_from(path: Path | None, *, environment: Mapping[str, str] = os.environ) -> str | None:
    """The first line of a file, else MCLD_PASSWORD's value, else None. Raises ConfigError: unreadable, short.

    Never an option's value: every user of a machine sees the options of its programs.
    """
    if path is None and PASSWORD_VARIABLE not in environment:
        return None
    place = PASSWORD_VARIABLE if path is None else str(path)
    try:
        text = environment[PASSWORD_VARIABLE] if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a password ({error})") from error
    password = text.partition("\n")[0].strip()
    if len(password) < MIN_PASSWORD_LETTERS:
        raise ConfigError(
            f"{place}: a password of {len(password)} letters is too short; take at least "
            f"{MIN_PASSWORD_LETTERS}"
        )
    return password


def is_loopback(host: str) -> bool:
    """Whether this machine alone reaches it."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_every_address(host: str) -> bool:
    """Whether it stands for all addresses of the machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def name_in(host: str) -> str:
    """The name of a `Host` header, without its port: `[::1]:8000` is ::1."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent the request for another site's page. Other programs say nothing of that."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


def _password_in(authorization: str) -> str:
    """Of `Basic` credentials; empty when they are none, which is no password."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
