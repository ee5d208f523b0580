"""Say what a stage would do, and touch nothing."""

from __future__ import annotations

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
    for section in spec.params:
        settings = getattr(params, section).model_dump(mode="json")
        lines += [f"  with    {section}.{key} = {canonical_json(value)}" for key, value in settings.items()]
    return "\n".join(lines)


def _found(name: str, *, workspace: Workspace) -> str:
    directory = workspace.stage_dir(name)
    if (directory / MANIFEST_NAME).is_file():
        return "complete for the settings of its last run; parts that are still right are reused"
    if directory.is_dir() and any(directory.iterdir()):
        return "begun; finished parts that are still right are reused"
    return "nothing there yet"
