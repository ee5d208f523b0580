"""Secrets of a stack: made once, in files that only their owner reads, never put on a command line."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from mcld.storage import atomic_path

BUCKET = "mcld"
REGION = "us-east-1"  # every store takes this name, and clients must give one
STORE_USER = "mcld"
DATABASE_ROLES = ("postgres", "mlflow", "prefect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Paths of the secret files. Programs are given paths, so no secret is in an environment either."""

    directory: Path

    @property
    def database_passwords(self) -> Path:
        """In PostgreSQL's own format; PGPASSFILE names it."""
        return self.directory / "pgpass"

    @property
    def store_keys(self) -> Path:
        """In the format of every AWS client; AWS_SHARED_CREDENTIALS_FILE names it."""
        return self.directory / "aws-credentials"

    @property
    def store_identities(self) -> Path:
        """The same keys as the object store wants to be told."""
        return self.directory / "s3.json"

    def database_password(self, role: str) -> str:
        """The password of one role of DATABASE_ROLES."""
        lines = self.database_passwords.read_text().splitlines()
        fields = (line.split(":") for line in lines)
        return next(password for *_, found, password in fields if found == role)

    def store_key_pair(self) -> tuple[str, str]:
        """The access key and the secret key of the store."""
        lines = self.store_keys.read_text().splitlines()
        values = dict(line.split(" = ") for line in lines if " = " in line)
        return values["aws_access_key_id"], values["aws_secret_access_key"]


def make_credentials(directory: Path) -> Credentials:
    """The credentials of a stack, drawn by chance where there are none yet."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Credentials(directory=directory)
    if not made.database_passwords.exists():
        lines = [f"*:*:*:{role}:{secrets.token_urlsafe(24)}" for role in DATABASE_ROLES]
        write_secret(made.database_passwords, text="\n".join(lines) + "\n")
    if not made.store_keys.exists():
        access_key, secret_key = secrets.token_hex(10), secrets.token_urlsafe(30)
        text = f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        write_secret(made.store_keys, text=text)
    write_secret(made.store_identities, text=_identities(*made.store_key_pair()))
    return made


def _identities(access_key: str, secret_key: str) -> str:
    pair = {"accessKey": access_key, "secretKey": secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps({"identities": [{"name": STORE_USER, "credentials": [pair], "actions": actions}]})


def write_secret(path: Path, *, text: str) -> None:
    """Write a file that only we read, from its first moment on."""
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
