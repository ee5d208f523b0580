"""`mcld reproduce`: make a run's model again from its commit, settings and data, and compare byte by byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import ConfigError

FOLDER = Path(".mcld") / "reproduce"
IMAGES = "artifacts/generate/"
MAX_NAMED = 3  # images that differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the comparison."""

    name: str
    is_same: bool
    told: str = ""


def reproduce(wanted: str | None, *, root: Path, into: Path | None, everything: bool) -> bool:
    """Make it again, print a table, and tell whether all is the same. Repeat it to resume.

    Raises ConfigError for an unknown run, one that recorded too little, or whose commit is not here;
    TrackingError where MLflow does not answer; MCLDError when a stage fails.
    """
    from mcld.cli.compare import reader_of
    from mcld.cli.reproduce_worktree import bring_inputs, make_again, set_up
    from mcld.cli.reproduction import notes_on, reproduction_of
    from mcld.cli.run_records import find_run

    reader = reader_of(root)
    run = find_run(wanted, root=root, reader=reader)
    if run is None:
        raise ConfigError(f"{root.resolve()}: no model here; name a run, or the folder of a model")
    reproduction = reproduction_of(run, reader=reader)
    folder = into or root / FOLDER / re.sub(r"[^\w.-]+", "-", run.name)
    print(f"{run.name}: commit {reproduction.commit[:12]}, in {folder}")
    for note in notes_on(reproduction, root=root):
        print(f"  note: {note}")
    num_threads = run.tags.get("mcld.num_threads")
    project = set_up(folder, reproduction=reproduction, root=root, everything=everything)
    if not everything and (lack := bring_inputs(project, num_threads=num_threads)):
        print(f"  note: {lack}")
    make_again(project, until=reproduction.until, num_threads=num_threads)
    rows = compared(reproduction.files, identity=reproduction.identity, project=project)
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(f"{row.name:<{width}}  {'same' if row.is_same else 'differs'}{row.told}")
    return all(row.is_same for row in rows)


def compared(expected: Mapping[str, str], *, identity: str, project: Path) -> list[Row]:
    """What came out now beside what came out then: inputs, each file of the model, figures, all images."""
    from mcld.stages.made_from import evaluation_files, model_files
    from mcld.stages.remember import identity_of_model
    from mcld.workspace import Workspace

    workspace = Workspace(root=project)
    found = model_files(workspace) | evaluation_files(workspace)
    inputs = Row(name="settings and inputs", is_same=identity_of_model(workspace) == identity)
    images = {name: sha256 for name, sha256 in expected.items() if name.startswith(IMAGES)}
    rows = [
        Row(name=name, is_same=found.get(name) == sha256)
        for name, sha256 in expected.items()
        if name not in images
    ]
    if images:
        other = [name for name, sha256 in images.items() if found.get(name) != sha256]
        named = f": {', '.join(other[:MAX_NAMED])}" if other else ""
        told = f"  ({len(images) - len(other)} of {len(images)}{named})"
        rows.append(Row(name="generated images", is_same=not other, told=told))
    return [inputs, *rows]
