"""PostgreSQL for MLflow and Prefect: a cluster in the state folder, reached by a Unix socket alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from infra.stack.credentials import Credentials, write_secret
from infra.stack.service import Service, guarded
from infra.stack.settings import StackError

PORT = 5432  # names the socket; nothing listens on TCP
DATABASES = ("mlflow", "prefect")
LONGEST_SOCKET_PATH = 107  # bytes; the kernel's
WRONG_PASSWORD = "password authentication failed"
# For whom the programs run where we are root, which PostgreSQL refuses to be.
USERS = ("postgres", "nobody")


def postgres(directory: Path, *, credentials: Credentials, environment: Mapping[str, str]) -> Service:
    """The database server; makes its cluster if there is none. Raises StackError where it cannot run."""
    programs = programs_dir()
    user = _user()
    data_dir, socket_dir = directory / "data", directory / "socket"
    _check_socket_path(socket_dir)
    for path in (directory, socket_dir):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if user is not None:
            shutil.chown(path, user=user, group=user)
    if user is not None:
        _check_reach(directory, user=user)
    own = {"PATH": environment["PATH"], "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    if not data_dir.exists():
        _make_cluster(
            programs,
            data_dir=data_dir,
            user=user,
            password=credentials.database_password("postgres"),
            env=own,
        )
    _check_version(programs, data_dir=data_dir, env=own)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        "port": str(PORT),
        "max_connections": "60",
        "shared_buffers": "64MB",
    }
    return Service(
        name="postgres",
        command=[
            str(programs / "postgres"),
            "-D",
            str(data_dir),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        environment=own,
        address=f"{socket_dir} (Unix socket)",
        is_ready=lambda: _answers(socket_dir, credentials=credentials),
        prepare=lambda: _make_databases(socket_dir, credentials=credentials),
        user=user,
        stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
    )


def database_host(directory: Path) -> str:
    """Where clients find the server, as part of an address."""
    return quote(str(directory / "socket"), safe="/")


def programs_dir() -> Path:
    """Where PostgreSQL's programs are. Raises StackError where it is not installed."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    if shutil.which("pg_config") is not None:
        command = ["pg_config", "--bindir"]
        directory = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        if (directory / "postgres").is_file():
            return directory
    raise StackError(
        "postgres: not found on PATH nor by pg_config; install PostgreSQL (Debian: postgresql), "
        "or put the folder of its programs on PATH"
    )


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in USERS if name in names), None)
    if found is None:
        raise StackError(
            f"PostgreSQL refuses to run as root, and no user {' or '.join(USERS)} exists; add one"
        )
    return found


def _check_socket_path(socket_dir: Path) -> None:
    length = len(os.fsencode(socket_dir / f".s.PGSQL.{PORT}"))
    if length > LONGEST_SOCKET_PATH:
        raise StackError(
            f"{socket_dir}: {length} bytes with the socket's name, and a socket's path may have "
            f"{LONGEST_SOCKET_PATH}; give a shorter folder: MCLD_STACK_DIR=/tmp/mcld-stack make stack"
        )


def _check_reach(directory: Path, *, user: str) -> None:
    done = subprocess.run(
        guarded(["test", "-x", str(directory)], user=user, stop_signal=signal.SIGTERM), check=False
    )
    if done.returncode != 0:
        raise StackError(
            f"{directory}: PostgreSQL runs as the user {user}, who may not enter one of the folders above; "
            "run the stack as yourself instead of as root, or give another folder: "
            "MCLD_STACK_DIR=/var/tmp/mcld-stack make stack"
        )


def _make_cluster(
    programs: Path, *, data_dir: Path, user: str | None, password: str, env: Mapping[str, str]
) -> None:
    """Make it under another name first: a kill leaves nothing that looks like a cluster and is none."""
    unfinished, password_path = data_dir.with_name("data.new"), data_dir.with_name("password")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [str(programs / "initdb"), f"--pgdata={unfinished}", "--username=postgres", "--encoding=UTF8"]
    command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password_path}"]
    try:
        write_secret(password_path, text=password + "\n")
        if user is not None:
            shutil.chown(password_path, user=user)
        done = subprocess.run(
            guarded(command, user=user, stop_signal=signal.SIGTERM),
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password_path.unlink(missing_ok=True)
    if done.returncode != 0:
        raise StackError(f"{data_dir}: initdb failed: {done.stderr.strip()}")
    unfinished.rename(data_dir)


def _check_version(programs: Path, *, data_dir: Path, env: Mapping[str, str]) -> None:
    made_by = (data_dir / "PG_VERSION").read_text().strip()
    command = [str(programs / "postgres"), "--version"]
    said = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=True).stdout
    if said.split()[2].partition(".")[0] != made_by:
        raise StackError(
            f"{data_dir}: made by PostgreSQL {made_by}, and {programs} has {said.strip()}; "
            f"put the programs of {made_by} on PATH, or delete the folder with all it remembers"
        )


def _connection_string(socket_dir: Path, *, credentials: Credentials, database: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=str(socket_dir),
        port=PORT,
        user="postgres",
        dbname=database,
        password=credentials.database_password("postgres"),  # else PGPASSWORD of the shell would go before
        connect_timeout=5,
    )


def _answers(socket_dir: Path, *, credentials: Credentials) -> bool:
    import psycopg

    target = _connection_string(socket_dir, credentials=credentials, database="postgres")
    try:
        psycopg.connect(target).close()
    except psycopg.OperationalError as error:
        if WRONG_PASSWORD in str(error):
            raise StackError(
                f"{credentials.database_passwords}: not the passwords of {socket_dir.parent}; "
                "bring that file back, or delete that folder with all it remembers"
            ) from error
        return False
    return True


def _make_databases(socket_dir: Path, *, credentials: Credentials) -> None:
    """A role and a database for each client, with the passwords that the files hold now."""
    import psycopg
    from psycopg import sql

    target = _connection_string(socket_dir, credentials=credentials, database="postgres")
    with psycopg.connect(target, autocommit=True) as connection:
        for name in DATABASES:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            # Hashed here: the server may log a statement, and never sees the password.
            hashed = connection.pgconn.encrypt_password(
                credentials.database_password(name).encode(), name.encode(), b"scram-sha-256"
            ).decode()
            verb = sql.SQL("CREATE" if known is None else "ALTER")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    verb, sql.Identifier(name), sql.Literal(hashed)
                )
            )
            made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if made is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(name))
                )
