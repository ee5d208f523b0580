"""Say what a stage would do, and touch nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcld.stages import stage_spec
from mcld.storage import canonical_json

if TYPE_CHECKING:
    from mcld.config import Params
    from mcld.workspace import Workspace

MANIFEST_NAME = "manifest.json"


def describe_plan(name: str, params: Params, *, workspace: Workspace) -> str:
    """What the stage reads, where it writes, what is there already, and the settings that shape it."""
    spec = stage_spec(name)
    lines = [f"{name}: would {spec.summary}"]
    for upstream in spec.inputs:
        directory = workspace.stage_dir(upstream)
        is_done = (directory / MANIFEST_NAME).is_file()
        lines.append(f"  reads   {directory}  {'ready' if is_done else f'MISSING: run {upstream} first'}")
    lines.append(f"  writes  {workspace.stage_dir(name)}  {_found(name, workspace=workspace)}")
    values = flat_values(params, sections=spec.params)
    lines += [f"  with    {name} = {canonical_json(value)}" for name, value in values.items()]
    return "\n".join(lines)


def flat_values(params: Params, *, sections: Iterable[str]) -> dict[str, object]:
    """Every value of some sections by its full name, e.g. `train.steps`."""
    found: dict[str, object] = {}
    for name, value in params.model_dump(mode="json", include=set(sections)).items():
        found |= (
            {f"{name}.{key}": item for key, item in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return found


def _found(name: str, *, workspace: Workspace) -> str:
    directory = workspace.stage_dir(name)
    if (directory / MANIFEST_NAME).is_file():
        return "complete for the settings of its last run; parts that are still right are reused"
    if directory.is_dir() and any(directory.iterdir()):
        return "begun; finished parts that are still right are reused"
    return "nothing there yet"
