"""Look after a workspace while nobody does: every file against its hash, and what DVC calls stale."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows.attempts import check_attempts
from mcld.cli.status import statuses
from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.data.shards import ShardSet, verify_shards
from mcld.errors import DataError
from mcld.stages import STAGES
from mcld.storage import sha256_of_file
from mcld.workspace import Workspace


@flow(name="nightly-verify")
def nightly_verify(deep: bool = False) -> int:
    """Verify what stages have left against their manifests; returns how many files were hashed.

    Raises DataError naming every file that is missing or altered.

    Args:
        deep: Whether to read the shards sample by sample too, so that damage is told by its sample.
    """
    check_attempts()
    workspace = Workspace()
    states = statuses(workspace=workspace)
    create_table_artifact(
        key="status",
        table=[{"stage": one.stage, "state": one.state, "reasons": "; ".join(one.reasons)} for one in states],
    )
    num_files, damaged = 0, list[str]()
    for spec in STAGES:
        directory = workspace.stage_dir(spec.name)
        if not (directory / MANIFEST_NAME).is_file():
            continue
        manifest = read_manifest(directory)
        expected = {part.path: part.sha256 for part in manifest.parts} | dict(manifest.files)
        for name, sha256 in expected.items():
            path = directory / name
            num_files += 1
            if not path.is_file() or sha256_of_file(path) != sha256:
                damaged.append(str(path))
        get_run_logger().info("%s: %d files", spec.name, len(expected))
    if damaged:
        raise DataError(
            f"{len(damaged)} files are missing or altered: {', '.join(damaged[:10])}; delete them and run "
            "`dvc repro`, or `dvc pull --force`"
        )
    if deep and workspace.stage_dir("shards").is_dir():
        verify_shards(ShardSet.open(workspace.stage_dir("shards")), deep=True)
    return num_files
