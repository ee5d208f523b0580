"""compose.yaml and the Dockerfile keep their promises: pinned, no root, loopback only, secrets from files."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.workspaces import CHECKOUT

INFRA = CHECKOUT / "infra"
COMPOSE: dict[str, Any] = YAML(typ="safe").load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"bucket", "deploy"}
DOCKERFILE = (INFRA / "Dockerfile").read_text()
BY_SERVICE = pytest.mark.parametrize("name", SERVICES)


def test_all_services_of_the_team_are_there() -> None:
    assert SERVICES.keys() - ONE_SHOT == {
        "postgres",
        "store",
        "mlflow",
        "prefect",
        "worker-cpu",
        "worker-gpu",
    }
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["worker-gpu"]


@BY_SERVICE
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not str(service["user"]).startswith(("0", "root"))
    assert not service.keys() & {"privileged", "network_mode", "pid", "cap_add"}


@BY_SERVICE
def test_ports_are_published_on_loopback_unless_somebody_asks(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"\$\{MCLD_HOST:-127\.0\.0\.1\}:\d+:\d+", port)


@BY_SERVICE
def test_a_service_that_stays_says_whether_it_is_well_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


@BY_SERVICE
def test_secrets_are_files_that_make_secrets_writes(name: str) -> None:
    written = set(re.findall(r"keep (\S+)|\$dir/(s3\.json)", (INFRA / "make-secrets.sh").read_text()))
    names = {first or second for first, second in written}
    assert {secret: f"./secrets/{secret}" for secret in names} == {
        secret: where["file"] for secret, where in COMPOSE["secrets"].items()
    }
    assert set(SERVICES[name].get("secrets", ())) <= names
    for variable in SERVICES[name].get("environment", ()):
        assert not re.search("PASSWORD$|SECRET|KEY", variable)


@BY_SERVICE
def test_images_are_pinned_and_ours_is_built_from_the_dockerfile(name: str) -> None:
    service = SERVICES[name]
    repository, _, tag = service["image"].partition(":")
    if repository == "mcld":
        assert tag == service["build"]["target"]
        assert f" AS {tag}\n" in DOCKERFILE
    else:
        assert re.match(r"\d+\.\d+", tag)


@BY_SERVICE
def test_a_command_is_a_script_that_is_there(name: str) -> None:
    for word in SERVICES[name].get("command", ()):
        if word.startswith("/opt/mcld/"):
            assert (CHECKOUT / word.removeprefix("/opt/mcld/")).is_file()


def test_the_image_is_made_from_the_lock_and_its_targets_do_not_run_as_root() -> None:
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?", DOCKERFILE, flags=re.MULTILINE)
    stages = {stage for _, stage in bases}
    assert all(base in stages or re.search(r":\d+\.\d+\.\d+-", base) for base, _ in bases)
    parts = {part.split()[2]: part for part in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]}
    for target in ("cpu", "cuda"):
        assert "USER 1000:1000" in parts[target]
        assert "--requirement requirements.lock" in parts[f"build-{target}"]
    assert "grep '^torch==' requirements.lock" in parts["build-cpu"]
    assert re.search(r"^torch==[\d.]+$", (CHECKOUT / "requirements.lock").read_text(), flags=re.MULTILINE)


def test_an_image_takes_nothing_along_that_is_not_named() -> None:
    lines = (INFRA / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((CHECKOUT / name).exists() for name in kept)
    assert "infra/secrets" in rules[rules.index("!infra") :]
