"""What a run has recorded of itself, put together for making its model again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcld.errors import ConfigError

if TYPE_CHECKING:
    from mcld.tracking import RunReader, RunRecord

OLD = "it was trained before mcld kept what it takes"
SETTINGS_NAME = "params.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """How a run's model was made, and the sha256 of what came of it by path; `until` is the last stage."""

    run: RunRecord
    commit: str
    settings: Mapping[str, Any]  # as in params.yaml
    lock: Mapping[str, Any]  # dvc.lock, of the stages before training
    identity: str
    files: Mapping[str, str]
    until: str


def reproduction_of(run: RunRecord, *, reader: RunReader) -> Reproduction:
    """Raises ConfigError when the run did not record enough, or has not finished its training."""
    from mcld.cli.run_records import artifact_json
    from mcld.stages.made_from import EVALUATION, MADE_FROM, MODEL

    made_from, model, evaluation = (
        artifact_json(run, path, reader=reader) for path in (MADE_FROM, MODEL, EVALUATION)
    )
    if "git.commit" not in run.tags:
        raise ConfigError(f"run {run.name}: no git commit was recorded, it was not trained in a git clone")
    if not made_from:
        raise ConfigError(
            f"run {run.name}: has no artifact {MADE_FROM}: {OLD}; `mcld lineage` shows what is known"
        )
    if not model:
        raise ConfigError(
            f"run {run.name}: has no artifact {MODEL}: its training has not finished; finish it first"
        )
    return Reproduction(
        run=run,
        commit=run.tags["git.commit"],
        settings=_with_cores({**made_from["settings"], **evaluation.get("settings", {})}, run=run),
        lock=made_from["dvc_lock"],
        identity=model["identity"],
        files={**model["files"], **evaluation.get("files", {})},
        until="evaluate" if evaluation else "train",
    )


def notes_on(reproduction: Reproduction, *, root: Path) -> list[str]:
    """What may make a difference: changes that were never committed, another environment or device."""
    from importlib.metadata import version

    from mcld.storage import sha256_of_file

    tags = reproduction.run.tags
    notes = []
    changed = [name for name in tags.get("git.changed", "").split() if name not in ("nothing", SETTINGS_NAME)]
    if tags.get("git.dirty") == "true" and changed:
        notes.append(
            f"commit {reproduction.commit[:12]} alone may not be what ran, uncommitted were: "
            f"{', '.join(changed)}. The model is made from the commit; look for the changes on host "
            f"{tags.get('host', 'unknown')}"
        )
    lock = root / "requirements.lock"
    here = {
        "Python": (tags.get("version.python"), platform.python_version()),
        "torch": (tags.get("version.torch"), version("torch")),
        "requirements.lock": (
            tags.get("environment.lock.sha256"),
            sha256_of_file(lock) if lock.is_file() else "none",
        ),
    }
    for name, (recorded, found) in here.items():
        if recorded != found:
            notes.append(f"{name}: recorded {_short(recorded)}, here {_short(found)}")
    if tags.get("mcld.device", "cpu") != "cpu":
        notes.append(
            f"it was trained on {tags['mcld.device']}, where repetitions need not agree in every bit"
        )
    return notes


def _with_cores(settings: dict[str, Any], *, run: RunRecord) -> dict[str, Any]:
    """Where "one per core" was asked for, as many as there were: threads decide how sums are rounded."""
    runtime = settings.get("runtime", {})
    if runtime.get("num_workers", 0) or "mcld.num_cores" not in run.tags:
        return settings
    return {**settings, "runtime": {**runtime, "num_workers": int(run.tags["mcld.num_cores"])}}


def _short(value: str | None) -> str:
    return "nothing" if value is None else value[:12]
