"""What a stack is told, and what it refuses before anything starts."""

import os
import socket
import stat
from pathlib import Path

import pytest

from infra.stack.credentials import DATABASE_ROLES, make_credentials
from infra.stack.lock import held
from infra.stack.services import base_environment, client_environment
from infra.stack.settings import HOST, Settings, StackError, check_ports, read_settings


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "prefect.yaml").touch()
    return tmp_path


def test_a_stack_starts_in_a_checkout_only(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no prefect\.yaml here; start the stack in a checkout"):
        read_settings({}, checkout=tmp_path)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"MCLD_STACK_S3_PORT": "65530"}, "MCLD_STACK_S3_PORT=65530: must be a whole number from 1 to 65528"),
        ({"MCLD_STACK_GPUS": "two"}, "MCLD_STACK_GPUS=two: must be a whole number from 1 to"),
        ({"MCLD_STACK_MLFLOW_PORT": "8340"}, "must differ: 8340, 4200, 8333"),
    ],
)
def test_numbers_that_cannot_be_are_refused(checkout: Path, variables: dict[str, str], message: str) -> None:
    with pytest.raises(StackError, match=message):
        read_settings(variables, checkout=checkout)


def test_a_port_that_is_taken_is_named_with_the_variable_that_moves_it(checkout: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        settings = read_settings({"MCLD_STACK_PREFECT_PORT": str(port)}, checkout=checkout)
        with pytest.raises(StackError, match=rf"port {port} of .* MCLD_STACK_PREFECT_PORT=\d+ make stack"):
            check_ports(_elsewhere(settings))


def test_a_second_stack_of_a_folder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    message = f"process {os.getpid()} keeps a stack up here; use that one, or end it: kill"
    with held(tmp_path), pytest.raises(StackError, match=message), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_secrets_are_kept_readable_by_their_owner_only_and_told_to_no_shell(checkout: Path) -> None:
    settings = read_settings({}, checkout=checkout)
    made = make_credentials(settings.state_dir / "secrets")
    assert make_credentials(made.directory).store_keys.read_bytes() == made.store_keys.read_bytes()
    files = list(made.directory.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(made.directory.stat().st_mode) == 0o700
    secrets = {made.database_password(role) for role in DATABASE_ROLES}
    secrets |= set(made.store_key_pair())
    assert len(secrets) == 5
    assert secrets.isdisjoint(client_environment(settings, credentials=made).values())


def test_services_do_not_inherit_settings_that_a_shell_has_for_others() -> None:
    foreign = {
        "PREFECT_API_URL": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "MLFLOW_TRACKING_URI": "x",
        "PGPASSWORD": "x",
    }
    given = base_environment({"PATH": "/bin", "HTTPS_PROXY": "x"} | foreign)
    assert given.keys().isdisjoint(foreign)
    assert given["HTTPS_PROXY"] == "x"


def _elsewhere(settings: Settings) -> Settings:
    """With the other ports where nobody is, so that a stack that is up on this machine does not matter."""
    return read_settings(
        {
            "MCLD_STACK_PREFECT_PORT": str(settings.prefect_port),
            "MCLD_STACK_MLFLOW_PORT": "5871",
            "MCLD_STACK_S3_PORT": "8871",
        },
        checkout=settings.checkout,
    )
