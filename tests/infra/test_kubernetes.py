"""What kustomize makes of infra/kubernetes: pods without rights, with limits, and allowed to talk to few."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from tests.workspaces import CHECKOUT

FOLDERS = ("overlays/cpu", "overlays/gpu", "train")
MADE_BY_HAND = {"mcld", "mcld-ray"}  # secrets; the kustomizations say how
KUBERNETES = CHECKOUT / "infra" / "kubernetes"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def _objects(folder: str) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [found for found in YAML(typ="safe").load_all(made) if found]


def _pods(found: Any) -> Iterator[dict[str, Any]]:
    """Every pod's spec, with its labels, wherever it is in an object."""
    if isinstance(found, dict):
        if "containers" in found.get("spec", {}):
            yield {"labels": found.get("metadata", {}).get("labels", {}), **found["spec"]}
        for value in found.values():
            yield from _pods(value)
    elif isinstance(found, list):
        for value in found:
            yield from _pods(value)


@needs_kubectl
@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_have_limits_and_no_rights(folder: str) -> None:
    pods = list(_pods(_objects(folder)))
    assert pods
    for pod in pods:
        _check_pod(pod)
        for container in pod["containers"]:
            assert re.search(r":\d+\.\d+\.\d+$", container["image"])
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def _check_pod(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"]
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert not [
            one for one in container.get("env", ()) if isinstance(one, dict) and "PASSWORD" in one["name"]
        ]


@needs_kubectl
def test_what_pods_mount_is_there_and_secrets_are_only_named() -> None:
    objects = _objects("overlays/gpu") + _objects("train")
    assert "Secret" not in {one["kind"] for one in objects}
    names = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for pod in _pods(objects):
        for volume in pod["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
            if secret := volume.get("secret"):
                assert secret["secretName"] in MADE_BY_HAND
        for container in pod["containers"]:
            assert [("ConfigMap", one["configMapRef"]["name"]) for one in container["envFrom"]] == [
                ("ConfigMap", "mcld")
            ]
    assert ("ConfigMap", "mcld") in names


@needs_kubectl
def test_nobody_may_talk_unless_a_policy_says_so() -> None:
    policies = [one for one in _objects("overlays/gpu") if one["kind"] == "NetworkPolicy"]
    [nobody] = [one["spec"] for one in policies if one["metadata"]["name"] == "nobody"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        assert all(rule.get("from") for rule in policy["spec"].get("ingress", ()))


@needs_kubectl
def test_a_stopped_training_goes_on_and_a_mistake_ends_the_job() -> None:
    [job] = [one["spec"] for one in _objects("train") if one["kind"] == "Job"]
    actions = {rule["onExitCodes"]["values"][0]: rule["action"] for rule in job["podFailurePolicy"]["rules"]}
    assert actions == {75: "Ignore", 2: "FailJob"}
    assert (job["completionMode"], job["completions"]) == ("Indexed", job["parallelism"])
    [pod] = _pods(job)
    variables = {one["name"]: one for one in pod["containers"][0]["env"]}
    assert variables["MCLD_NUM_NODES"]["value"] == str(job["parallelism"])
    assert "job-completion-index" in variables["MCLD_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]


def test_prefects_pool_of_pods_fills_in_what_its_form_asks() -> None:
    text = (CHECKOUT / "infra" / "prefect" / "kubernetes-pool.json").read_text()
    template = cast("dict[str, Any]", json.loads(text))
    asked = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert asked == set(template["variables"]["properties"])
    [pod] = _pods(template["job_configuration"])
    _check_pod(pod)
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
