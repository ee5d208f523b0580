"""Say which stages are fresh, stale and why, or missing. DVC decides; this puts its answer into words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mcld.config import PARAMS_PATH
from mcld.errors import ConfigError
from mcld.stages import STAGES, StageSpec

if TYPE_CHECKING:
    from mcld.workspace import Workspace

State = Literal["fresh", "stale", "missing"]
NEVER_RECORDED = ("never recorded",)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """Whether a stage's output is what its inputs and settings ask for. `reasons` are empty when fresh."""

    stage: str
    state: State
    reasons: tuple[str, ...]


def statuses(*, workspace: Workspace) -> list[StageStatus]:
    """The state of every stage, in order. Raises ConfigError when DVC cannot read the pipeline."""
    return judge(ask_dvc(workspace=workspace), stages=STAGES, workspace=workspace)


def ask_dvc(*, workspace: Workspace) -> dict[str, Any]:
    """For each changed stage, a list of what changed. A subprocess: only flows import DVC."""
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    answer = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        complaint = " ".join(answer.stderr.split())
        raise ConfigError(f"{workspace.root.resolve()}: DVC cannot tell what is stale: {complaint}")
    changed = json.loads(answer.stdout)
    assert isinstance(changed, dict)
    return changed


def judge(
    changed: Mapping[str, Any], *, stages: Sequence[StageSpec], workspace: Workspace
) -> list[StageStatus]:
    """Turn DVC's answer into a state a stage. A stage below a stale one is stale too; DVC leaves that out."""
    found: dict[str, StageStatus] = {}
    for spec in stages:
        if not workspace.stage_dir(spec.name).exists():
            found[spec.name] = StageStatus(
                stage=spec.name, state="missing", reasons=_remedy(changed.get(spec.name, []), stage=spec.name)
            )
            continue
        waiting = [name for name in spec.inputs if found[name].state != "fresh"]
        reasons = (
            *changes(changed.get(spec.name, [])),
            *(f"{name} is {found[name].state}" for name in waiting),
        )
        found[spec.name] = StageStatus(
            stage=spec.name, state="stale" if reasons else "fresh", reasons=reasons
        )
    return list(found.values())


def changes(entries: Sequence[Any]) -> tuple[str, ...]:
    """What changed about one stage, e.g. `params.yaml: face modified`; empty when nothing did."""
    reasons: list[str] = []
    for entry in entries:
        if isinstance(entry, str):  # "changed command", "always changed"
            reasons.append(entry)
            continue
        for group in entry.values():
            reasons += [f"{name} {change}" for name, change in _flat(group)]
    # Without a record all is new, which one word says better than a list.
    return NEVER_RECORDED if f"{PARAMS_PATH} new" in reasons else tuple(reasons)


def _remedy(entries: Sequence[Any], *, stage: str) -> tuple[str, ...]:
    """For an output that is recorded and not here, as in a clone; `make remote` says what the remote has."""
    if not entries or changes(entries) == NEVER_RECORDED:
        return ()
    return (f"recorded: `dvc pull {stage}` brings it from the remote, `dvc repro` makes it",)


def describe(status: StageStatus) -> str:
    """One line of `mcld status`."""
    return f"{status.stage:<10} {status.state:<8} {'; '.join(status.reasons)}".rstrip()


def _flat(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    """DVC nests parameters one deeper, under their file."""
    pairs: list[tuple[str, str]] = []
    for name, change in group.items():
        if isinstance(change, dict):
            pairs += [(f"{name}: {key}", value) for key, value in change.items()]
        else:
            pairs.append((name, change))
    return pairs
