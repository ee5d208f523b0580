"""Which failures of an object store pass by themselves, and what the others say to a user."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from mcld.errors import DataError, MCLDError, StorageError
from mcld.storage.addresses import without_credentials

if TYPE_CHECKING:
    from botocore.session import Session

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
TRANSIENT_CODES = frozenset(
    {
        "BadDigest",  # altered on the way: the MD5 that was sent along did not fit
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
CREDENTIAL_SOURCES = {
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity's role",
    "config-file": "the AWS config file",
    "container-role": "the container's role",
    "custom-process": "the profile's credential_process",
    "env": "the environment",
    "iam-role": "the machine's instance role",
    "login": "aws login",
    "shared-credentials-file": "the shared credentials file",
    "sso": "single sign-on",
}
MAX_SKEW_MINUTES = 15  # what Amazon, and those who follow it, allow a signature's time to differ
OF_A_PROFILE = frozenset({"assume-role", "config-file", "custom-process", "shared-credentials-file", "sso"})


def failures() -> tuple[type[Exception], ...]:
    """All that a request, or the reading of its answer, may raise."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError)


def is_transient(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        status, code = status_of(error), code_of(error)
        return status in TRANSIENT_STATUSES or code in TRANSIENT_CODES
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return False
    if isinstance(error, exceptions.BotoCoreError):
        return isinstance(
            error, (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError)
        )
    return True  # of the connection, or of an answer that was cut


def status_of(error: Exception) -> int | None:
    """The HTTP status of an answer; None when there was none."""
    response = getattr(error, "response", None)  # requests' errors, which botocore derives from, have one too
    return response["ResponseMetadata"].get("HTTPStatusCode") if isinstance(response, dict) else None


def code_of(error: Exception) -> str:
    """The store's own word for what is wrong, e.g. `NoSuchKey`; empty when there was no answer."""
    response = getattr(error, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""


def explained(error: Exception, *, place: str, has_key: bool, endpoint: str, credentials: str) -> MCLDError:
    """The error to show: place, what the store said, whose credentials were used, and a remedy.

    DataError for an object that is not there, StorageError for all else.
    """
    from botocore.exceptions import NoCredentialsError

    status, code = status_of(error), code_of(error)
    said = f"HTTP {status} {code}".rstrip() if status else _first_line(error)
    told = f"endpoint {without_credentials(endpoint)}, credentials: {credentials}"
    if isinstance(error, NoCredentialsError):
        return StorageError(
            f"{place}: no credentials were found ({told}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        )
    if code == "NoSuchBucket" or (status == 404 and not has_key):
        return StorageError(f"{place}: there is no such bucket ({told}); check its name and the endpoint")
    if code == "NoSuchUpload":
        return StorageError(f"{place}: somebody else ended this upload ({told}); repeat the command")
    if status == 404:
        return DataError(f"{place}: not found ({told}); check the address, or push it there")
    skew = clock_skew_minutes(error)
    if code == "RequestTimeTooSkewed" or (status == 403 and abs(skew) > MAX_SKEW_MINUTES):
        return StorageError(
            f"{place}: this machine's clock is {_by_how_much(skew)} the store's, which refuses what it "
            f"signs so ({told}); set the clock, e.g. by `timedatectl set-ntp true`, and repeat the command"
        )
    if status in (401, 403):
        return StorageError(
            f"{place}: access denied ({said}; {told}); check what these credentials may do"
            " (some stores say this of objects that are not there, too)"
        )
    if code == "PreconditionFailed":
        return StorageError(f"{place}: was replaced while it was read ({told}); repeat the command")
    return StorageError(f"{place}: refused ({_first_line(error)}; {told})")


def given_up(error: Exception, *, place: str, num_tries: int, endpoint: str) -> StorageError:
    """The error to show when the last try failed as well."""
    status, code = status_of(error), code_of(error)
    said = f"HTTP {status} {code}".rstrip() if status else _first_line(error)
    return StorageError(
        f"{place}: gave up after {num_tries} tries, the last: {said} "
        f"(endpoint {without_credentials(endpoint)}); "
        "repeat the command later"
    )


def clock_skew_minutes(error: Exception) -> float:
    """How far this clock is ahead of the store's, by the answer's date; 0 where it has none.

    An answer to HEAD has no body that could name the reason of a refusal, but it has a date.
    """
    response = getattr(error, "response", None)
    headers = response["ResponseMetadata"].get("HTTPHeaders", {}) if isinstance(response, dict) else {}
    try:
        theirs = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return 0.0
    return (datetime.now(UTC) - theirs).total_seconds() / 60


def _by_how_much(skew_minutes: float) -> str:
    if abs(skew_minutes) < 1:
        return "too far from"
    return f"{abs(skew_minutes):,.0f} minutes {'ahead of' if skew_minutes > 0 else 'behind'}"


def credential_source(session: Session) -> str:
    """Where a botocore session has its credentials from, in words."""
    from botocore.exceptions import BotoCoreError

    try:
        found = session.get_credentials()
    except BotoCoreError as error:
        return f"incomplete ({_first_line(error)})"
    if found is None:
        return "none"
    source = CREDENTIAL_SOURCES.get(found.method, str(found.method))
    profile = session.profile or "default"
    return f"{source} (profile {profile})" if found.method in OF_A_PROFILE else source


def _first_line(error: Exception) -> str:
    return without_credentials((str(error).splitlines() or [type(error).__name__])[0].rstrip("."))
