"""A stage is named in dvc.yaml, in Params, in STAGES and by Prefect; half a change fails here."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from flows.pipeline import pipeline
from flows.run_stage import GPU_STAGES
from flows.stage import StageName
from mcld.config import Params
from mcld.recipes import FIELDS
from mcld.stages import STAGES, StageSpec
from tests.workspaces import CHECKOUT, COPIED

NEVER_A_DEPENDENCY = "runtime"  # speed only
METRICS = {
    "train": {"metrics/train.json", "metrics/loss.csv"},
    "evaluate": {"metrics/evaluate.json"},
    "probe": {"metrics/probe.json"},
}


def read_yaml(name: str) -> Any:
    return YAML(typ="safe").load((CHECKOUT / name).read_text())


ROWS: dict[str, Any] = read_yaml("dvc.yaml")["stages"]
BY_NAME = pytest.mark.parametrize("spec", STAGES, ids=lambda spec: spec.name)


def outputs(row: dict[str, Any], kind: str) -> dict[str, dict[str, object]]:
    """Path to options of a row's outs, metrics or plots."""
    return {path: options for entry in row.get(kind, []) for path, options in entry.items()}


def test_dvc_has_the_stages_in_their_order() -> None:
    assert list(ROWS) == [spec.name for spec in STAGES]


@BY_NAME
def test_dvc_runs_the_stage_through_the_command_line(spec: StageSpec) -> None:
    assert ROWS[spec.name]["cmd"] == f"python -m mcld run {spec.name}"


@BY_NAME
def test_dvc_knows_what_the_stage_reads(spec: StageSpec) -> None:
    expected = {f"artifacts/{upstream}" for upstream in spec.inputs} | {f"mcld/stages/{spec.name}.py"}
    assert set(ROWS[spec.name]["deps"]) == expected


@BY_NAME
def test_dvc_knows_the_parameters_of_the_stage(spec: StageSpec) -> None:
    assert tuple(ROWS[spec.name]["params"]) == spec.params
    assert set(spec.params) <= set(Params.model_fields)


@BY_NAME
def test_dvc_keeps_outputs_for_the_next_run_and_metrics_in_git(spec: StageSpec) -> None:
    row = ROWS[spec.name]
    assert outputs(row, "outs") == {f"artifacts/{spec.name}": {"persist": True}}
    reported = outputs(row, "metrics") | outputs(row, "plots")
    assert set(reported) == METRICS.get(spec.name, set())
    assert all(options["persist"] and options["cache"] is False for options in reported.values())


@BY_NAME
def test_inputs_come_earlier(spec: StageSpec) -> None:
    names = [other.name for other in STAGES]
    assert all(names.index(upstream) < names.index(spec.name) for upstream in spec.inputs)


@BY_NAME
def test_the_module_keeps_the_contract(spec: StageSpec) -> None:
    module = importlib.import_module(spec.module)
    parameters = inspect.signature(module.run).parameters
    assert list(parameters) == ["params", "workspace", "mapper"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("workspace", "mapper"))
    assert isinstance(module.FORMAT_VERSION, int)


def test_every_section_shapes_exactly_one_stage_and_runtime_none() -> None:
    used = ["recipe", *(name for spec in STAGES for name in spec.params if name != "recipe")]
    assert sorted([*used, NEVER_A_DEPENDENCY]) == sorted(Params.model_fields)


@BY_NAME
def test_a_stage_depends_on_the_recipe_where_one_of_its_fields_does(spec: StageSpec) -> None:
    assert ("recipe" in spec.params) == any(field.section in spec.params for field in FIELDS)


def test_prefect_deploys_the_pipeline_and_a_flow_a_stage() -> None:
    deployments = {one["name"]: one for one in read_yaml("prefect.yaml")["deployments"]}
    names = [spec.name for spec in STAGES]
    assert list(deployments) == ["pipeline", *names, "ablations", "nightly-verify"]
    assert list(get_args(StageName)) == names
    for one in deployments.values():
        path, _, name = one["entrypoint"].partition(":")
        function = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        assert set(one["parameters"]) <= set(function.parameters.properties)
    for name in names:
        assert deployments[name]["parameters"] == {"name": name}
        assert deployments[name]["work_pool"]["name"] == ("gpu" if name in GPU_STAGES else "cpu")
    assert pipeline.name == "mcld"  # the deployment is called mcld/pipeline
    assert "directory" in str(read_yaml("prefect.yaml")["pull"])


def test_what_tests_copy_exists() -> None:
    assert all((CHECKOUT / name).exists() for name in COPIED)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_papers_name_only_make_targets_that_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", (CHECKOUT / name).read_text())) <= targets


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_papers_point_at_files_that_exist(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (CHECKOUT / name).read_text())
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


def test_every_package_is_a_package() -> None:
    # Without __init__.py a folder is left out of the installed package and of the layer check.
    folders = {path.parent for path in (CHECKOUT / "mcld").rglob("*.py")}
    assert sorted(str(folder) for folder in folders if not _is_package(folder)) == []


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()
